"""What a worker of a Dask cluster does of a search: one job at a time, in a process that it keeps for the next one.

The worker itself loads nothing that calculates. So it answers its scheduler whatever the job does, and the job can be
stopped, by ending its process, when nobody waits for it any more.
"""

import multiprocessing
import os
import pickle
import signal
import threading
from concurrent.futures import ProcessPoolExecutor, wait
from typing import Any

from pipeline.search import workers

LOOK_S = 0.5
KEEP_S = 30.0  # the process, for the next job of the same search; it is large, and a search may be killed

_kept: dict[str, ProcessPoolExecutor] = {}


def carry_out(search: str, job: bytes) -> bytes:
    """Call a pickled function with its pickled arguments, with as many threads as the worker has; the pickled answer.

    Raises:
        BrokenProcessPool: its process was killed. Whatever the function itself raises is raised here.
    """
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()
    multiprocessing.current_process().daemon = False  # as Dask's nanny starts it, and a daemon may have no children
    pool = _kept.pop(search, None) or workers.pool(1, worker.state.nthreads)
    try:
        process = pool.submit(os.getpid).result()
        running = pool.submit(_call, job)
        while wait([running], LOOK_S).not_done:
            if not _is_wanted(worker, key):
                os.kill(process, signal.SIGKILL)
        answer = running.result()
    except BaseException:
        pool.shutdown()
        raise
    _kept[search] = pool
    end = threading.Timer(KEEP_S, _end, [search])
    end.daemon = True
    end.start()
    return answer


def _call(job: bytes) -> bytes:
    work, arguments = pickle.loads(job)
    return pickle.dumps(work(*arguments))


def _is_wanted(worker: Any, key: Any) -> bool:
    """Whether somebody waits for the answer: Dask cannot stop a function that runs, it only forgets about it."""
    from distributed.worker import WORKER_ANY_RUNNING

    task = worker.state.tasks.get(key)
    return worker.status in WORKER_ANY_RUNNING and task is not None and task.state in ("executing", "long-running")


def _end(search: str) -> None:
    if pool := _kept.pop(search, None):
        pool.shutdown()
