"""Any lab meter: a command that prints a line `t_ns watts` for each of its readings, as often as it likes.

The rail is the command itself. Its clock may count from any moment, as it only says how far apart its readings are; it
must not jump, and lines must not be held back (a Python program needs `print(..., flush=True)`). Lines of another form
are taken for messages: the last one is named when nothing else comes.
"""

import ctypes
import math
import os
import select
import shlex
import signal
import subprocess
import time
from contextlib import suppress
from typing import List, Optional, Sequence, Tuple

from runners.edge.meters import PowerMeter
from runners.edge.sysfs import Unreadable

SILENCE_S = 2.5  # a meter that is slower is too slow for this
MOST_LATE_S = 1.0
PIPE_BYTES = 1 << 16  # what a pipe holds
LINE_BYTES = 1 << 12
LONGEST_WORDS = 200
PR_SET_PDEATHSIG = 1

Reading = Tuple[int, float]


class Meter(PowerMeter):
    """Watts as the mean, by the meter's own clock, of what it printed since the last reading."""

    averages = True

    def __init__(self, rails: Sequence[str], root: str = "/") -> None:
        if len(rails) != 1:
            raise Unreadable("a command meter has one rail, which is its command")
        self._name, self._rest, self._said = rails[0], b"", ""
        self._last: Optional[Reading] = None
        self._late: Optional[int] = None
        prctl = ctypes.CDLL(None).prctl
        try:
            self._process = subprocess.Popen(
                shlex.split(self._name), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                bufsize=0, start_new_session=True, preexec_fn=lambda: prctl(PR_SET_PDEATHSIG, signal.SIGKILL),
            )  # fmt: skip
        except (OSError, ValueError, IndexError) as error:
            why = getattr(error, "strerror", None) or error
            raise Unreadable("{}: does not start: {}".format(self._name, why)) from error
        assert self._process.stdout is not None
        self._pipe = self._process.stdout

    def watts(self) -> float:
        """Waits for a line where none has come since the last reading."""
        readings = self._readings()
        times, watts = zip(self._last or readings[0], *readings)
        self._last = readings[-1]
        if times[-1] == times[0]:
            return float(watts[-1])
        pieces = zip(times, times[1:], watts, watts[1:])
        return float(sum((end - start) * (a + b) / 2 for start, end, a, b in pieces) / (times[-1] - times[0]))

    def close(self) -> None:
        """Stop the command with all that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._pipe.close()

    def _readings(self) -> List[Reading]:
        """At least one, in the order of their times."""
        deadline = time.monotonic() + SILENCE_S
        readings: List[Reading] = []
        while not readings:
            for reading in filter(None, map(self._parse, self._lines(deadline))):
                previous = readings[-1] if readings else self._last
                if previous and reading[0] <= previous[0]:
                    self._last = None
                    raise Unreadable("{}: its clock went back".format(self._name))
                readings.append(reading)
        late = int(time.monotonic() * 1e9) - readings[-1][0]
        jumped_s = (late - (late if self._late is None else self._late)) / 1e9
        if self._late is None or abs(jumped_s) > MOST_LATE_S:
            self._late = late
        if abs(jumped_s) > MOST_LATE_S:
            self._last = readings[-1]
            raise Unreadable(
                "{}: its clock jumped by {:.1f} s, or it holds lines back".format(self._name, abs(jumped_s))
            )
        return readings

    def _lines(self, deadline: float) -> List[bytes]:
        """What has come, as whole lines; waits until there is something."""
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([self._pipe], [], [], left)[0]:
            raise Unreadable("{}: no reading for {:g} s{}".format(self._name, SILENCE_S, self._words()))
        chunk = os.read(self._pipe.fileno(), PIPE_BYTES)
        if not chunk:
            self._parse(self._rest)
            raise Unreadable("{}: ended{}{}".format(self._name, self._status(), self._words()))
        lines = (self._rest + chunk).split(b"\n")
        self._rest = lines.pop()[-LINE_BYTES:]
        return lines

    def _parse(self, line: bytes) -> Optional[Reading]:
        try:
            t_ns, watts = line.split()
            reading = int(t_ns), float(watts)
            if math.isfinite(reading[1]) and reading[1] > 0:
                return reading
        except ValueError:
            pass
        self._said = line.decode("utf-8", "replace").strip()[:LONGEST_WORDS] or self._said
        return None

    def _status(self) -> str:
        try:
            return " with status {}".format(self._process.wait(timeout=0.5))
        except subprocess.TimeoutExpired:
            return ""  # it closed its output, but goes on

    def _words(self) -> str:
        return "; it printed {!r}, not `t_ns watts`".format(self._said) if self._said else ""
