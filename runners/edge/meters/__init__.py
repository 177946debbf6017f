"""Power meters: one file each, found by the name that a target's YAML gives as its sampler.

A meter's file has a class `Meter`, a `PowerMeter`. What cannot be read raises `Unreadable` with what to do about it:
never a zero. Must run on Python 3.6 with the standard library.
"""

from importlib import import_module
from pkgutil import iter_modules
from typing import List, Optional, Sequence, Type

from runners.edge.sysfs import Unreadable


class PowerMeter:
    """Reads the power of rails, added up. Asked about ten times a second.

    `averages` tells whether a reading is the mean since the last one, or the power at that moment. `mode` says how the
    sensor is set, which belongs to every number that it gives.
    """

    averages = False
    mode: Optional[str] = None

    def __init__(self, rails: Sequence[str], root: str = "/") -> None:
        """Find the rails in the board's /sys below `root`.

        Raises:
            Unreadable: there is no such rail, or no permission to read it.
        """

    @staticmethod
    def rails(root: str = "/") -> List[str]:
        """The rails that this board has, those of the whole board first."""
        return []

    def watts(self) -> float:
        """Power of all rails together.

        Raises:
            Unreadable: a rail gives no reading that can be true.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Give back what the meter holds."""


def names() -> List[str]:
    """The meters that there are, sorted."""
    return sorted(module.name.replace("_", "-") for module in iter_modules(__path__))


def kind(name: str) -> Type[PowerMeter]:
    """The meter called `name`.

    Raises:
        Unreadable: there is none.
    """
    if name not in names():
        raise Unreadable("no power meter called {}: there are {}".format(name, ", ".join(names())))
    found: Type[PowerMeter] = import_module("{}.{}".format(__name__, name.replace("-", "_"))).Meter
    return found


def open_meter(name: str, rails: Sequence[str], root: str = "/") -> PowerMeter:
    """The meter called `name` on these rails; `root` is where the board's /sys is found.

    Raises:
        Unreadable: there is no such meter, no such rail, or no permission to read it.
    """
    if not rails or len(set(rails)) < len(rails):
        raise Unreadable("{}: name at least one rail, and each of them once".format(name))
    return kind(name)(rails, root)


def absent(sensor: str, rails: Sequence[str], found: Sequence[str], why_none: str) -> Unreadable:
    """What to say of rails that are not there."""
    known = ", ".join(found) or "none: " + why_none
    return Unreadable("no {} {}; there are {}".format(sensor, ", ".join(rails), known))
