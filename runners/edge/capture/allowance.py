"""How many captures may be made: caps per minute, hour and day, and a quarter of each for every reason.

So a camera that drifts for days leaves room for the random share, by which the others are judged. Time is the time that
the program ran, by the monotonic clock: a clock that is set changes nothing, and neither does a restart, since the
counts lie on the disk. Python 3.6 and the standard library.
"""

import json
import threading
import time
from collections import deque
from typing import Any, Callable, Deque, Dict, Tuple

from runners.contract import records
from runners.contract.capture_facts import REASONS
from runners.edge import durable, procfs
from runners.edge.capture.wanted import Wanted

MINUTE_S, HOUR_S, DAY_S = 60.0, 3600.0, 86400.0
SAVED_S = 600.0  # how much of its time a power cut may make forget


class Allowance:
    """What is left, counted in `file`. Any thread may ask."""

    def __init__(self, file: str, wanted: Wanted, clock: Callable[[], float] = time.monotonic) -> None:
        self._file, self._clock, self._boot = file, clock, procfs.boot()
        self._caps = ((MINUTE_S, wanted.most_a_minute), (HOUR_S, wanted.most_an_hour), (DAY_S, wanted.most_a_day))
        self._lock = threading.Lock()
        self._made: Deque[Tuple[float, str]] = deque()
        self._before_s = self._load()
        self._began_s = self._saved_s = clock()

    def allows(self, reason: str) -> bool:
        """Whether one more may be made for this reason."""
        return self._left().get(reason, 0) > 0

    @property
    def is_open(self) -> bool:
        """Whether one more may be made for any reason."""
        return any(left > 0 for left in self._left().values())

    def take(self, reason: str) -> None:
        """Count one more; on the disk when this returns.

        Raises:
            OSError: it is not; it counts all the same.
        """
        with self._lock:
            self._made.append((self._now_s(), reason))
        self._save()

    def tick(self) -> None:
        """Save how long it ran, now and then."""
        if self._clock() - self._saved_s >= SAVED_S:
            self._save()

    def _left(self) -> Dict[str, int]:
        with self._lock:
            now_s = self._now_s()
            while self._made and now_s - self._made[0][0] >= DAY_S:
                self._made.popleft()
            left = dict.fromkeys(REASONS, 1 << 30)
            for period_s, most in self._caps:
                lately = [reason for made_s, reason in self._made if now_s - made_s < period_s]
                for reason in REASONS:
                    share = -(-most // len(REASONS)) - lately.count(reason)
                    left[reason] = min(left[reason], share, most - len(lately))
            return left

    def _now_s(self) -> float:
        """For how long it ran, all starts together."""
        return self._before_s + self._clock() - self._began_s

    def _save(self) -> None:
        with self._lock:
            content = {
                "boot": self._boot, "monotonic_s": self._clock(), "ran_s": self._now_s(), "made": list(self._made),
            }  # fmt: skip
        self._saved_s = self._clock()
        durable.write(self._file, json.dumps(content).encode("utf-8"))

    def _load(self) -> float:
        """How long it ran before; nothing is known where the file is missing or damaged."""
        kinds = {"boot": str, "monotonic_s": float, "ran_s": float, "made": list}  # type: records.Kinds
        try:
            found = records.checked(records.load(self._file), kinds)
            made = [_made(one) for one in found["made"]]
        except ValueError:
            return 0.0
        self._made.extend(sorted(one for one in made if one[0] <= found["ran_s"]))
        since_s = self._clock() - found["monotonic_s"] if found["boot"] == self._boot else 0.0
        return float(found["ran_s"] + max(since_s, 0.0))


def _made(one: Any) -> Tuple[float, str]:
    if not isinstance(one, list) or len(one) != 2 or type(one[0]) not in (int, float) or one[1] not in REASONS:
        raise ValueError("it is no list of captures")
    return float(one[0]), str(one[1])
