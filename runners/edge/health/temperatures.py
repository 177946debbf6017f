"""Temperatures of all thermal zones, and the fan. Must run on Python 3.6 with the standard library.

A zone whose sensor is absent or asleep reads about -256 degrees, and `PMIC` of a Jetson is a constant: neither is one.
"""

import os
from typing import Dict, Optional

from runners.edge.sysfs import find, number, read_text

ZONES = "sys/class/thermal/thermal_zone*"
CONSTANTS = ("PMIC-Die", "PMIC")
COLDEST_C, HOTTEST_C = -55.0, 150.0
# Of 255 (JetPack 4; JetPack 5 and other boards).
FANS = ("sys/devices/pwm-fan/cur_pwm", "sys/devices/platform/pwm-fan/hwmon/hwmon*/pwm1")


def temperatures_c(root: str = "/") -> Dict[str, float]:
    """Degrees Celsius by the zone's type, with its number where several are of one type."""
    found: Dict[str, float] = {}
    for zone in find(root, ZONES):
        value, name = number(os.path.join(zone, "temp")), read_text(os.path.join(zone, "type"))
        if value is None or name in CONSTANTS or not COLDEST_C < value / 1000.0 < HOTTEST_C:
            continue
        zone_number = os.path.basename(zone)[len("thermal_zone") :]
        found[name if name and name not in found else "{}-{}".format(name, zone_number)] = value / 1000.0
    return found


def fan_percent(root: str = "/") -> Optional[float]:
    """How hard the fan is driven; None without one."""
    values = [number(path) for path in find(root, *FANS)]
    return next((100.0 * value / 255 for value in values if value is not None and 0 <= value <= 255), None)
