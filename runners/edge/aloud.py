"""A line on standard error, for whoever looks on. Python 3.6 and the standard library."""

import sys
from contextlib import suppress


def say(line: str) -> None:
    """Write it, if that can be: a full disk, or a reader that has gone, must not end who says it."""
    with suppress(OSError):
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
