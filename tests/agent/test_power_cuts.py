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

ENVIRONMENT = {"PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "yes"}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """In memory where that can be: thousands of files come and go, and what a disk may lose is modelled."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else tmp_path) as found:
        yield Path(found)


def cut(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, REPOSITORY / "tests/agent/power_cuts.py", folder / "cuts", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT)


@pytest.mark.parametrize(("steps", "moments"), [(12, 8), pytest.param(10000, 500, marks=pytest.mark.nightly)])
def test_killed_at_any_moment_with_what_was_not_synced_lost(folder: Path, steps: int, moments: int) -> None:
    done = cut(folder, str(steps), str(moments), "1")
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)
    print(counts)
    assert counts["kills"] >= min(steps, sum(counts["steps"].values())) + moments
    assert counts["changes lost"] > 0


@pytest.mark.nightly
def test_folders_that_are_never_synced_would_be_found(folder: Path) -> None:
    done = cut(folder, "30", "0", "1", "careless")
    assert done.returncode == 1
    assert "is not whole" in done.stderr or "is missing" in done.stderr or "is lost" in done.stderr
