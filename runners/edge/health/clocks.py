"""Clocks of processors and GPUs: what they run at, what they are set to, and how busy they are.

One clock for each domain that the kernel scales as one: a cluster by its first core (`cpu0`), a Jetson's GPU by its
address (`17000000.gp10b`), an Intel GPU by its card (`card0`). Must run on Python 3.6 with the standard library.
"""

import os
from typing import Dict, List, NamedTuple, Optional, Tuple

from runners.edge.sysfs import find, number, read_text

POLICIES = "sys/devices/system/cpu/cpufreq/policy*"
DEVICES = ("sys/class/devfreq/*", "sys/devices/*/devfreq/*")
INTEL_GPUS = "sys/class/drm/card[0-9]"
LOADS = ("device/load", "../../load")  # of a Jetson's GPU, 0 to 1000, seen from its folder of devfreq

Ticks = Tuple[int, int]  # busy, all


class Clock(NamedTuple):
    """`set_mhz` is the most that governor and power mode allow; `busy` the share of time that it had work, 0 to 1."""

    mhz: float
    set_mhz: Optional[float]
    busy: Optional[float]


class Clocks:
    """Reads all clocks again and again: how busy a core was is known from the second reading on."""

    def __init__(self, root: str = "/") -> None:
        self._root = root
        self._ticks: Dict[int, Ticks] = {}

    def read(self) -> Dict[str, Clock]:
        """The clocks by name. What is off or cannot be read is left out."""
        before, self._ticks = self._ticks, _ticks(os.path.join(self._root, "proc/stat"))
        clocks = {}
        for policy in find(self._root, POLICIES):
            mhz = _mhz(policy, "scaling_cur_freq", 1e3)
            cores = cores_of(read_text(os.path.join(policy, "affected_cpus")).replace(" ", ","))
            busy = [_busy(before[core], self._ticks[core]) for core in cores if core in before and core in self._ticks]
            if mhz and cores:
                name = os.path.basename(policy).replace("policy", "cpu")
                clocks[name] = Clock(mhz, _mhz(policy, "scaling_max_freq", 1e3), max(busy, default=None))
        for device in find(self._root, *DEVICES):
            mhz = _mhz(device, "cur_freq", 1e6)
            loads = [number(os.path.join(device, name)) for name in LOADS]
            load = next((load / 1000.0 for load in loads if load is not None), None)
            if mhz:
                clocks[os.path.basename(device)] = Clock(mhz, _mhz(device, "max_freq", 1e6), load)
        for card in find(self._root, INTEL_GPUS):
            mhz = _mhz(card, "gt_act_freq_mhz", 1.0)
            if mhz:
                clocks[os.path.basename(card)] = Clock(mhz, _mhz(card, "gt_max_freq_mhz", 1.0), None)
        return clocks


def cores_of(text: str) -> List[int]:
    """The numbers in a list of the kernel's, such as `0,3-5`."""
    cores: List[int] = []
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        cores += range(int(first), int(last or first) + 1)
    return cores


def turbo(root: str = "/") -> Optional[bool]:
    """Whether cores may go beyond their base clock; None where there is no such thing."""
    off = number(os.path.join(root, "sys/devices/system/cpu/intel_pstate/no_turbo"))
    on = number(os.path.join(root, "sys/devices/system/cpu/cpufreq/boost"))
    return not off if off is not None else None if on is None else bool(on)


def governors(root: str = "/") -> List[str]:
    """The governors of all cores, each once."""
    return sorted({read_text(os.path.join(policy, "scaling_governor")) for policy in find(root, POLICIES)} - {""})


def _mhz(folder: str, name: str, scale: float) -> Optional[float]:
    value = number(os.path.join(folder, name))
    return value / scale if value and value > 0 else None  # 0: it sleeps


def _ticks(path: str) -> Dict[int, Ticks]:
    """What each core has done since the board started: user, nice, system, idle, waiting for a disk, ..."""
    ticks = {}
    for line in read_text(path).splitlines():
        name, _, rest = line.partition(" ")
        if name.startswith("cpu") and name[3:].isdigit():
            times = [int(part) for part in rest.split()[:8]]  # a guest's time is in the user's already
            ticks[int(name[3:])] = sum(times) - sum(times[3:5]), sum(times)
    return ticks


def _busy(before: Ticks, now: Ticks) -> float:
    return (now[0] - before[0]) / max(now[1] - before[1], 1)
