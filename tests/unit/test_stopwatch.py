"""Times of parts: each counts for itself, and nobody pays who does not ask."""

import pytest

from pipeline.system import stopwatch
from pipeline.system.stopwatch import part, recording


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, to be set by hand."""
    now = [0.0]
    monkeypatch.setattr(stopwatch.time, "perf_counter", lambda: now[0])
    return now


def test_a_part_within_another_counts_for_itself_only(clock: list[float]) -> None:
    @part("inner")
    def inner() -> None:
        clock[0] += 2

    with recording() as seconds:
        with part("outer"):
            clock[0] += 1
            inner()
            inner()
        with part("outer"):
            clock[0] += 10
    assert seconds == {"outer": 11, "inner": 4}


def test_a_part_that_fails_took_its_time(clock: list[float]) -> None:
    @part("fails")
    def fails() -> None:
        clock[0] += 3
        raise ZeroDivisionError

    with recording() as seconds, pytest.raises(ZeroDivisionError):
        fails()
    assert seconds == {"fails": 3}


def test_nothing_is_kept_unless_somebody_records(clock: list[float]) -> None:
    with part("unseen"):
        clock[0] += 1
    with recording() as seconds:
        pass
    assert seconds == {}
