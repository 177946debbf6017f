"""Captures on the device's disk until the agent has sent them: bounded, and whole after a power cut.

The picture is synced before the facts are written beside, synced and renamed, and the folder is synced last. So facts
under their name have their whole picture, but for a cut before the last sync, after which a picture or its facts may be
alone: who reads takes neither for a capture, and the next start deletes them. Python 3.6 and the standard library.

Where the spool is full the oldest captures go, sent or not, and are counted: what a device sees now is more like what
it will see next. The agent cannot delete here. It lists what need not be kept any longer, and this side deletes it.
"""

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
from collections import OrderedDict
from contextlib import suppress
from typing import List, NamedTuple

from runners.contract import capture_facts, device_folder, records
from runners.contract.capture_facts import FACTS, MOST_BYTES, PICTURE, Capture
from runners.edge import durable

MOST_FILES = 20000  # captures
LEAST_ROOM = 128 << 20  # bytes free on the disk: events are written there too
MOST_LIST_BYTES = 4 << 20  # of the agent's list
ID = re.compile(r"(\d{10})-[0-9a-f]{16}", re.ASCII)


class SpoolCounts(NamedTuple):
    """Captures since the start: kept, sent and deleted, given up for room; and halves that a cut had left."""

    kept: int = 0
    sent: int = 0
    dropped: int = 0
    halves: int = 0


class Spool:
    """The one writer of a home's spool; for one thread."""

    def __init__(self, home: str, most_bytes: int, most_files: int = MOST_FILES, least_room: int = LEAST_ROOM) -> None:
        """Open or make it.

        Raises:
            ValueError: another program writes there, or nobody can; the message is one line.
        """
        self.folder = os.path.join(home, device_folder.SPOOL)
        self.counts = SpoolCounts()
        self._acknowledged = os.path.join(home, device_folder.ACKNOWLEDGED)
        self._most_bytes, self._most_files, self._least_room = most_bytes, most_files, least_room
        self._sizes: "OrderedDict[str, int]" = OrderedDict()  # bytes of each capture, the oldest first
        self._run = os.urandom(8).hex()
        try:
            durable.make_folder(self.folder, 0o750)  # the camera's user, and the group that it shares with the agent's
            self._lock = os.open(os.path.join(self.folder, ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # gone with the process, however it ends
                self._take_over()
            except BaseException:
                os.close(self._lock)
                raise
        except BlockingIOError:
            raise ValueError("{}: another program keeps its captures here".format(self.folder)) from None
        except OSError as error:
            raise ValueError("{}: no captures can be kept here: {}".format(self.folder, error.strerror)) from error

    def _take_over(self) -> None:
        names = set(os.listdir(self.folder))
        for name in sorted(names):
            stem, suffix = os.path.splitext(name)
            other = {FACTS: PICTURE, PICTURE: FACTS}.get(suffix, "")
            if ID.fullmatch(stem) and stem + other in names:
                size = os.path.getsize(os.path.join(self.folder, name))
                self._sizes[stem] = self._sizes.get(stem, 0) + size
            elif ID.fullmatch(stem.split(".")[0]):
                os.unlink(os.path.join(self.folder, name))
                self.counts = self.counts._replace(halves=self.counts.halves + 1)
        self._number = max((int(stem.split("-")[0]) for stem in self._sizes), default=0)

    def hashes(self) -> List[str]:
        """The difference hashes of what is kept, the oldest first; of damaged facts none."""
        found = []
        for stem in self._sizes:
            with suppress(ValueError):
                found.append(capture_facts.from_json(records.load(self._path(stem + FACTS), MOST_BYTES)).dhash)
        return found

    def keep(self, facts: Capture, picture: bytes) -> str:
        """Write a capture, whose id and SHA-256 are set here; its id. It is on the disk when this returns.

        Raises:
            OSError: it is not, and nothing of it is left; or there is too little room.
        """
        stem = "{:010d}-{}".format(self._number + 1, self._run)
        facts = facts._replace(id=stem, sha256=hashlib.sha256(picture).hexdigest())
        content = json.dumps(capture_facts.as_json(facts)).encode("utf-8")
        size = len(picture) + len(content)
        self._make_room(size)
        self._number += 1
        try:
            durable.create(self._path(stem + PICTURE), [picture])
            durable.write(self._path(stem + FACTS), content)
        except OSError:
            self._delete(stem)
            raise
        self._sizes[stem] = size
        self.counts = self.counts._replace(kept=self.counts.kept + 1)
        return stem

    def forget(self) -> int:
        """Delete what the agent says need not be kept any longer; how many those were.

        Its list is hostile: it can name captures, and nothing else is deleted.
        """
        try:
            listed = records.load(self._acknowledged, MOST_LIST_BYTES).get("captures")
        except ValueError:
            return 0
        named = {stem for stem in listed if isinstance(stem, str)} if isinstance(listed, list) else set()
        found = [stem for stem in self._sizes if stem in named]
        for stem in found:
            self._delete(stem)
            del self._sizes[stem]
        self.counts = self.counts._replace(sent=self.counts.sent + len(found))
        return len(found)

    def close(self) -> None:
        """Let another program write here."""
        os.close(self._lock)

    def _make_room(self, size: int) -> None:
        """Raise OSError where the disk has none."""
        if shutil.disk_usage(self.folder).free < self._least_room + size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        total = sum(self._sizes.values())
        while self._sizes and (total + size > self._most_bytes or len(self._sizes) >= self._most_files):
            stem, oldest = self._sizes.popitem(last=False)
            total -= oldest
            self._delete(stem)
            self.counts = self.counts._replace(dropped=self.counts.dropped + 1)

    def _delete(self, stem: str) -> None:
        """The facts first: without them it is no capture."""
        for name in (stem + FACTS, stem + FACTS + durable.PART, stem + PICTURE):
            with suppress(OSError):
                os.unlink(self._path(name))

    def _path(self, name: str) -> str:
        return os.path.join(self.folder, name)
