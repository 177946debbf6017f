"""Texas Instruments' INA3221 on a Jetson module, by the driver of JetPack 4 (ina3221x, industrial I/O).

Each reading is a conversion over I2C; in continuous mode a value is the mean of about 0.4 s. Files with `trigger` in
their names read 0 in triggered mode and are never read. The number of `iio:device` differs from release to release, so
rails are found by their names.
"""

import glob
import os
from typing import Sequence

from runners.edge.meters import Unreadable, read_number, read_text

DEVICES = "sys/bus/i2c/drivers/ina3221x/*/iio:device*"
FIX = "run as root, or give the runner's group the right by a udev rule (SUBSYSTEM==iio)"


class Meter:
    """Watts of the rails by their names (`VDD_IN` is a TX2 module's total), added up."""

    def __init__(self, rails: Sequence[str], root: str = "/") -> None:
        found = {}
        for name in glob.glob(os.path.join(root, DEVICES, "rail_name_*")):
            channel = name.rsplit("_", 1)[1]
            found[read_text(name)] = os.path.join(os.path.dirname(name), "in_power{}_input".format(channel))
        missing = [rail for rail in rails if rail not in found]
        if missing:
            known = ", ".join(sorted(found)) or "none: this is no Jetson with JetPack 4"
            raise Unreadable("no INA3221 rail {}; there are {}".format(", ".join(missing), known))
        self._files = [found[rail] for rail in rails]

    def watts(self) -> float:
        """Power now; a rail that is busy is asked once more."""
        return sum(self._milliwatts(file) for file in self._files) / 1000.0

    def _milliwatts(self, file: str) -> int:
        try:
            value = read_number(file, FIX)
        except Unreadable as error:
            if not str(error).endswith("busy"):
                raise
            value = read_number(file, FIX)
        if value <= 0:
            raise Unreadable("{}: reads {} mW, which no running module takes".format(file, value))
        return value
