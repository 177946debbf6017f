"""A bell between threads: one waits, at most so long, until another rings.

Python's own timed waits (`Condition.wait`, `Event.wait`, `Queue.get`) count by the wall clock before Python 3.11: when
a device sets its clock back an hour, a wait of a second takes an hour. `poll` counts by the monotonic clock.
Python 3.6 and the standard library.
"""

import math
import os
import select
from contextlib import suppress


class Bell:
    """Rung any number of times before somebody listens, it is heard once."""

    def __init__(self) -> None:
        self._heard, self._rung = os.pipe()
        os.set_blocking(self._heard, False)
        os.set_blocking(self._rung, False)
        self._poll = select.poll()
        self._poll.register(self._heard, select.POLLIN)

    def ring(self) -> None:
        """Wake who waits, or who will wait next; from any thread."""
        with suppress(BlockingIOError):  # rung so often that it will be heard anyway
            os.write(self._rung, b"\0")

    def wait(self, seconds: float) -> bool:
        """Whether it rang within `seconds`, or since the last wait. Only one thread may wait."""
        rang = bool(self._poll.poll(math.ceil(max(0.0, seconds) * 1000)))
        if rang:
            os.read(self._heard, 1 << 16)
        return rang

    def __del__(self) -> None:
        # Not by a `close`: a thread that rang afterwards would write into whatever file got the number.
        os.close(self._heard)
        os.close(self._rung)
