"""What a monitor wrote down: readings of power and of health with the time of each, one JSON object per line.

Times are nanoseconds of the monotonic clock, which no change of the date moves and which is one for all processes of a
board. Must run on Python 3.6 with the standard library.
"""

import json
import time
from typing import Iterable, List, NamedTuple, Optional, Tuple

from runners.edge.health import snapshot
from runners.edge.health.snapshot import Snapshot

Sample = Tuple[int, float]


class Recording(NamedTuple):
    """`samples` are watts; with `averages` each is the mean since the one before it, the first since `opened_ns`.

    `hz` is how many samples a second were asked for. `failures` are what was said instead of a sample, each once until
    it changes. `core` is the one that the monitor had to itself, `ended` says why it ended before it was told to.
    """

    meter: str
    rails: List[str]
    hz: float
    samples: List[Sample]
    failures: List[Tuple[int, str]]
    snapshots: List[Tuple[int, Snapshot]]
    core: Optional[int] = None
    opened_ns: Optional[int] = None
    averages: bool = False
    mode: Optional[str] = None
    ended: Optional[str] = None


def now_ns() -> int:
    """The monotonic clock (`time.monotonic_ns` came with Python 3.7)."""
    return int(time.monotonic() * 1e9)


def read(lines: Iterable[str], meter: str, rails: List[str], hz: float) -> Recording:
    """The recording in these lines. A last line that a killed process left unfinished is left out."""
    recording = Recording(meter, rails, hz, [], [], [])
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        t_ns = entry["t_ns"]
        if "watts" in entry:
            recording.samples.append((t_ns, entry["watts"]))
        elif "failure" in entry:
            recording.failures.append((t_ns, entry["failure"]))
        elif "health" in entry:
            recording.snapshots.append((t_ns, snapshot.of_json(entry["health"])))
        elif "core" in entry:
            recording = recording._replace(core=entry["core"])
        else:
            recording = recording._replace(opened_ns=t_ns, averages=entry["averages"], mode=entry["mode"])
    return recording
