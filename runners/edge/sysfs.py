"""The small files of /sys and /proc, which may be missing, forbidden, busy or gone from one reading to the next.

Must run on Python 3.6 with the standard library.
"""

import errno
import glob
import os
from typing import List, Optional


class Unreadable(Exception):
    """Something cannot be read; the message says why and, where one can do something about it, what."""


class Busy(Unreadable):
    """The sensor was asked too soon: it answers the next time."""


def read_number(path: str, fix: str) -> int:
    """The whole number in a file; `fix` says how to get the permission to read it.

    Raises:
        Unreadable: there is none.
    """
    try:
        with open(path, encoding="ascii") as stream:
            return int(stream.read())
    except PermissionError as error:
        raise Unreadable("{}: no permission to read it; {}".format(path, fix)) from error
    except OSError as error:
        if error.errno == errno.EAGAIN:
            raise Busy("{}: busy".format(path)) from error
        raise Unreadable("{}: {}".format(path, error.strerror)) from error
    except ValueError as error:
        raise Unreadable("{}: holds no number".format(path)) from error


def number(path: str) -> Optional[int]:
    """The whole number in a file; None where there is none to be read."""
    try:
        return read_number(path, "")
    except Unreadable:
        return None


def read_text(path: str) -> str:
    """The text in a file without its line end, or the zero byte that ends it in a device tree; empty without one."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read().strip("\0 \t\r\n")
    except OSError:
        return ""


def find(root: str, *patterns: str) -> List[str]:
    """The paths below `root` that match one of the patterns, sorted."""
    return sorted(path for pattern in patterns for path in glob.glob(os.path.join(glob.escape(root), pattern)))
