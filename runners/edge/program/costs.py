"""What each part of a frame's work costs: CPU time and wall time. Must run on Python 3.6.

Frames are prepared on the program's main thread while the network calculates the regions of the one before on others,
so CPU time is counted by thread: OpenCV is to stay on the one that calls it. Memory is bounded.
"""

import math
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
        self._left_out_s = time.process_time()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """What this thread does inside this block is that part of the work on a frame."""
        cpu_s, wall_s = _thread_cpu_s(), time.monotonic()
        yield
        self._cpu_s[name] += _thread_cpu_s() - cpu_s
        self.took(name, time.monotonic() - wall_s)

    def took(self, name: str, wall_s: float) -> None:
        """That part took so long, elsewhere."""
        self._wall_s[name].append(wall_s)

    def leave_out(self, cpu_s: float) -> None:
        """So much of the program's CPU time was for something else."""
        self._left_out_s += cpu_s

    def parts(self, frames: int, readers_cpu_s: float, network_cpu_s: float) -> Dict[str, Part]:
        """The parts of the work on `frames` frames, for which the readers took so much CPU time beside the program, and
        the network's threads within it."""
        program_s = time.process_time() - self._left_out_s
        cpu_s = dict(self._cpu_s, classify=network_cpu_s)
        cpu_s["rest"] = max(program_s - sum(cpu_s.values()), 0.0)
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
    return round(1000 * sorted(seconds)[max(math.ceil(quantile * len(seconds)) - 1, 0)], 4)


def _thread_cpu_s() -> float:
    return time.clock_gettime(time.CLOCK_THREAD_CPUTIME_ID)  # time.thread_time came with Python 3.7
