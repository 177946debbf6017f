"""A backend that misbehaves on request: `what` it does `at` which moment. It doubles its inputs otherwise.

Standard library and NumPy only, since it runs under emulators too.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def open_backend(job: dict[str, Any]) -> "Unruly":
    return Unruly(job)


class Unruly:
    """With `forks`, processes that outlive it. The file `mark` and those beside it hold the numbers of all of them, and
    when it was that it misbehaved."""

    def __init__(self, job: dict[str, Any]) -> None:
        self._job, self._batches = job, 0
        if job.get("forks"):
            if os.fork() == 0:  # holds the pipes of its parent open, as a forked sender of usage statistics does
                _write(job["mark"] + ".forked", os.getpid())
                time.sleep(600)
            _write(job["mark"] + ".started", subprocess.Popen(["sleep", "600"]).pid)
            apart = "import os, sys, time; os.fork() and os._exit(0); os.setsid()"
            apart += "; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(600)"
            subprocess.run([sys.executable, "-c", apart, job["mark"] + ".apart"], check=True)
            while not Path(job["mark"] + ".apart").exists():
                time.sleep(0.01)
        _write(job["mark"], os.getpid())
        self._at("load")

    def infer(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        self._at("batch")
        self._batches += 1
        if self._batches > 1:
            self._at("second batch")
        time.sleep(self._job.get("seconds", 0))
        return batch * 2

    def facts(self) -> dict[str, Any]:
        self._at("facts")
        return {"layers": []}

    def _at(self, moment: str) -> None:
        if self._job.get("at") == moment:
            _write(self._job["mark"] + ".event", time.time())
            misbehave(self._job["what"])


def misbehave(what: str) -> None:
    if what == "hangs":
        time.sleep(600)
    if what == "deadlocks":
        lock = threading.Lock()
        others = [threading.Thread(target=lock.acquire) for _ in range(2)]
        with lock:
            for other in others:
                other.start()
            others[0].join()
    if what == "spins":
        while True:
            pass
    if what == "works for a while":
        end = time.process_time() + 1
        while time.process_time() < end:
            pass
    if what == "is stopped for a while":
        script = 'kill -STOP "$1"; sleep 2; kill -CONT "$1"'
        subprocess.Popen(["/bin/sh", "-c", script, "stopper", str(os.getpid())], env={}, start_new_session=True)
        time.sleep(0.3)
    if what == "segfaults":
        ctypes.string_at(0)
    if what == "illegal":
        os.kill(os.getpid(), signal.SIGILL)
    if what == "killed":  # as the kernel does where memory runs out
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "eats":
        np.empty(3 << 30, np.uint8)
        return
    if what == "leaves":
        os._exit(0)
    if what == "closes":
        os.close(1), os.closerange(3, 100), time.sleep(600)
    if what == "memory":
        raise MemoryError
    if what == "refuses":
        raise RuntimeError("cannot make that kernel")


def _write(path: str, number: float) -> None:
    Path(path).write_text(str(number))
