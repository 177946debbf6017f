"""Appends lines to the files of events so that they survive a power cut, within a bounded size.

Lines count as written when fdatasync has returned, and a new file when its folder is synced too. After a failed write
or sync nobody knows what of a file is on the disk (a second fsync says yes without writing): the file is cut back to
what was acknowledged, and the next try begins a new one.
"""

import fcntl
import os
from contextlib import suppress
from typing import List, Optional

from runners.edge import durable
from runners.edge.events.segments import Events, path_of, segments, whole_bytes

MOST_BYTES = 64 << 20  # of all files together
PARTS = 16  # a file is this part of them


class Journal:
    """The one writer of a folder."""

    def __init__(self, folder: str, most_bytes: int = MOST_BYTES) -> None:
        """Open or make the folder; half a line at the end of its last file is cut off.

        Raises:
            ValueError: another program writes there, or the folder cannot be used; the message is one line.
        """
        self.folder, self._most_bytes = folder, most_bytes
        self._file: Optional[int] = None
        self._path, self._size = "", 0
        try:
            durable.make_folder(folder)
            self._lock = os.open(os.path.join(folder, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                self._take_over()
            except BaseException:
                os.close(self._lock)
                raise
        except BlockingIOError:
            raise ValueError("{}: another program writes its events here; give another folder".format(folder)) from None
        except OSError as error:
            raise ValueError("{}: no events can be written here: {}".format(folder, error.strerror)) from error

    def _take_over(self) -> None:
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # gone with the process, however it ends
        self.last = 0  # sequence number of the newest event in the folder
        files = segments(self.folder)
        if not files:
            return
        first, path = files[-1]
        end = whole_bytes(path)
        if end < os.path.getsize(path):
            os.truncate(path, end)
        self.last = first - 1
        events = Events(self.folder)
        for event in events.after(first - 1):
            self.last = event.seq
        self.last += events.skipped  # a damaged line had a number too
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self._path, self._size = path, end
        durable.sync(self.folder)  # who made the file may have been killed before

    def append(self, first: int, lines: List[bytes]) -> None:
        """Write lines, of which the first has the sequence number `first`; they are on the disk when this returns.

        Raises:
            OSError: they are not; they may be given again.
        """
        content = b"".join(lines)
        if self._file is not None and self._size + len(content) > self._most_bytes // PARTS:
            self._leave()
        self._make_room(len(content))
        is_new = self._file is None
        try:
            if self._file is None:
                self._path, self._size = path_of(self.folder, first), 0
                self._file = os.open(
                    self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o644
                )
            durable.write_all(self._file, content)
            os.fdatasync(self._file)
            if is_new:
                durable.sync(self.folder)
        except OSError:
            self._abandon(is_new)
            raise
        self._size += len(content)

    def close(self) -> None:
        """Let another program write here."""
        self._leave()
        os.close(self._lock)

    def _make_room(self, count: int) -> None:
        """Delete the oldest files, never the one that is being written, until `count` bytes more are within bounds."""
        files = [path for _, path in segments(self.folder) if self._file is None or path != self._path]
        total = sum(os.path.getsize(path) for path in files) + self._size * (self._file is not None)
        while files and total + count > self._most_bytes:
            oldest = files.pop(0)
            total -= os.path.getsize(oldest)
            os.unlink(oldest)

    def _abandon(self, is_new: bool) -> None:
        with suppress(OSError):
            if is_new:
                os.unlink(self._path)
            elif self._file is not None:
                os.ftruncate(self._file, self._size)
        self._leave()

    def _leave(self) -> None:
        if self._file is not None:
            with suppress(OSError):  # what was acknowledged is on the disk
                os.close(self._file)
        self._file = None
