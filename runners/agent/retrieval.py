"""Fetches a bundle of known length and hash into the spool; what came before a power cut is not fetched again."""

import hashlib
import os
import re
import shutil
from contextlib import closing
from typing import Any, Optional

import urllib3

from runners.agent.fetching import Pace, Slow, local, opened, why
from runners.agent.troubles import Unavailable, Untrusted

RESERVE = 64 << 20  # bytes that stay free, for the camera program's events
SYNC_EVERY = 4 << 20  # bytes
RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


def retrieve(url: str, file: str, length: int, sha256: str, most: Optional[int] = None) -> None:
    """Make `file` the bundle at `url`, of exactly this length and hash, at no more than `most` bytes a second.

    Raises:
        Unavailable: it does not come, comes too slowly, or there is no room; what came stays for the next try.
        Untrusted: what came is another.
    """
    have = os.path.getsize(file) if os.path.exists(file) else 0
    if have > length:
        have = _drop(file)
    free = shutil.disk_usage(os.path.dirname(file)).free
    wanted = 2 * length - have + RESERVE  # unpacked it takes about as much again; unpack.py counts it exactly
    if free < wanted:
        raise Unavailable("the disk has {} bytes free, and an update wants {}; make room".format(free, wanted))
    resumed = have > 0
    if have < length:
        _fetch(url, file, have, length, most)
    if sha256_of(file) == sha256:
        return
    _drop(file)
    if resumed:  # what was there may have been lost by halves when power went
        _fetch(url, file, 0, length, most)
        if sha256_of(file) == sha256:
            return
        _drop(file)
    raise Untrusted("{}: is not the file that was signed: its SHA-256 is another".format(url))


def _fetch(url: str, file: str, have: int, length: int, most: Optional[int]) -> None:
    path = local(url)
    try:
        if path is not None:
            with open(path, "rb") as stream:
                stream.seek(have)
                _append(url, file, have, length, lambda count: stream.read(count), Pace())
            return
        with closing(opened(url, {"Range": "bytes={}-".format(have)} if have else {})) as answer:
            if answer.status not in (200, 206):
                if answer.status == 416:
                    _drop(file)
                raise Unavailable("{}: the host answers {}".format(url, answer.status))
            if answer.status == 200:
                have = _drop(file)
            else:
                _check_range(url, answer.headers.get("Content-Range", ""), have, length)
            _append(url, file, have, length, answer.read1, Pace(most))
    except Slow as error:
        raise Unavailable("{}: {}".format(url, error)) from error
    except urllib3.exceptions.HTTPError as error:
        raise Unavailable("{}: {}".format(url, why(error))) from error
    except OSError as error:
        raise Unavailable("{}: cannot be fetched into {}: {}".format(url, file, error.strerror or error)) from error


def _append(url: str, file: str, have: int, length: int, read: Any, pace: Pace) -> None:
    synced = have
    with open(file, "ab") as stream:
        while True:
            try:
                block = read(min(pace.block, length - have + 1))
            except urllib3.exceptions.ProtocolError:  # the line broke; what came is good
                block = b""
            if not block:
                break
            if have + len(block) > length:
                stream.close()
                _drop(file)
                raise Untrusted("{}: sends more than the {} bytes that were signed".format(url, length))
            stream.write(block)
            have += len(block)
            if have - synced >= SYNC_EVERY:
                stream.flush()
                os.fsync(stream.fileno())
                synced = have
            pace.took(len(block))
        stream.flush()
        os.fsync(stream.fileno())
    if have < length:
        raise Unavailable("{}: ended after {} of {} bytes; the rest is fetched next time".format(url, have, length))


def _check_range(url: str, said: str, have: int, length: int) -> None:
    found = RANGE.fullmatch(said)
    if found is None or int(found[1]) != have or found[3] not in ("*", str(length)):
        raise Unavailable("{}: was asked for what follows {} bytes and sends {!r}".format(url, have, said[:60]))


def _drop(file: str) -> int:
    if os.path.exists(file):
        os.unlink(file)
    return 0


def sha256_of(file: str) -> str:
    """SHA-256 of a file as hexadecimal digits."""
    digest = hashlib.sha256()
    with open(file, "rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
