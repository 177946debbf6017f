"""What a process and all that it started are doing, as Linux's /proc tells it.

They are known by a mark in their environment, which every descendant inherits: a session of its own, or a parent that
has died, hides none of them.
"""

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MARK = "EDGEPROOF_RUN"
SAMPLE_S = 1.0
KILLED_S = 5.0  # one that waits for a disk dies only when that answers
BUSY_SHARE = 0.02  # of a core: what is less is a timer that looks around now and then
# Sleeping until something happens. All else has work: R runs or waits for a core, as all do on a starved machine, D
# waits for a disk, also that of swapped memory, and T is stopped by somebody who may let it go on.
ASLEEP = frozenset("SI")
DEAD = frozenset("ZXx")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")


@dataclass(frozen=True)
class Activity:
    """CPU seconds that processes have used so far, and whether any of their threads has something to do."""

    cpu_s: float
    awake: bool


def marked(mark: str) -> list[int]:
    """The processes that have `mark` in their environment, by number; dead ones have none any more."""
    entry = f"{MARK}={mark}\0".encode()
    found = []
    for number in _numbers(_PROC):
        with suppress(OSError):  # it has ended, or is somebody else's
            if entry in (_PROC / str(number) / "environ").read_bytes() + b"\0":
                found.append(number)
    return found


def kill(mark: str) -> None:
    """Kill all that have `mark`, and what they start meanwhile."""
    deadline = time.monotonic() + KILLED_S
    while (found := marked(mark)) and time.monotonic() < deadline:
        for number in found:
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        time.sleep(0.01)


def observed(mark: str) -> Activity | None:
    """What those with `mark` do now; None where that is not known."""
    cpu_s, awake, threads = 0.0, False, 0
    for number in marked(mark):
        cpu_s += _cpu_s(number)
        for thread in _numbers(_PROC / str(number) / "task"):
            state, _ = _status(_PROC / str(number) / "task" / str(thread))
            threads += state not in DEAD
            awake = awake or state not in ASLEEP | DEAD
    return Activity(cpu_s, awake) if threads else None


class Standstill:
    """How long processes have done nothing, and the CPU time that they have used, since this was made.

    Only what was looked at counts: where the one who looks was stopped himself, and perhaps all with him, the time
    begins anew. Nothing is looked at in the first SAMPLE_S, so that what answers soon costs nothing.
    """

    def __init__(self, mark: str) -> None:
        self._mark = mark
        self._first: Activity | None = None
        self._last: Activity | None = None
        self._looked = self._moved = time.monotonic()

    @property
    def idle_s(self) -> float:
        """For how long nothing had moved when `look` looked last."""
        return self._looked - self._moved

    @property
    def cpu_s(self) -> float | None:
        """The CPU time used by what is still there, since it was first looked at; None before."""
        return self._last.cpu_s - self._first.cpu_s if self._first and self._last else None

    def look(self) -> None:
        """Look at them, if that is due; to be called more often than every SAMPLE_S."""
        now = time.monotonic()
        passed = now - self._looked
        if passed < SAMPLE_S:
            return
        found = observed(self._mark)
        if found is None or self._last is None or passed > 3 * SAMPLE_S:
            still = False
        else:
            still = not found.awake and abs(found.cpu_s - self._last.cpu_s) <= BUSY_SHARE * passed
        if not still:
            self._moved = now
        self._first = self._first or found
        self._looked, self._last = now, found


def _numbers(folder: Path) -> list[int]:
    try:
        return [int(entry.name) for entry in folder.iterdir() if entry.name.isdigit()]
    except OSError:
        return []


def _cpu_s(number: int) -> float:
    _, ticks = _status(_PROC / str(number))
    return ticks / _TICKS_PER_S


def _status(folder: Path) -> tuple[str, int]:
    """The state (proc_pid_stat(5)) of a process or thread, and the clock ticks that it used; X where it is gone."""
    try:
        # The name before it, in brackets, may hold anything.
        fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
        return fields[0], int(fields[11]) + int(fields[12])
    except (OSError, IndexError):
        return "X", 0
