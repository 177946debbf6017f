"""Intel's running average power limit: energy counters in /sys/class/powercap (Linux, drivers/powercap).

Goldmont counts in steps of 61 microjoules and wraps at `max_energy_range_uj`, after hours. The counters are readable by
root only since Linux 5.10 (CVE-2020-8694).
"""

import os
import time
from typing import Dict, List, Sequence

from runners.edge.meters import PowerMeter, absent
from runners.edge.sysfs import Unreadable, find, read_number, read_text

ZONES = "sys/class/powercap/intel-rapl:*"
FIX = "give the runner's group the right by a udev rule (SUBSYSTEM==powercap), or run as root"
SHORTEST_S = 0.01  # counters move about once a millisecond
MOST_W = 1000.0  # more than any package takes: above it a counter has jumped, and within it a wrap is told from two


class Meter(PowerMeter):
    """Watts as the mean since the last reading, over the zones whose names (`package-0`) or folders are the rails."""

    averages = True
    mode = "energy counter"

    def __init__(self, rails: Sequence[str], root: str = "/") -> None:
        found = _zones(root)
        missing = [rail for rail in rails if rail not in found]
        if missing:
            raise absent("RAPL zone", missing, self.rails(root), "load the module intel_rapl_msr")
        for rail in rails:
            if len(found[rail]) > 1:
                folders = " or ".join(os.path.basename(path) for path in found[rail])
                raise Unreadable("more than one RAPL zone is called {}: say {}".format(rail, folders))
        self._zones = [found[rail][0] for rail in rails]
        for zone in self._zones:
            if any(other.startswith(zone + ":") for other in self._zones):
                raise Unreadable("{} already holds zones inside it: name it alone".format(os.path.basename(zone)))
        self._ranges = [read_number(os.path.join(zone, "max_energy_range_uj"), FIX) for zone in self._zones]
        self._time, self._energies = time.monotonic(), self._read()

    @staticmethod
    def rails(root: str = "/") -> List[str]:
        """By name, packages first."""
        zones = {read_text(os.path.join(path, "name")) for path in find(root, ZONES)}
        return sorted(zones, key=lambda zone: (not zone.startswith("package"), zone))

    def watts(self) -> float:
        """Mean power since the last call, or since the meter was opened."""
        now, energies = time.monotonic(), self._read()
        # A counter that has wrapped is smaller than before.
        used = [(new - old) % (limit + 1) for new, old, limit in zip(energies, self._energies, self._ranges)]
        passed = now - self._time
        self._time, self._energies = now, energies
        if not passed or not any(used):
            why = "ask less often than every 10 ms" if passed < SHORTEST_S else "this machine does not count"
            raise Unreadable("the RAPL counters stand still: {}".format(why))
        if passed * MOST_W * 1e6 > min(self._ranges):
            raise Unreadable("not asked for {:.0f} s: a RAPL counter may have wrapped more than once".format(passed))
        watts = sum(used) / 1e6 / passed
        if watts > MOST_W:
            raise Unreadable("a RAPL counter has jumped: {:.0f} W in {:.3f} s cannot be".format(watts, passed))
        return watts

    def _read(self) -> List[int]:
        return [read_number(os.path.join(zone, "energy_uj"), FIX) for zone in self._zones]


def _zones(root: str) -> Dict[str, List[str]]:
    """The zones that a rail may mean: by name, which several packages share, and by folder."""
    found: Dict[str, List[str]] = {}
    for path in find(root, ZONES):
        found.setdefault(read_text(os.path.join(path, "name")), []).append(path)
        found[os.path.basename(path)] = [path]
    return found
