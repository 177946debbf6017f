"""Power meters: one file each, found by the name that a target's YAML gives as its sampler.

A meter's file has a class `Meter(rails, root)` with a method `watts()`. What cannot be read raises `Unreadable` with
what to do about it: never a zero. Must run on Python 3.6 with the standard library.
"""

import errno
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, List, Sequence


class Unreadable(Exception):
    """A rail cannot be read; the message says why and what to do."""


def names() -> List[str]:
    """The meters that there are, sorted."""
    return sorted(module.name.replace("_", "-") for module in iter_modules(__path__))


def open_meter(name: str, rails: Sequence[str], root: str = "/") -> Any:
    """The meter called `name` on these rails, whose `watts()` is their power now, added up.

    `root` is where the board's /sys is found.

    Raises:
        Unreadable: there is no such meter, no such rail, or no permission to read it.
    """
    if name not in names():
        raise Unreadable("no power meter called {}: there are {}".format(name, ", ".join(names())))
    return import_module("{}.{}".format(__name__, name.replace("-", "_"))).Meter(rails, root)


def read_number(path: str, fix: str) -> int:
    """The whole number in a file of /sys; `fix` says how to get the permission to read it."""
    try:
        with open(path, encoding="ascii") as stream:
            return int(stream.read())
    except PermissionError as error:
        raise Unreadable("{}: no permission to read it; {}".format(path, fix)) from error
    except OSError as error:
        # Of an INA3221 that is asked too often: it answers the next time.
        busy = error.errno == errno.EAGAIN
        raise Unreadable("{}: {}".format(path, "busy" if busy else error.strerror)) from error
    except ValueError as error:
        raise Unreadable("{}: holds no number".format(path)) from error


def read_text(path: str) -> str:
    """The text in a file of /sys without its line end; empty where there is none."""
    try:
        with open(path, encoding="ascii", errors="replace") as stream:
            return stream.read().strip()
    except OSError:
        return ""
