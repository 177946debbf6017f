"""Starts and stops the process that watches the board, and keeps what the program was doing when.

    with Monitor("rapl", ["package-0"]) as monitor:
        with monitor.state("idle"):
            time.sleep(10)
        with monitor.state("regions_4"):
            frames = run()
    monitor.recording, monitor.states

Must run on Python 3.6 with the standard library.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from typing import IO, Dict, Iterable, Iterator, List, Optional, Sequence

from runners.edge.monitor.cores import free_core
from runners.edge.monitor.energy import Window
from runners.edge.monitor.recording import Recording, now_ns, read
from runners.edge.own_package import search_path

HZ, MOST_HZ = 10.0, 100.0
START_S = 10.0  # a board with a busy disk takes its time to load Python
STOP_S = 5.0
SAMPLER = "{}.sampler".format(__package__)


class Monitor:
    """Watches rails and health from entering to leaving; never raises for a meter that cannot be read.

    `cores` are those that the program uses: all that it may run on, unless it says so. `root` is where the board's
    /sys and /proc are found. After leaving, `recording` holds what was read.
    """

    def __init__(
        self, meter: str, rails: Sequence[str], hz: float = HZ, root: str = "/", cores: Optional[Iterable[int]] = None
    ) -> None:
        if not 0 < hz <= MOST_HZ:
            raise ValueError("{:g} readings a second: above 0 and at most {:g} make sense".format(hz, MOST_HZ))
        self._meter, self._rails, self._hz, self._root = meter, list(rails), hz, root
        self._core = free_core(os.sched_getaffinity(0) if cores is None else cores)
        self.recording = read([], meter, self._rails, hz)
        self.states: Dict[str, List[Window]] = {}

    def __enter__(self) -> "Monitor":
        # Files without a name: whatever becomes of this process, nothing of them is left.
        self._lines, self._errors = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        numbers = [str(self._hz), self._root, "" if self._core is None else str(self._core), str(os.getpid())]
        self._process = subprocess.Popen(
            [sys.executable, "-m", SAMPLER, self._meter, *numbers, *self._rails],
            stdin=subprocess.DEVNULL, stdout=self._lines, stderr=self._errors, start_new_session=True,
            env=dict(os.environ, PYTHONPATH=search_path()),
        )  # fmt: skip
        try:
            self._wait_for_a_look()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        ended = None
        try:
            if self._process.wait(STOP_S):
                last_words = _content(self._errors).strip().split("\n")[-1]
                ended = last_words or "the monitor ended with status {}".format(self._process.returncode)
        except subprocess.TimeoutExpired:
            ended = "the monitor hung"
            self._process.kill()
            with suppress(subprocess.TimeoutExpired):  # one that waits for hardware cannot even be killed
                self._process.wait(1)
        self.recording = self._read()._replace(ended=ended)
        self._lines.close()
        self._errors.close()

    @contextmanager
    def state(self, name: str) -> Iterator[None]:
        """What the program is doing inside this block: `idle`, `regions_0`, `regions_4`, `model_switch`, ..."""
        start = now_ns()
        try:
            yield
        finally:
            self.states.setdefault(name, []).append((start, now_ns()))

    def _wait_for_a_look(self) -> None:
        """Until the board was looked at and the meter read, or cannot be: only then does a window count."""
        deadline = time.monotonic() + START_S + 1 / self._hz
        while time.monotonic() < deadline and self._process.poll() is None:
            now = self._read()
            if now.snapshots and (now.samples or now.failures):
                return
            time.sleep(0.02)

    def _read(self) -> Recording:
        return read(_content(self._lines).splitlines(), self._meter, self._rails, self._hz)


def _content(stream: IO[bytes]) -> str:
    """All of a file that another process goes on writing: its place in it is ours, too, and is left alone."""
    parts: List[bytes] = []
    size = 0
    while True:
        part = os.pread(stream.fileno(), 1 << 20, size)
        if not part:
            return b"".join(parts).decode("utf-8", "replace")
        parts.append(part)
        size += len(part)
