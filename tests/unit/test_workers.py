"""The processes of a search: each calculates with its share of the cores."""

import os
from pathlib import Path

import pytest

from pipeline.search.workers import Workers


def write_threads(path: Path) -> None:
    path.write_text(os.environ["OMP_NUM_THREADS"])


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
    paths = [tmp_path / "first", tmp_path / "second"]
    with Workers(tmp_path / "log.txt") as workers:
        workers.run(write_threads, [(path,) for path in paths], 2, "test")
    assert [path.read_text() for path in paths] == [used, used]
