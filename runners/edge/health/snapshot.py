"""How a board is at one moment, as plain values that go through JSON. Must run on Python 3.6, standard library only."""

import os
from typing import Any, Dict, NamedTuple, Optional

from runners.edge.health.clocks import Clock, Clocks, turbo
from runners.edge.health.temperatures import fan_percent, temperatures_c
from runners.edge.sysfs import find, number, read_text

COOLING = "sys/class/thermal/cooling_device*"
# Cooling devices that slow nothing down when they work: a fan, a screen's brightness, the offset of a trip point.
HARMLESS = ("fan", "lcd", "tcc offset")
COUNTERS = (
    "sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/*_throttle_count",
    "sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/*_power_limit_count",
    # Orin: 1 is under-voltage, 2 the average over-current; 3, of short peaks, rises on healthy boards, too.
    "sys/devices/platform/soctherm-oc-event/hwmon/hwmon*/oc[12]_event_cnt",
)
LIMITS = "sys/class/powercap/intel-rapl:*/constraint_*_name"


class Snapshot(NamedTuple):
    """`cooling` are states by cooling device, 0 at rest; `counters` only rise; `limits_w` are for long times."""

    clocks: Dict[str, Clock]
    temperatures_c: Dict[str, float]
    fan_percent: Optional[float]
    cooling: Dict[str, int]
    counters: Dict[str, int]
    limits_w: Dict[str, float]
    turbo: Optional[bool]


class Board:
    """Takes snapshots of the board whose /sys and /proc are below `root`."""

    def __init__(self, root: str = "/") -> None:
        self._root = root
        self._clocks = Clocks(root)

    def snapshot(self) -> Snapshot:
        """The board now. What it does not tell is left out."""
        root = self._root
        return Snapshot(
            self._clocks.read(), temperatures_c(root), fan_percent(root), _cooling(root), _counters(root),
            limits_w(root), turbo(root),
        )  # fmt: skip


def limits_w(root: str = "/") -> Dict[str, float]:
    """What each RAPL zone may take for long (PL1), by the zone's name."""
    found = {}
    for path in find(root, LIMITS):
        limit = number(path[: -len("name")] + "power_limit_uw")
        if read_text(path) == "long_term" and limit:
            found[read_text(os.path.join(os.path.dirname(path), "name"))] = limit / 1e6
    return found


def as_json(snapshot: Snapshot) -> Dict[str, Any]:
    """Plain dictionaries and lists."""
    return dict(snapshot._asdict())


def of_json(content: Dict[str, Any]) -> Snapshot:
    """The snapshot that became this."""
    clocks = {name: Clock(*clock) for name, clock in content["clocks"].items()}
    return Snapshot(**dict(content, clocks=clocks))


def _cooling(root: str) -> Dict[str, int]:
    found = {}
    for device in find(root, COOLING):
        kind, state = read_text(os.path.join(device, "type")), number(os.path.join(device, "cur_state"))
        if state is not None and not any(word in kind.lower() for word in HARMLESS):
            found["{} ({})".format(os.path.basename(device), kind or "of no type")] = state
    return found


def _counters(root: str) -> Dict[str, int]:
    found = {}
    for path in find(root, *COUNTERS):
        value, parts = number(path), path.split(os.sep)
        if value is not None:
            core = parts[-3] + " " if parts[-2] == "thermal_throttle" else ""
            found[core + parts[-1]] = value
    return found
