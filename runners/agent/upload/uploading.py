"""One pass after another: the agent's records first, then captures, the oldest first.

What the inbox has whole is acknowledged, and only then deleted: a record by the agent, a capture by the camera program,
which reads the agent's list. Whatever ends a pass, the next one brings what was not acknowledged.
"""

import fcntl
import json
import os
import random
import time
from contextlib import suppress
from typing import Any, List, NamedTuple, Optional, Sequence

from runners.agent.upload import outgoing
from runners.agent.upload.delivery import MOST_FAILURES, Delivery, Group
from runners.agent.upload.inbox_url import Inbox
from runners.agent.upload.over_http import OverHttp
from runners.agent.upload.over_sftp import OverSftp
from runners.agent.upload.to_folder import ToFolder
from runners.contract import device_folder, records
from runners.edge import durable

BATCH = 16  # captures or records between two acknowledgements
BATCH_BYTES = 4 << 20  # after so many no further capture is added
PASS_S = 1800.0  # nothing new is begun after so long
MOST_LIST_BYTES = 4 << 20
FIRST_S, LONGEST_S = 60.0, 3600.0  # until the next pass after one that failed
AGAIN_S = 60.0  # and after one that did not
WAYS: Any = {"sftp": OverSftp, "http": OverHttp, "https": OverHttp, "file": ToFolder}


class Outcome(NamedTuple):
    """Of one pass: records and captures that the inbox has now, damaged captures that were given up, and what is left.

    `why` is of the last that was left, in one line.
    """

    records: int = 0
    captures: int = 0
    damaged: int = 0
    left: int = 0
    why: Optional[str] = None


class Uploads:
    """Of one device to one inbox. `step` is called now and then, `once` by hand."""

    def __init__(self, home: str, device: str, inbox: Inbox) -> None:
        self._home, self._device, self._inbox = home, device, inbox
        self._next_s, self._failed = 0.0, 0

    def step(self, now_s: float) -> Optional[Outcome]:
        """Make a pass if it is time by the monotonic clock, with longer pauses after failures; else None."""
        if now_s < self._next_s:
            return None
        outcome = self.once()
        if outcome.why is None:
            self._failed, pause_s = 0, AGAIN_S
        else:
            pause_s = min(FIRST_S * 2**self._failed, LONGEST_S)
            self._failed = min(self._failed + 1, 10)
        self._next_s = now_s + pause_s * random.uniform(0.75, 1.25)  # a fleet does not come at once
        return outcome

    def once(self) -> Outcome:
        """Make a pass; nothing is raised, whatever goes wrong is said in the outcome."""
        try:
            durable.make_folder(os.path.join(self._home, device_folder.AGENT))
            lock = os.open(
                os.path.join(self._home, device_folder.AGENT, "upload.lock"),
                os.O_RDWR | os.O_CREAT | os.O_CLOEXEC,
                0o600,
            )
        except OSError as error:
            return Outcome(why="{}: {}".format(self._home, error.strerror))
        delivery = None  # type: Optional[Delivery]
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            outgoing.clear(self._home)
            delivery = made = WAYS[self._inbox.scheme](self._inbox)
            return _Pass(self._home, self._device, made).run()
        except BlockingIOError:
            return Outcome(why="{}: another program is uploading from here".format(self._home))
        except OSError as error:
            return Outcome(why="{}: {}".format(error.filename or self._home, error.strerror or error))
        except ValueError as error:
            return Outcome(why="inbox: {}".format(error))
        finally:
            if delivery is not None:
                delivery.close()
            os.close(lock)


class _Pass:
    def __init__(self, home: str, device: str, delivery: Delivery) -> None:
        self._home, self._device, self._delivery = home, device, delivery
        self._outcome = Outcome()
        self._began_s = time.monotonic()

    def run(self) -> Outcome:
        self._records()
        self._captures()
        return self._outcome

    def _records(self) -> None:
        items = list(outgoing.own_records(self._home))
        for start in range(0, len(items), BATCH):
            batch = items[start : start + BATCH]
            if self._is_over:
                self._count(left=len(batch))
                continue
            groups = [[item] for item in batch]  # type: Sequence[Group]
            for item, is_there in zip(batch, self._deliver(groups)):
                if is_there:
                    with suppress(FileNotFoundError):
                        os.unlink(item.file)
                    self._count(records=1)

    def _captures(self) -> None:
        spooled = set(outgoing.waiting(self._home))
        listed = [stem for stem in acknowledged(self._home) if stem in spooled]  # the others are deleted
        waiting = sorted(spooled - set(listed))
        while waiting and not self._is_over:
            taken, done = [], []  # type: List[outgoing.Capture], List[str]
            try:
                while waiting and len(taken) + len(done) < BATCH and _bytes(taken) < BATCH_BYTES:
                    stem = waiting.pop(0)
                    capture = outgoing.take(self._home, self._device, stem)
                    if capture is None:
                        continue
                    if capture.is_damaged:
                        self._count(damaged=1)
                        done.append(stem)
                    elif capture.trouble:
                        self._count(left=1, why="capture {}: {}".format(stem, capture.trouble))
                    else:
                        taken.append(capture)
                there = self._deliver([capture.items for capture in taken])
                sent = [capture.id for capture, is_there in zip(taken, there) if is_there]
            finally:
                for capture in taken:
                    capture.close()
            if done or sent:
                listed += done + sent
                _acknowledge(self._home, listed)
                self._count(captures=len(sent))
        self._count(left=len(waiting))

    @property
    def _is_over(self) -> bool:
        return self._delivery.failures >= MOST_FAILURES or time.monotonic() - self._began_s > PASS_S

    def _deliver(self, groups: Sequence[Group]) -> List[bool]:
        found = self._delivery.deliver(groups)
        for why in found:
            if why is not None:
                self._count(left=1, why=why)
        return [why is None for why in found]

    def _count(self, why: Optional[str] = None, **more: int) -> None:
        content: Any = self._outcome._asdict()
        for name, number in more.items():
            content[name] += number
        self._outcome = Outcome(**dict(content, why=why or self._outcome.why))


def acknowledged(home: str) -> List[str]:
    """The captures that need not be kept; none where the list is missing or damaged, then they are sent once more."""
    try:
        listed = records.load(os.path.join(home, device_folder.ACKNOWLEDGED), MOST_LIST_BYTES).get("captures")
    except ValueError:
        return []
    return [stem for stem in listed if records.is_name(stem)] if isinstance(listed, list) else []


def _acknowledge(home: str, listed: List[str]) -> None:
    """On the disk when this returns."""
    content = json.dumps({"captures": listed}).encode("utf-8")
    durable.write(os.path.join(home, device_folder.ACKNOWLEDGED), content)


def _bytes(captures: Sequence[outgoing.Capture]) -> int:
    return sum(item.size for capture in captures for item in capture.items)
