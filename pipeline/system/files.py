"""Writing files so that nothing is ever lost or half-written: a temporary name first, then a rename."""

import hashlib
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from pipeline.system.errors import BadData, InputError

Kind = Literal["JSON", "page", "manifest"]
BEGINS: dict[Kind, bytes] = {
    "JSON": b"{",
    "page": b'<!doctype html>\n<html lang="en">\n<head>\n<meta name="generator" content="edgeproof">',
    "manifest": b"file,class,split,group",
}
SHORT = 50  # characters of a name that is made longer for a while, which takes 255 bytes at most


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends well and is deleted otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not by mkstemp: its file is for its owner alone, and to ask for the umask is to set it, for all threads.
    temporary = path.with_name(f".{path.name[:SHORT]}.{secrets.token_hex(8)}")
    temporary.touch(exist_ok=False)
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path` that takes its place when the block ends well and is deleted otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name[:SHORT]}."))
    made, old = scratch / "new", scratch / "old"
    made.mkdir()
    try:
        yield made
        if path.is_dir():
            path.rename(old)  # deleting it takes time, and may fail or be interrupted
        made.rename(path)
    finally:
        if old.exists() and not path.exists():
            old.rename(path)
        shutil.rmtree(scratch, ignore_errors=True)


def check_name(path: Path) -> None:
    """InputError if a path or a folder on the way to it is no UTF-8: Python opens it, the runtimes of models do not."""
    for named in (path, os.path.realpath(path)):  # which a link to itself does not stop
        try:
            str(named).encode()
        except UnicodeEncodeError:
            raise InputError(f"{named}: the name is no UTF-8 text, which runtimes cannot open; rename it") from None


def check_file(path: Path) -> None:
    """BadData if a path is there but no file: a pipe is read until somebody writes, and some devices have no end."""
    if path.exists() and not path.is_file():
        raise BadData(f"{path}: is a folder, a device or a pipe; give a file")


def check_place(path: Path) -> None:
    """See to it that a file or a folder can be made at `path`, before the work whose outcome is to go there.

    It is tried, in the nearest folder that is there: some file systems permit what they do not do. Nothing stays of it.

    Raises:
        InputError: that takes no files, or a name on the way is too long, no folder, or a link that leads in a circle.
    """
    try:
        with suppress(FileNotFoundError, NotADirectoryError):
            path.stat()
        folder = next(parent for parent in path.absolute().parents if os.path.lexists(parent))
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error
    if not folder.is_dir():
        raise InputError(f"{path}: {folder} is no folder")
    if not os.access(folder, os.W_OK):
        raise InputError(f"{path}: no permission to write in {folder}")
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise InputError(f"{path}: no file can be written in {folder} ({error.strerror or error})") from error


def check_writable(path: Path, kind: Kind, *sources: Path | None) -> None:
    """See to it that `path` can be written later, before the work whose outcome is to go there; its folder is made.

    What is there already and does not begin as this program's own files of that kind do, such as weights, a picture or
    somebody's page, stays.

    Raises:
        InputError: see `check_place`, or it is a folder, a device, one of the `sources`, which are to be read, or
            somebody else's.
    """
    try:
        if path.is_dir():
            raise InputError(f"{path}: is a folder; name a file")
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: is a device or a pipe; name a file")
        if any(source and os.path.realpath(source) == os.path.realpath(path) for source in sources):
            raise InputError(f"{path}: is to be read; name another file to write")
        check_place(path)
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error
    try:
        with path.open("rb") as stream:
            start = stream.read(len(BEGINS[kind]))
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    if start not in (b"", BEGINS[kind]):
        raise InputError(f"{path}: is there already and is no {kind} that edgeproof wrote; name another file to write")


def write_bytes(path: Path, data: bytes) -> None:
    """Write a whole file or nothing."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, value: Any) -> None:
    """Write a value as readable JSON with a stable order of keys; NaN is refused, as JSON has none."""
    write_bytes(path, (json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n").encode())


def sha256(path: Path) -> str:
    """SHA-256 of a file as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
