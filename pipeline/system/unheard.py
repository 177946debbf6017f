"""What C libraries print of their own accord on standard error, past all of Python's settings, is not heard."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

STDERR = 2
_lock = Lock()
_inside = 0  # threads that have asked for it
_kept = STDERR


@contextmanager
def unheard() -> Iterator[None]:
    """Standard error leads nowhere in the block, for all threads: keep it short."""
    global _inside, _kept
    with _lock:
        if not _inside:
            _kept = os.dup(STDERR)
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, STDERR)
            os.close(nowhere)
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                os.dup2(_kept, STDERR)
                os.close(_kept)
