"""What the time went into: parts of the work are named where they are done, and read by whoever asked."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_seconds: ContextVar[dict[str, float] | None] = ContextVar("seconds", default=None)


@contextmanager
def recording() -> Iterator[dict[str, float]]:
    """Seconds by the name of each part that is done within the block; a part within another counts for itself only."""
    seconds: dict[str, float] = {}
    token = _seconds.set(seconds)
    try:
        yield seconds
    finally:
        _seconds.reset(token)


@contextmanager
def part(name: str) -> Iterator[None]:
    """Name what the block (or the function that this decorates) does; nothing is kept unless somebody records."""
    outer = _seconds.get()
    if outer is None:
        yield
        return
    start = time.perf_counter()
    inner: dict[str, float] = {}
    token = _seconds.set(inner)
    try:
        yield
    finally:
        _seconds.reset(token)
        own = time.perf_counter() - start - sum(inner.values())
        for key, seconds in [*inner.items(), (name, own)]:
            outer[key] = outer.get(key, 0.0) + seconds
