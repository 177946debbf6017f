"""A stage ends with the DVC or `edgeproof repeat` that runs it: killed, they would leave it to train on for nobody."""

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

LOOK_S = 0.5
STARTER = "EDGEPROOF_STARTER"  # a variable: the process that a stage ends with
PR_SET_PDEATHSIG = 1  # linux/prctl.h
SHELLS = {"sh", "bash", "dash", "zsh", "ksh", "fish"}


def end_with_starter() -> None:
    """From now on this process ends when DVC does, if DVC has started it (which then names the stage to it), or when
    the process that `STARTER` names does.

    What it has started itself is told by its end. A process that somebody started by hand may outlive its shell.
    """
    if starter := os.environ.pop(STARTER, ""):
        end_with_parent(int(starter))
    elif "DVC_STAGE" in os.environ:
        threading.Thread(target=_watch, args=(_owners(),), daemon=True).start()


def end_with_parent(parent: int) -> None:
    """From now on this process ends when its parent does, whose process id is `parent`; at once if it has ended."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


@contextmanager
def one_at_a_time(lock: Path) -> Iterator[None]:
    """Hold the lock that all stages of a folder share, which its holder's death gives back, or say so and wait for it.

    The processes of one distributed training share their starter's.
    """
    from filelock import FileLock, Timeout

    if "WORLD_SIZE" in os.environ:
        yield
        return
    lock.parent.mkdir(parents=True, exist_ok=True)
    held = FileLock(lock)
    try:
        held.acquire(timeout=LOOK_S)
    except Timeout:
        print("another stage runs in this folder: waiting for it to end", file=sys.stderr, flush=True)
        held.acquire()
    try:
        yield
    finally:
        held.release()


def _owners() -> list[psutil.Process]:
    """The parent, and behind shells that it may run in, DVC; whoever is gone already counts."""
    found: list[psutil.Process] = []
    process = psutil.Process()
    while (process := process.parent()) is not None:
        found.append(process)
        if process.name() not in SHELLS:
            break
    return found


def _watch(owners: list[psutil.Process]) -> None:
    with suppress(psutil.NoSuchProcess):  # it ended while it was looked at
        while all(owner.is_running() and owner.status() != psutil.STATUS_ZOMBIE for owner in owners):
            time.sleep(LOOK_S)
    os.kill(os.getpid(), signal.SIGKILL)  # no clean-up could take longer than the next start is patient
