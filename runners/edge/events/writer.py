"""Takes events from the program at once, and writes them from a thread of its own, several with one fsync.

A full disk, or one that fails, stops nothing: events wait in memory, at most `most_waiting` of them, then the oldest
are given up and counted. It is said once on standard error, and once more when events are written again.
"""

import threading
import time
from collections import deque
from itertools import islice
from typing import Any, Callable, Deque, Dict, List, NamedTuple, Optional, Tuple

from runners.contract.event import Event, to_line
from runners.edge import procfs
from runners.edge.aloud import say
from runners.edge.bell import Bell
from runners.edge.events.journal import MOST_BYTES, Journal

RETRY_S = 1.0
MOST_WAITING = 10000
BATCH = 256  # events in one fsync

_Line = Tuple[int, bytes]


class EventCounts(NamedTuple):
    """Events taken, on the disk and given up; how often writing failed."""

    taken: int
    acknowledged: int
    lost: int
    failures: int


class Writer:
    """The events of one program in one folder. Any thread may `put`."""

    def __init__(
        self,
        folder: str,
        acknowledged: Optional[Callable[[int], None]] = None,
        *,
        most_bytes: int = MOST_BYTES,
        most_waiting: int = MOST_WAITING,
        retry_s: float = RETRY_S,
    ) -> None:
        """Open the folder. `acknowledged` is called from another thread with the sequence number up to which all events
        that were not given up are on the disk; it must not raise.

        Raises:
            ValueError: no events can be written there; the message is one line.
        """
        self._journal = Journal(folder, most_bytes)
        self._acknowledged, self._most_waiting, self._retry_s = acknowledged, most_waiting, retry_s
        self._boot = procfs.boot()
        self._last = self._journal.last
        self._waiting: Deque[_Line] = deque()
        self._lock, self._bell = threading.Lock(), Bell()
        self._taken = self._written = self._lost = self._untold = self._failures = 0
        self._in_flight = 0  # events at the head that are being written
        self._failing = False
        self._give_up_at_s: Optional[float] = None  # set by `close`
        self._thread = threading.Thread(target=self._work, name="events", daemon=True)
        self._thread.start()

    def put(self, event: str, **facts: Any) -> int:
        """Take an event that happens now; its sequence number.

        Raises:
            ValueError: a fact is of no kind that JSON knows, or `close` was called.
        """
        with self._lock:
            if self._give_up_at_s is not None:
                raise ValueError("event {}: events are closed".format(event))
            return self._take(event, facts)

    def _take(self, event: str, facts: Dict[str, Any]) -> int:
        """Called with the lock held."""
        line = to_line(Event(self._last + 1, event, time.time(), time.monotonic(), self._boot, facts))
        self._last += 1
        self._taken += 1
        self._waiting.append((self._last, line))
        if len(self._waiting) > self._most_waiting:
            del self._waiting[min(self._in_flight, len(self._waiting) - 1)]
            self._lost += 1
            self._untold += 1
        self._bell.ring()
        return self._last

    @property
    def counts(self) -> EventCounts:
        """How many so far."""
        return EventCounts(self._taken, self._written, self._lost, self._failures)

    def close(self, patience_s: float = 5.0) -> None:
        """Write what waits and end. What a full disk does not take within `patience_s` is given up and told."""
        with self._lock:
            self._give_up_at_s = time.monotonic() + patience_s
            self._bell.ring()
        self._thread.join()
        if self._waiting:
            self._lost += len(self._waiting)
            self._say("{} events were never written".format(len(self._waiting)))
        self._journal.close()

    def _work(self) -> None:
        while True:
            with self._lock:
                batch = list(islice(self._waiting, BATCH))
                self._in_flight = len(batch)
            if batch and not self._write(batch):
                if self._give_up_at_s is not None and time.monotonic() >= self._give_up_at_s:
                    return
                self._pause()
            elif not batch and self._give_up_at_s is not None:
                return
            elif not batch:
                self._bell.wait(60.0)

    def _write(self, batch: List[_Line]) -> bool:
        try:
            self._journal.append(batch[0][0], [line for _, line in batch])
        except OSError as error:
            self._in_flight = 0
            self._failures += 1
            if not self._failing:
                self._failing = True
                self._say("{}; they wait in memory, and the program goes on".format(error.strerror))
            return False
        with self._lock:
            for _ in batch:
                self._waiting.popleft()
            self._in_flight = 0
            lost, self._untold = self._untold, 0
            if lost:
                self._take("events_lost", {"lost": lost})  # also while the end is waited for
        self._written += len(batch)
        if self._acknowledged is not None:
            self._acknowledged(batch[-1][0])
        if self._failing:
            self._failing = False
            self._say("written again; {} were given up".format(lost))
        return True

    def _pause(self) -> None:
        """Wait for the next try; an event that comes meanwhile is no reason to try earlier, the end is."""
        until_s = time.monotonic() + self._retry_s
        while time.monotonic() < min(until_s, self._give_up_at_s or until_s):
            self._bell.wait(min(until_s - time.monotonic(), 0.2))

    def _say(self, what: str) -> None:
        say("events in {}: {}".format(self._journal.folder, what))
