"""Many trials at once: a process per core, each with its share of the threads, none of which outlives the search.

Nothing heavy is imported here: the libraries read their number of threads when they are loaded.
"""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from tqdm import tqdm

from pipeline.system.errors import InputError
from pipeline.system.owner import end_with_parent

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")  # where the libraries look for their number


class Workers:
    """A pool that is kept from round to round, as long as the next one wants as many processes; use it in `with`.

    What they print goes to the file `log`.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        self._processes = 0
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)

    def run(
        self, work: Callable[..., Any], jobs: Sequence[tuple[Any, ...]], at_once: int, description: str
    ) -> Iterator[Any]:
        """What `work` returns for each job's arguments, as it comes: at most `at_once` at a time, on as many cores.

        Raises:
            InputError: a process was killed. Whatever the work itself raises is raised here.
        """
        processes = self._of_size(max(1, min(os.cpu_count() or 1, at_once)))
        running = [processes.submit(work, *job) for job in jobs]
        try:
            for done in tqdm(as_completed(running), desc=description, total=len(jobs), unit="trial", disable=None):
                yield done.result()
        except BrokenProcessPool as error:
            raise InputError(
                "a trial's process was killed, perhaps for lack of memory; run the search again to go on "
                f"(what it printed is in {self._log})"
            ) from error

    def _of_size(self, processes: int) -> ProcessPoolExecutor:
        if self._pool is None or processes != self._processes:
            self.__exit__()
            self._log.parent.mkdir(parents=True, exist_ok=True)
            threads = (os.cpu_count() or 1) // processes
            given = os.environ.get(THREADS[0], "")  # for one process: as many in each would wait for each other
            if given.isdecimal() and int(given):
                threads = min(threads, int(given))
            self._pool = pool(processes, threads, self._log)
            self._processes = processes
        return self._pool


def pool(processes: int, threads: int, log: Path | None = None) -> ProcessPoolExecutor:
    """Processes that calculate with so many threads each, and end with this one; what they print goes to `log`."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(processes, context, _begin, (threads, log, os.getpid()))


def _begin(threads: int, log: Path | None, parent: int) -> None:
    os.environ.update(dict.fromkeys(THREADS, str(threads)))
    end_with_parent(parent)
    if log:
        with log.open("ab") as stream:
            os.dup2(stream.fileno(), 1)
            os.dup2(stream.fileno(), 2)
