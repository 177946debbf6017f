"""Waiting for what other threads and processes do, with a limit that a busy machine keeps too."""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
LIMIT_S = 60.0


def until(condition: Callable[[], T], within_s: float = LIMIT_S, told: Callable[[], object] = str) -> T:
    """What the condition answers, once that counts as true; where it never does the test fails with what is `told`."""
    limit_s = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < limit_s, told()
        time.sleep(0.02)
    return found


def children(process: int) -> list[int]:
    """The processes that this one has started, by number."""
    found = []
    for task in Path(f"/proc/{process}/task").glob("*"):
        with suppress(OSError):  # a thread that has ended since
            found += map(int, (task / "children").read_text().split())
    return sorted(found)


def has_ended(process: int) -> bool:
    """A zombie has, though an init that reaps no strangers may keep it."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
