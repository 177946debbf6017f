"""Intel's running average power limit: energy counters in /sys/class/powercap (Linux, drivers/powercap).

Goldmont counts in steps of 61 microjoules and wraps at `max_energy_range_uj`, after hours. The counters are readable by
root only since Linux 5.10 (CVE-2020-8694).
"""

import glob
import os
import time
from typing import Sequence

from runners.edge.meters import Unreadable, read_number, read_text

ZONES = "sys/class/powercap/intel-rapl:*"
FIX = "give the runner's group the right by a udev rule (SUBSYSTEM==powercap), or run as root"


class Meter:
    """Watts as the mean since the last reading, over the zones whose names are the rails (`package-0`)."""

    def __init__(self, rails: Sequence[str], root: str = "/") -> None:
        zones = {read_text(os.path.join(path, "name")): path for path in glob.glob(os.path.join(root, ZONES))}
        missing = [rail for rail in rails if rail not in zones]
        if missing:
            known = ", ".join(sorted(zones)) or "none: load the module intel_rapl_msr"
            raise Unreadable("no RAPL zone {}; there are {}".format(", ".join(missing), known))
        self._zones = [zones[rail] for rail in rails]
        self._ranges = [read_number(os.path.join(zone, "max_energy_range_uj"), FIX) for zone in self._zones]
        self._time, self._energies = time.monotonic(), self._read()

    def watts(self) -> float:
        """Mean power since the last call, or since the meter was opened."""
        now, energies = time.monotonic(), self._read()
        # A counter that has wrapped is smaller than before.
        used = [(new - old) % (limit + 1) for new, old, limit in zip(energies, self._energies, self._ranges)]
        passed = now - self._time
        self._time, self._energies = now, energies
        if not passed or not any(used):
            raise Unreadable("the RAPL counters stand still: ask less often than every 10 ms")
        return sum(used) / 1e6 / passed

    def _read(self) -> "list[int]":
        return [read_number(os.path.join(zone, "energy_uj"), FIX) for zone in self._zones]
