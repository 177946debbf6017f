"""Jobs for workers on other machines: they do little, and tell of it. Imports nothing that takes time."""

import os
import sys
import time
from pathlib import Path


def accept() -> None:
    """Any worker will do."""


def only_in(folder: str) -> str | None:
    """Why a worker that was started in a folder of another name does nothing."""
    return None if Path.cwd().name == folder else f"{Path.cwd().name} is elsewhere"


def conditions(number: int, folder: Path, together: int = 1) -> tuple[int, dict[str, str], bool, int]:
    """The job's number, the numbers of threads, whether a library is loaded that has read them, and the process.

    It waits until so many of its kind have started.
    """
    (folder / f"{number}").touch()
    while len(list(folder.iterdir())) < together:
        time.sleep(0.02)
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    heavy = not {"torch", "numpy", "openvino"}.isdisjoint(sys.modules)
    return number, {name: os.environ[name] for name in names}, heavy, os.getpid()


def work(number: int, folder: Path, seconds: float) -> int:
    """Take a while; a file in `folder` for each start holds the process that does it and its worker."""
    (folder / f"{number}-{time.monotonic_ns()}").write_text(f"{os.getpid()} {os.getppid()}")
    time.sleep(seconds)
    return number


def calculate(products: int) -> float:
    """Multiply matrices, which takes a while; the seconds that it took, with loading the library."""
    start = time.monotonic()
    import torch

    matrix = torch.eye(1024)
    for _ in range(products):
        matrix = matrix @ matrix
    return time.monotonic() - start


def fail(number: int) -> None:
    """A fault of the worker's machine."""
    raise OSError(28, "No space left on device", f"file{number}")
