"""The monitor's process: reads a meter at a steady rate and the board's health once a second, and writes lines.

    python3 -m runners.edge.monitor.sampler METER HZ ROOT CORE PARENT RAIL...

Not a thread of the program: Python runs one thread at a time, so each would delay the other. It ends when it is told to
(SIGTERM, after a last reading of both) or when its parent is gone. A meter that fails is asked again at the next turn.
Must run on Python 3.6 with the standard library.
"""

import json
import os
import signal
import sys
import time
from typing import Any, List, Optional

from runners.edge.health import snapshot
from runners.edge.meters import PowerMeter, open_meter
from runners.edge.monitor.cores import move_to
from runners.edge.monitor.recording import now_ns
from runners.edge.sysfs import Unreadable

HEALTH_S = 1.0
LAST_S = 0.02  # an energy counter that was just read would stand still


class _Stop(Exception):
    """The parent says that it is enough."""


class Sampler:
    """Writes what it reads to standard output, each line at once."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._board = snapshot.Board(root)
        self._meter: Optional[PowerMeter] = None
        self._failure = ""

    def open(self, name: str, rails: List[str]) -> None:
        """Open the meter, or say why it cannot be: health is watched all the same."""
        try:
            self._meter = open_meter(name, rails, self._root)
        except Unreadable as error:
            emit(failure=str(error))
        else:
            emit(averages=self._meter.averages, mode=self._meter.mode)

    def close(self) -> None:
        """Give the meter back."""
        if self._meter is not None:
            self._meter.close()

    def power(self) -> None:
        """One reading, or why there is none where that has changed."""
        if self._meter is None:
            return
        try:
            watts = self._meter.watts()
        except Unreadable as error:
            if str(error) != self._failure:
                emit(failure=str(error))
            self._failure = str(error)
        else:
            emit(watts=watts)
            self._failure = ""

    def health(self) -> None:
        """One look at the board."""
        emit(health=snapshot.as_json(self._board.snapshot()))

    def run(self, hz: float, parent: int) -> None:
        """Until it is stopped. A turn that is late is left out: turns never pile up, nor come one upon the other."""
        started = next_health = time.monotonic()
        while os.getppid() == parent:
            now = time.monotonic()
            if now >= next_health:
                self.health()
                next_health = now + HEALTH_S
            turn = int((time.monotonic() - started) * hz + 1.5)
            time.sleep(max(0.0, started + turn / hz - time.monotonic()))
            self.power()


def emit(**entry: Any) -> None:
    """Write a line, whole."""
    os.write(1, (json.dumps(dict(entry, t_ns=now_ns())) + "\n").encode("ascii"))


def main(arguments: List[str]) -> None:
    """Entry point."""
    name, hz, root, core, parent = arguments[:5]
    signal.signal(signal.SIGTERM, _stop)
    sampler = Sampler(root)
    try:
        try:
            emit(core=move_to(int(core) if core else None))
            sampler.open(name, arguments[5:])
            sampler.run(float(hz), int(parent))
        except _Stop:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(LAST_S)
            sampler.power()
            sampler.health()
    except OSError as error:
        sys.exit("the monitor cannot write down what it reads: {}".format(error.strerror))
    finally:
        sampler.close()


def _stop(*_: Any) -> None:
    raise _Stop


if __name__ == "__main__":
    main(sys.argv[1:])
