"""The files of events in a folder, oldest first, and how they are read after any kind of end of their writer."""

import os
from typing import BinaryIO, Iterator, List, Tuple

from runners.contract.event import LONGEST_LINE, Event, from_line

_BEFORE, _AFTER = "events-", ".jsonl"


def path_of(folder: str, first: int) -> str:
    """The file whose first event has the sequence number `first`."""
    return os.path.join(folder, "{}{:012d}{}".format(_BEFORE, first, _AFTER))


def segments(folder: str) -> List[Tuple[int, str]]:
    """First sequence number and path of each file, oldest first."""
    found = []
    for name in os.listdir(folder):
        number = name[len(_BEFORE) : -len(_AFTER)]
        if name.startswith(_BEFORE) and name.endswith(_AFTER) and number.isdigit():
            found.append((int(number), os.path.join(folder, name)))
    return sorted(found)


def whole_bytes(path: str) -> int:
    """Where the last whole line of a file ends; what follows was being written when the writer was ended."""
    with open(path, "rb") as stream:
        end = stream.seek(0, os.SEEK_END)
        while end > 0:
            begin = max(0, end - LONGEST_LINE)
            stream.seek(begin)
            found = stream.read(end - begin).rfind(b"\n")
            if found >= 0:
                return begin + found + 1
            end = begin
    return 0


class Events:
    """Reads the events of a folder; `skipped` counts lines that are no whole event: torn, or damaged on the disk."""

    def __init__(self, folder: str) -> None:
        self.skipped = 0
        self._folder = folder

    def after(self, seq: int = 0) -> Iterator[Event]:
        """All events with greater sequence numbers, in order. A writer may be at work meanwhile.

        Raises:
            OSError: there is no such folder, or it cannot be read.
        """
        files = segments(self._folder)
        for index, (_, path) in enumerate(files):
            if index + 1 < len(files) and files[index + 1][0] <= seq + 1:
                continue
            try:
                with open(path, "rb") as stream:
                    for event in self._whole(stream):
                        if event.seq > seq:  # once: a failed write may have left a copy
                            seq = event.seq
                            yield event
            except FileNotFoundError:  # deleted to make room
                continue

    def _whole(self, stream: BinaryIO) -> Iterator[Event]:
        while True:
            line = stream.readline(LONGEST_LINE)
            if not line:
                return
            try:
                yield from_line(line)
            except ValueError:
                self.skipped += 1
