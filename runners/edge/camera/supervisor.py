"""Keeps a reader running, whatever happens to it, and tells what did. All times are of the monotonic clock."""

import subprocess
import threading
import time
from typing import Any, Callable, Dict, Optional

from runners.edge.bell import Bell
from runners.edge.camera import readers
from runners.edge.camera.log import Resized
from runners.edge.camera.reader import Ended, Lost, Reader, Spent
from runners.edge.camera.slot import Slot
from runners.edge.camera.source import FILE, Source
from runners.edge.camera.y4m import Buffer

OPENING_S = 20.0  # until the first frame: a network camera may wait for its next key frame
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0  # before a reader is started again; doubled each time
STEADY_S = 10.0  # a run this long was a good one

Start = Callable[[], Reader]


class Supervisor:
    """What a camera's thread does: `run` fills the slot until `stop`, or until a file's end.

    `damaged` counts broken frames, `lost` how often frames stopped coming.
    """

    def __init__(self, source: Source, start: Start, slot: Slot, patience_s: float, tell: Callable[..., None]) -> None:
        self.damaged = self.lost = 0
        self._source, self._start, self._slot, self._patience_s, self._tell = source, start, slot, patience_s, tell
        self._stopping, self._stopped = Bell(), False
        self._lock = threading.Lock()
        self._running: Optional[Reader] = None
        self._spent = Spent(0.0, 0.0)  # by the readers before it
        self._empty: Optional[Buffer] = None  # to be filled next; kept from one run of the reader to the next
        self._was_open, self._tries = False, 0
        self._away_since_s: Optional[float] = None

    def run(self) -> None:
        """Start the reader again and again."""
        pause_s = 0.0
        while not self._stopped:
            began_s = time.monotonic()
            outcome = self._read()
            if self._stopped or self._is_last(outcome):
                return
            steady = time.monotonic() - began_s >= STEADY_S
            pause_s = FIRST_PAUSE_S if steady or not pause_s else min(2 * pause_s, LONGEST_PAUSE_S)
            if isinstance(outcome, Resized):
                self._tell("camera_resized", source=list(outcome.size))
                if steady:
                    continue
            elif self._away_since_s is None:
                self._away_since_s = time.monotonic()
                self.lost += 1
                self._tell("camera_lost", reason=str(outcome) or "the camera ended its stream")
            self._stopping.wait(pause_s)

    def stop(self) -> None:
        """End the reader; `run` returns soon. From another thread."""
        with self._lock:
            self._stopped = True
            if self._running is not None:
                self._running.kill()
        self._slot.close()
        self._stopping.ring()

    @property
    def spent(self) -> Spent:
        """What all readers so far have taken: the sum of their time, the most of their memory. From any thread."""
        with self._lock:
            return self._and_running()

    def _and_running(self) -> Spent:
        """Called with the lock held."""
        if self._running is None:
            return self._spent
        before, now = self._spent, self._running.spent
        return Spent(before.cpu_s + now.cpu_s, max(before.peak_memory_mib, now.peak_memory_mib))

    def _read(self) -> Exception:
        """Run the reader once; how it ended."""
        try:
            self._tries += 1
            running = self._start()
            try:
                with self._lock:
                    self._running = running
                    if self._stopped:
                        running.kill()
                self._fill(running)
            finally:
                with self._lock:
                    self._spent = self._and_running()
                    self._running = None
                running.close()
        except Lost as loss:
            self.damaged += loss.damaged
            return Lost(str(loss).replace(self._source.address, self._source.shown))
        except (Ended, Resized) as end:
            return end
        except (OSError, subprocess.SubprocessError) as error:
            return Lost("no reader can be started: {}".format(error))
        return Ended()

    def _fill(self, running: Reader) -> None:
        size, patience_s = running.size(OPENING_S), OPENING_S
        if self._empty is None or self._empty.size != size:
            self._empty = Buffer(*size)
        opened = False
        while not self._stopped:
            running.fill(self._empty, patience_s)
            self._empty, patience_s = self._slot.put(self._empty, time.monotonic()), self._patience_s
            if not opened:
                opened = True
                self._spent = self._spent._replace(peak_memory_mib=self.spent.peak_memory_mib)  # unknown once it ended
                self._tell_opened(size, running.log.size or size)

    def _is_last(self, outcome: Exception) -> bool:
        """A file is read once; tell how it ended."""
        if self._source.kind != FILE:
            return False
        reason = str(outcome)
        if isinstance(outcome, Resized):
            reason = "its frames become {}: split the file there".format(outcome)
        self._tell("camera_ended", **({"reason": reason} if reason else {}))
        return True

    def _tell_opened(self, size: readers.Size, source_size: readers.Size) -> None:
        facts: Dict[str, Any] = {"size": list(size), "source": list(source_size)}
        if self._away_since_s is not None:
            facts.update(away_s=round(time.monotonic() - self._away_since_s, 3), tries=self._tries)
        self._tell("camera_back" if self._was_open and self._away_since_s is not None else "camera_opened", **facts)
        self._was_open, self._away_since_s, self._tries = True, None, 0
