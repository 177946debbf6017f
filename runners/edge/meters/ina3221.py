"""Texas Instruments' INA3221 on a Jetson module: JetPack 4 (ina3221x, industrial I/O), JetPack 5 and 6 (hwmon).

JetPack 4 gives milliwatts. Its files with `trigger` in their names read 0 in triggered mode and are never read. hwmon
gives millivolts and milliamperes of three channels; a seventh, the sum of shunt voltages, is none of them. The numbers
in `iio:device1` and `hwmon3` change from board to board and boot to boot, so rails are found by their names.
"""

import os
from typing import Dict, List, Sequence

from runners.edge.meters import PowerMeter, absent
from runners.edge.sysfs import Busy, Unreadable, find, number, read_number, read_text

CHANNELS = (
    "sys/bus/i2c/drivers/ina3221x/*/iio?device*/rail_name_[0-2]",
    "sys/bus/i2c/drivers/ina3221/*/hwmon/hwmon*/in[1-3]_label",
)
TOTALS = ("VDD_IN", "POM_5V_IN", "VDD_MUX")  # of the module, of a Nano, of a TX2's carrier
FIX = "run as root, or give the runner's group the right by a udev rule (SUBSYSTEM==iio or hwmon)"
RUNNING_MODES = {0: "triggered: one unaveraged sample a reading", 1: "continuous"}


class Meter(PowerMeter):
    """Watts of the rails by their names (`VDD_IN` is a module's total), added up."""

    def __init__(self, rails: Sequence[str], root: str = "/") -> None:
        found = _channels(root)
        missing = [rail for rail in rails if rail not in found]
        if missing:
            raise absent("INA3221 rail", missing, self.rails(root), "no driver ina3221 or ina3221x is bound here")
        total = next((rail for rail in rails if rail in TOTALS), None)
        if total and len(rails) > 1:
            raise Unreadable("{} already holds the other rails: name it alone".format(total))
        self._channels = {rail: found[rail] for rail in rails}
        self.mode = _mode(os.path.dirname(found[rails[0]]))

    @staticmethod
    def rails(root: str = "/") -> List[str]:
        """By name, totals first."""
        return sorted(_channels(root), key=lambda rail: (rail not in TOTALS, rail))

    def watts(self) -> float:
        """Power now; a rail that is busy is asked once more."""
        return sum(self._milliwatts(rail) for rail in self._channels) / 1000.0

    def _milliwatts(self, rail: str) -> float:
        try:
            value = _read(self._channels[rail])
        except Busy:
            value = _read(self._channels[rail])
        if value <= 0:
            raise Unreadable("{} reads {:g} mW, which is no power that a rail in use takes".format(rail, value))
        return value


def _channels(root: str) -> Dict[str, str]:
    """Where the files of each rail begin: `…/in_power0_input`, or `…/in1_input` and `…/curr1_input`."""
    names = ((read_text(path), path) for path in find(root, *CHANNELS))
    return {name: path for name, path in names if name not in ("", "NC")}  # NC: not connected


def _read(channel: str) -> float:
    folder, name = os.path.split(channel)
    if name.startswith("rail_name_"):
        return read_number(os.path.join(folder, "in_power{}_input".format(name[-1])), FIX)
    volts = read_number(os.path.join(folder, "in{}_input".format(name[2])), FIX)
    return volts * read_number(os.path.join(folder, "curr{}_input".format(name[2])), FIX) / 1000.0


def _mode(folder: str) -> str:
    mode = number(os.path.join(folder, "running_mode"))
    if mode is not None:
        return RUNNING_MODES.get(mode, "running_mode {}".format(mode))
    interval, samples = (number(os.path.join(folder, name)) for name in ("update_interval", "samples"))
    return "a value in {} ms, mean of {}".format(interval or "unknown", samples or "unknown")
