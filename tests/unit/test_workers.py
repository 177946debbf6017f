"""The processes of a search: each calculates with its share of the cores."""

import os
from pathlib import Path

import pytest

from pipeline.search.workers import Workers


def threads() -> str:
    return os.environ["OMP_NUM_THREADS"]


@pytest.mark.parametrize(
    ("given", "used"),
    [("", "2"), ("4", "2"), ("1", "1"), ("no number", "2")],
    ids=["nothing given", "too many for two processes", "fewer", "no number"],
)
def test_processes_side_by_side_share_the_cores(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: str, used: str
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    with Workers(tmp_path / "log.txt") as workers:
        assert list(workers.run(threads, [(), ()], 2, "test")) == [used, used]
