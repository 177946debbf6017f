"""Texas Instruments' INA219, 226, 260 and their like on an I2C bus, by the kernel's hwmon drivers: microwatts.

The chip knows the current only through its shunt: where `shunt_resistor` is not what is soldered in, every reading is
wrong by the same factor. A rail is the chip's `label` where it has one, else its place on the bus (`1-0040`).
"""

import os
from typing import Dict, List, Sequence

from runners.edge.meters import PowerMeter, absent
from runners.edge.sysfs import Unreadable, find, number, read_number, read_text

CHIPS = "sys/bus/i2c/drivers/ina2*/*/hwmon/hwmon*/power1_input"
FIX = "run as root, or give the runner's group the right by a udev rule (SUBSYSTEM==hwmon)"


class Meter(PowerMeter):
    """Watts of the chips, added up."""

    def __init__(self, rails: Sequence[str], root: str = "/") -> None:
        found = _chips(root)
        missing = [rail for rail in rails if rail not in found]
        if missing:
            raise absent("INA2xx chip", missing, sorted(found), "load the module ina2xx and name the chip to the bus")
        self._files = {rail: found[rail] for rail in rails}
        folder = os.path.dirname(found[rails[0]])
        shunt, interval = (number(os.path.join(folder, name)) for name in ("shunt_resistor", "update_interval"))
        self.mode = "shunt {} microohms, a value in {} ms".format(shunt or "unknown", interval or "unknown")

    @staticmethod
    def rails(root: str = "/") -> List[str]:
        """By label or place."""
        return sorted(_chips(root))

    def watts(self) -> float:
        """Power now."""
        values = {rail: read_number(file, FIX) for rail, file in self._files.items()}
        for rail, value in values.items():
            if value <= 0:
                raise Unreadable(
                    "{} reads {} microwatts, which is no power that a rail in use takes".format(rail, value)
                )
        return sum(values.values()) / 1e6


def _chips(root: str) -> Dict[str, str]:
    found = {}
    for file in find(root, CHIPS):
        folder = os.path.dirname(file)
        place = os.path.basename(os.path.dirname(os.path.dirname(folder)))
        found[read_text(os.path.join(folder, "label")) or place] = file
    return found
