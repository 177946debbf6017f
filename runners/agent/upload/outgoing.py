"""What there is to send: the agent's own records, and the camera program's captures, which are hostile to the agent.

Whoever took over the camera program may put a link to the agent's key into the spool, or a picture that is none. So a
capture is read once, without following links, checked, and sent from a copy of the agent's own.
"""

import errno
import hashlib
import os
import stat
from contextlib import suppress
from typing import Iterator, List, NamedTuple, Optional

from runners.agent.upload.delivery import Item
from runners.contract import capture_facts, device_folder, records
from runners.contract.capture_facts import FACTS, MOST_PICTURE_BYTES, PICTURE

MOST_RECORD_BYTES = 1 << 20
MOST_RECORDS = 10000
COPIES = os.path.join(device_folder.AGENT, "outgoing")
PNG = b"\x89PNG\r\n\x1a\n"


class Capture(NamedTuple):
    """One that is in the spool, with copies of its two files, or `trouble` if it cannot be sent.

    One that `is_damaged` never can be.
    """

    id: str
    items: List[Item]
    trouble: Optional[str] = None
    is_damaged: bool = False

    def close(self) -> None:
        """Delete the copies."""
        for item in self.items:
            with suppress(OSError):
                os.unlink(item.file)


def waiting(home: str) -> List[str]:
    """The ids in the spool, the oldest first; the facts of a capture are written last.

    Raises:
        OSError: the agent may not look there.
    """
    try:
        names = os.listdir(os.path.join(home, device_folder.SPOOL))
    except FileNotFoundError:
        return []
    return sorted(name[: -len(FACTS)] for name in names if name.endswith(FACTS) and records.is_name(name))


def take(home: str, device: str, stem: str) -> Optional[Capture]:
    """A capture of this device; None where it is gone meanwhile, or only half there.

    Raises:
        OSError: no copy can be made.
    """
    spool, copies = os.path.join(home, device_folder.SPOOL), os.path.join(home, COPIES)
    try:
        facts = _read(os.path.join(spool, stem + FACTS), capture_facts.MOST_BYTES)
        picture = _read(os.path.join(spool, stem + PICTURE), MOST_PICTURE_BYTES)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        return Capture(stem, [], str(getattr(error, "strerror", None) or error), isinstance(error, ValueError))
    try:
        found = capture_facts.from_json(records.parse(facts, capture_facts.MOST_BYTES))
        if found.id != stem:
            raise ValueError("its facts are of another")
        if hashlib.sha256(picture).hexdigest() != found.sha256 or not picture.startswith(PNG):
            raise ValueError("its picture is not the one that its facts are of")
    except ValueError as error:
        return Capture(stem, [], str(error), is_damaged=True)
    if found.device != device:
        told = "the camera program calls this device {}, the agent {}; write the same name into both settings"
        return Capture(stem, [], told.format(found.device, device))
    items = []
    for suffix, content in ((PICTURE, picture), (FACTS, facts)):
        file = os.path.join(copies, stem + suffix)
        with open(file, "wb") as stream:
            stream.write(content)
        items.append(Item(file, "{}/{}/{}".format(capture_facts.FOLDER, device, stem + suffix), len(content)))
    return Capture(stem, items)


def own_records(home: str) -> Iterator[Item]:
    """The files in the outbox, by name; half-written ones end otherwise."""
    outbox = os.path.join(home, device_folder.OUTBOX)
    count = 0
    for folder, inner, files in os.walk(outbox):
        inner.sort()
        for name in sorted(files):
            path = os.path.join(folder, name)
            inside = os.path.relpath(path, outbox)
            if not (name.endswith(".json") and all(map(records.is_name, inside.split(os.sep)))):
                continue
            try:
                found = os.lstat(path)
            except FileNotFoundError:  # the agent has dropped it for a newer one
                continue
            if stat.S_ISREG(found.st_mode) and found.st_size <= MOST_RECORD_BYTES and count < MOST_RECORDS:
                count += 1
                yield Item(path, inside, found.st_size)


def clear(home: str) -> None:
    """Make the folder of copies, and delete what an earlier run left there."""
    folder = os.path.join(home, COPIES)
    os.makedirs(folder, 0o700, exist_ok=True)
    for name in os.listdir(folder):
        os.unlink(os.path.join(folder, name))


def _read(path: str, most: int) -> bytes:
    """Raise ValueError where it is no regular file, or larger than allowed."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ValueError("it is a link") from None
        raise
    try:
        content = b""
        if stat.S_ISREG(os.fstat(handle).st_mode):
            with os.fdopen(handle, "rb", closefd=False) as stream:
                content = stream.read(most + 1)
    finally:
        os.close(handle)
    if not 0 < len(content) <= most:
        raise ValueError("it is no file of a capture")
    return content
