"""A cluster on this machine: processes of `dask scheduler` and `dask worker`, as users start them."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.loopback import free_port

REPOSITORY = Path(__file__).resolve().parents[1]
DASK = [sys.executable, "-W", "ignore", "-m", "dask"]


class Machines:
    """A scheduler and its workers."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.address = f"tcp://127.0.0.1:{port}"
        self.processes: list[subprocess.Popen[bytes]] = []
        self._start(folder, ["scheduler", "--host", "127.0.0.1", "--port", str(port)], {})

    def start(self, folder: Path, threads: int, *options: str, **environment: str) -> None:
        """A worker in this folder; options and variables are added to it."""
        self._start(folder, ["worker", self.address, "--nthreads", str(threads), *options], environment)

    def wait_for(self, workers: int) -> None:
        """Until so many are there."""
        from distributed import Client

        with Client(self.address, timeout=60, set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=60)

    def end(self) -> None:
        """All of them."""
        for process in self.processes:
            process.kill()
            process.wait()

    def _start(self, folder: Path, command: list[str], environment: Mapping[str, str]) -> None:
        variables = {**os.environ, "PYTHONPATH": str(REPOSITORY), **environment}
        command = [*DASK, *command, "--no-dashboard"]
        with (folder / "dask.txt").open("ab") as log:
            self.processes.append(subprocess.Popen(command, cwd=folder, env=variables, stdout=log, stderr=log))


@contextmanager
def scheduler_in(folder: Path) -> Iterator[Machines]:
    """Machines that end with the block."""
    found = Machines(folder)
    try:
        yield found
    finally:
        found.end()
