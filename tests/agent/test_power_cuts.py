"""Power goes at any moment of an update: there is a whole model to run, and nobody goes back behind what was seen."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """In memory where that can be: thousands of files come and go, and what a disk may lose is modelled."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else tmp_path) as found:
        yield Path(found)


def cut(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, REPOSITORY / "tests/agent/power_cuts.py", folder / "cuts", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={"PYTHONPATH": str(REPOSITORY)})


@pytest.mark.parametrize(
    ("how", "times"),
    [
        ("steps", 12),
        ("moments", 8),
        pytest.param("steps", 10000, marks=pytest.mark.nightly),
        pytest.param("moments", 500, marks=pytest.mark.nightly),
    ],
)
def test_killed_at_any_moment_with_what_was_not_synced_lost(folder: Path, how: str, times: int) -> None:
    done = cut(folder, how, str(times), "1")
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)
    print(counts)
    assert counts["kills"] >= min(times, sum(counts["steps"].values()))
    assert counts["changes lost"] > 0


def test_folders_that_are_never_synced_would_be_found(folder: Path) -> None:
    done = cut(folder, "steps", "30", "1", "careless")
    assert done.returncode == 1
    assert "is not whole" in done.stderr or "is missing" in done.stderr or "is lost" in done.stderr
