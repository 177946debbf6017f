"""How many times longer a target's core takes than a core of the machine on which the parts of a frame were measured.

Networks are the yardsticks, since they are what both have been measured on: published rates of the target's cores, and
the same networks in the same kind of kernels here. Where only another program's rates have been published for a core,
one that has both is the bridge.
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from statistics import median

from pipeline.predict.frame.measured import network_ms
from pipeline.predict.measurements import MEASUREMENTS_FILE, PUBLISHED
from pipeline.records.targets import Cpu

ONE_CORE_FILE = PUBLISHED / "one-core.csv"
BRIDGE = "Tremont"  # measured with OpenVINO, as our yardsticks are, and with ncnn, as other cores are


@dataclass(frozen=True)
class Slowdown:
    """The median over the yardsticks, and the least and the most of them: a part of a frame may be like any of them."""

    typical: float
    least: float
    most: float

    def __mul__(self, other: "Slowdown | float") -> "Slowdown":
        if not isinstance(other, Slowdown):
            other = Slowdown(other, other, other)
        return Slowdown(self.typical * other.typical, self.least * other.least, self.most * other.most)


def slowdown(cpu: Cpu) -> Slowdown | None:
    """Of a target's cores at their highest clock, all of them busy; None where nothing comparable was published."""
    at_1_ghz = _measured(cpu.name) or _bridged(cpu.name)
    return at_1_ghz * (1 / cpu.burst_ghz) if at_1_ghz else None


@cache
def _measured(core: str) -> Slowdown | None:
    """At 1 GHz, from rates of OpenVINO."""
    found: dict[tuple[str, str], list[float]] = {}
    with MEASUREMENTS_FILE.open(newline="") as file:
        for row in csv.DictReader(file):
            key = (row["network"], row["precision"])
            if row["processor"] == core and not row["excluded"] and key in network_ms():
                core_ms = 1000 * int(row["cores"]) / float(row["inferences_per_s"])
                found.setdefault(key, []).append(core_ms * float(row["clock_ghz"]))
    return _spread(median(times) / network_ms()[key] for key, times in found.items())  # type: ignore[index]


@cache
def _bridged(core: str) -> Slowdown | None:
    """At 1 GHz, from single-threaded times of ncnn on this core and on one that OpenVINO was measured on."""
    bridge, times = _measured(BRIDGE), _single_threaded()
    if bridge is None or core not in times:
        return None
    ours, theirs = times[core], times[BRIDGE]
    ratios = _spread(ours[network] / theirs[network] for network in ours if network in theirs)
    return bridge * ratios if ratios else None


@cache
def _single_threaded() -> dict[str, dict[str, float]]:
    """Milliseconds at 1 GHz by core and network, the median where several machines have the core."""
    found: dict[str, dict[str, list[float]]] = {}
    with ONE_CORE_FILE.open(newline="") as file:
        for row in csv.DictReader(file):
            networks = found.setdefault(row["core"], {})
            networks.setdefault(row["network"], []).append(float(row["latency_ms"]) * float(row["clock_ghz"]))
    return {core: {name: median(times) for name, times in networks.items()} for core, networks in found.items()}


def _spread(ratios: Iterable[float]) -> Slowdown | None:
    found = sorted(ratios)
    return Slowdown(median(found), found[0], found[-1]) if found else None
