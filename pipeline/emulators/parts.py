"""Folders of the cache that are built once, whole or not at all, however many processes ask for them at a time."""

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout
from tqdm import tqdm

from pipeline.system import cache, files
from pipeline.system.errors import Missing

ADVICE = "set EDGEPROOF_CACHE to a writable folder with more space"


@dataclass(frozen=True)
class Part:
    """A folder `name` in the cache that takes `size_mb` (10^6 bytes) while it is built."""

    name: str
    size_mb: int

    def folder(self) -> Path:
        """Where it is, or will be.

        Raises:
            InputError: the cache cannot be used.
        """
        return cache.folder("emulators") / self.name

    def install(self, ready: Callable[[], bool], build: Callable[[Path], None]) -> None:
        """Let `build` fill the folder, unless it is `ready`; a second process waits for the first.

        Nothing is left of what fails. What a killed process left is cleared away by the next one.

        Raises:
            InputError: no space or permission, or `build` says so.
        """
        if ready():
            return
        folder = self.folder()
        try:
            with _locked(folder):
                if ready():
                    return
                for abandoned in folder.parent.glob(f".{folder.name}.*"):
                    shutil.rmtree(abandoned, ignore_errors=True)
                free_mb = shutil.disk_usage(folder.parent).free / 1e6
                if free_mb < self.size_mb:
                    raise Missing(f"{folder}: needs {self.size_mb} MB, but {free_mb:.0f} MB are free; {ADVICE}")
                with files.replacing_folder(folder) as temporary, _progress(temporary, self.size_mb, self.name):
                    build(temporary)
        except OSError as error:
            raise Missing(f"cannot install {self.name}: {error}; {ADVICE}") from error


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Alone on this machine; a process that dies gives it free."""
    lock = FileLock(folder.with_name(f"{folder.name}.lock"))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        with tqdm(bar_format="{desc}", desc=f"{folder.name}: waiting for another process that installs it"):
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _progress(folder: Path, size_mb: int, description: str) -> Iterator[None]:
    """A bar that follows the size of `folder`: what fills it are programs that tell nothing on the way."""
    done = threading.Event()
    total = size_mb * 1_000_000
    with tqdm(desc=description, total=total, unit="B", unit_scale=True, disable=None) as bar:

        def follow() -> None:
            while not done.wait(0.5):
                bar.n = min(_size(folder), total)
                bar.refresh()

        follower = threading.Thread(target=follow, daemon=True)
        if not bar.disable:
            follower.start()
        try:
            yield
            bar.n = total
        finally:
            done.set()
            if not bar.disable:
                follower.join()


def _size(folder: Path) -> int:
    """Bytes in a folder that others write to and delete from meanwhile."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.lstat(f"{place}/{name}").st_size
    return total
