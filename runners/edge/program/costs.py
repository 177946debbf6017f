"""What each part of a frame's work costs: CPU time of the whole program meanwhile, and wall time.

The parts follow one another on one thread. What other threads do beside it (taking frames over from readers, writing
events) is counted in the part that happens to run, and is small. Memory is bounded. Must run on Python 3.6.
"""

import time
from collections import deque
from contextlib import contextmanager
from typing import Deque, Dict, Iterator, Optional, Sequence

from runners.contract.loop_figures import PARTS, Part

NEWEST = 4096  # frames that percentiles are of


class Costs:
    """Adds up from its beginning on, or from the last `begin`."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Forget what was, and count from now on."""
        self._cpu_s = dict.fromkeys(PARTS, 0.0)
        self._wall_s: Dict[str, Deque[float]] = {name: deque(maxlen=NEWEST) for name in PARTS}
        self._in_parts_s = 0.0
        self._began_s = time.process_time()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """What is done inside this block is that part of the work on a frame."""
        cpu_s, wall_s = time.process_time(), time.monotonic()
        yield
        self._wall_s[name].append(time.monotonic() - wall_s)
        spent_s = time.process_time() - cpu_s
        self._cpu_s[name] += spent_s
        self._in_parts_s += spent_s

    def leave_out(self, cpu_s: float) -> None:
        """So much of the program's CPU time was for something else."""
        self._began_s += cpu_s

    def parts(self, frames: int, readers_cpu_s: float) -> Dict[str, Part]:
        """The parts of the work on `frames` frames, for which readers took so much CPU time beside the program."""
        cpu_s = dict(self._cpu_s, rest=time.process_time() - self._began_s - self._in_parts_s)
        cpu_s["decode"] += readers_cpu_s
        return {
            name: Part(
                round(1000 * cpu_s[name] / frames, 4) if frames else None,
                milliseconds(self._wall_s[name], 0.5),
                milliseconds(self._wall_s[name], 0.99),
            )
            for name in PARTS
        }


def milliseconds(seconds: Sequence[float], quantile: float) -> Optional[float]:
    """The quantile of some times, by nearest rank; None where there are none."""
    if not seconds:
        return None
    ordered = sorted(seconds)
    return round(1000 * ordered[min(int(quantile * len(ordered)), len(ordered) - 1)], 4)
