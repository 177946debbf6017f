"""The camera program in a process of its own, what it tells, and what it takes."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from runners.contract.event import Event
from runners.edge.events.segments import Events

REPOSITORY = Path(__file__).resolve().parents[2]
LIMIT_S = 60.0


class Taken(NamedTuple):
    """What a process has: resident memory in MiB, threads, open files, children."""

    memory_mib: float
    threads: int
    files: int
    children: int


class Program:
    """`arguments` are those of `edge run`, but the folder of events."""

    def __init__(self, folder: Path, environment: dict[str, str], *arguments: str) -> None:
        self.folder, self.acknowledged = folder, list[int]()
        heard, told = os.pipe()
        self.process = subprocess.Popen(
            [sys.executable, REPOSITORY / "tests/told_program.py", str(told), f"--events={folder}", *arguments],
            env={**os.environ, **environment, "PYTHONPATH": str(REPOSITORY)}, pass_fds=[told],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        os.close(told)
        self._listener = threading.Thread(target=self._listen, args=(heard,))
        self._listener.start()

    def _listen(self, heard: int) -> None:
        with os.fdopen(heard) as stream:
            self.acknowledged += map(int, stream)

    def events(self, name: str = "") -> list[Event]:
        if not self.folder.is_dir():
            return []
        return [event for event in Events(str(self.folder)).after(0) if name in ("", event.event)]

    def wait(self, condition: Callable[[], Any]) -> None:
        limit_s = time.monotonic() + LIMIT_S
        while not condition():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < limit_s, self.events()[-10:]
            time.sleep(0.02)

    def until(self, name: str, times: int = 1) -> Event:
        """Wait for an event to be told for the `times`-th time."""
        self.wait(lambda: len(self.events(name)) >= times)
        return self.events(name)[times - 1]

    def end(self, by: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Its status and what it said on standard error."""
        self.process.send_signal(by)
        return self.wait_for_the_end()

    def wait_for_the_end(self) -> tuple[int, str]:
        _, said = self.process.communicate(timeout=LIMIT_S)
        self._listener.join()
        return self.process.returncode, said

    def taken(self) -> Taken:
        root = Path(f"/proc/{self.process.pid}")
        status = dict(line.split(":", 1) for line in (root / "status").read_text().splitlines())
        children = [line for task in (root / "task").iterdir() for line in (task / "children").read_text().split()]
        files = len(list((root / "fd").iterdir()))
        return Taken(int(status["VmRSS"].split()[0]) / 1024, int(status["Threads"]), files, len(children))
