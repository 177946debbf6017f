"""How long a run of many samples will take, told from its first batches."""

import sys
import time

from tqdm import tqdm


class Pace:
    """Foretells the end of a run over `total` samples, and whether it is within `budget_s` seconds of now.

    The first batch tells little: a runtime makes its kernels with it, and an emulator translates them. The second does.
    """

    def __init__(self, total: int, budget_s: float | None, description: str) -> None:
        self.budget_s = budget_s
        self.needed_s: float | None = None
        self._total, self._description = total, description
        self._start = time.monotonic()
        self._marks: list[tuple[int, float]] = [(0, self._start)]

    @property
    def deadline(self) -> float | None:
        """When the budget is spent, by time.monotonic."""
        return None if self.budget_s is None else self._start + self.budget_s

    def fits(self, done: int) -> bool:
        """Whether the run will end in time, `done` samples being calculated; said when it is first known."""
        if self.budget_s is None or done == self._marks[-1][0] or len(self._marks) > 2:
            return True
        before, since = self._marks[-1]
        now = time.monotonic()
        self._marks.append((done, now))
        self.needed_s = now - self._start + (self._total - done) * (now - since) / (done - before)
        if len(self._marks) < 3:
            return True
        if done < self._total:
            message = f"{self._description}: {self._total} samples take about {duration(self.needed_s)}"
            tqdm.write(message, file=sys.stderr)
        return self.needed_s <= self.budget_s


def duration(seconds: float) -> str:
    """A time as people say it: "40 seconds", "3 minutes"."""
    if seconds < 90:
        return f"{max(1, round(seconds))} second{'s' if round(seconds) > 1 else ''}"
    return f"{round(seconds / 60)} minutes"
