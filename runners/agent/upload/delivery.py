"""What is delivered, how long it may take, and what whoever does it has to keep to."""

import os
import time
from typing import Iterator, List, NamedTuple, Optional, Sequence

from runners.agent.upload.inbox_url import Inbox

BLOCK = 1 << 14
ANSWER_S = 30.0  # for a connection, and for each answer
MOST_FAILURES = 3  # in one pass: the inbox, and not a file, is the trouble
LEAST_KIB_PER_SECOND = 4  # a slower line is given up; the next pass begins with the same file


class Undelivered(Exception):
    """Why something is not in the inbox, in one line."""


class Item(NamedTuple):
    """A file of this device, of `size` bytes, and its path below the inbox."""

    file: str
    name: str
    size: int


# Files that belong together, in the order in which they must appear: a picture before its facts.
Group = Sequence[Item]


class Delivery:
    """A connection to an inbox, for one pass."""

    def __init__(self, inbox: Inbox) -> None:
        self.inbox = inbox
        self.failures, self.trouble = 0, ""

    def deliver(self, groups: Sequence[Group]) -> List[Optional[str]]:
        """Bring these; for each None where the inbox has all of it whole, else why it may not.

        A file gets its name when it is whole. What is there already is brought again: it is the same. After some
        failures nothing more is tried.
        """
        return [self.trouble if self.failures >= MOST_FAILURES else self._delivered(group) for group in groups]

    def bring(self, group: Group) -> None:
        """Bring these files.

        Raises:
            Undelivered, OSError: the inbox may not have all of them.
        """
        raise NotImplementedError

    def failed(self, why: str) -> str:
        """Count a failure; how it is told."""
        self.failures += 1
        self.trouble = "{}: {}".format(self.inbox.shown, " ".join(why.split())[:300])
        return self.trouble

    def _delivered(self, group: Group) -> Optional[str]:
        try:
            self.bring(group)
        except (Undelivered, OSError) as error:
            return self.failed(getattr(error, "strerror", None) or str(error) or type(error).__name__)
        return None

    def close(self) -> None:
        """Let go of the connection."""


def limit_s(inbox: Inbox, size: int) -> float:
    """How long so many bytes may take."""
    rate = min(LEAST_KIB_PER_SECOND, (inbox.kib_per_second or LEAST_KIB_PER_SECOND) / 2.0)
    return ANSWER_S + size / (1024.0 * rate)


def blocks(item: Item, kib_per_second: Optional[int]) -> Iterator[bytes]:
    """The bytes of a file, as many as it should have, not faster than allowed.

    Raises:
        Undelivered: it is another file by now.
    """
    began_s, done = time.monotonic(), 0
    with open(item.file, "rb") as stream:
        while done < item.size:
            block = stream.read(min(BLOCK, item.size - done))
            if not block:
                raise Undelivered("{}: it was changed while it was read".format(os.path.basename(item.file)))
            yield block
            done += len(block)
            if kib_per_second:
                time.sleep(max(0.0, began_s + done / (1024.0 * kib_per_second) - time.monotonic()))


def folders_of(names: Sequence[str]) -> List[str]:
    """All folders in these paths, the outer ones first."""
    found = {name[:place] for name in names for place, letter in enumerate(name) if letter == "/"}
    return sorted(found)


def beside(name: str) -> str:
    """A path in the same folder that nobody else writes to: an older upload of the same file may still be going on."""
    folder, _, file = name.rpartition("/")
    return "{}/.{}.{}.part".format(folder, file, os.urandom(4).hex())
