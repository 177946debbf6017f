"""What a DVC user counts on, in a clone of the small project."""

import shutil
from pathlib import Path

import pytest
from project import Both, Project


@pytest.fixture
def laptop(both: Both) -> Path:
    return both.laptop


def test_a_second_repro_does_nothing(laptop: Path, project: Project) -> None:
    output = project.call("dvc", "repro", cwd=laptop)
    assert "Running stage" not in output
    assert "up to date" in output


def test_deleted_artifacts_come_back(laptop: Path, project: Project) -> None:
    """One of every stage; all at once, since DVC itself takes seconds."""
    deleted = [
        laptop / "artifacts" / name
        for name in (
            "dataset",
            "recipes/int8.json",
            "train/lenet-5/weights.safetensors",
            "candidates/lenet-5/int8",
            "export/lenet-5/int8",
            "results/emulated/lenet-5/int8/atom-x5-e3940.json",
            "report",
            "metrics.json",
        )
    ]
    lock = (laptop / "dvc.lock").read_bytes()
    for path in deleted:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    project.call("dvc", "repro", cwd=laptop)
    assert all(path.exists() for path in deleted)
    assert (laptop / "dvc.lock").read_bytes() == lock


def test_deleted_data_is_fetched_again(laptop: Path, project: Project) -> None:
    shutil.rmtree(laptop / "data")
    project.call("edgeproof", "data", "fetch", cwd=laptop)
    assert "up to date" in project.call("dvc", "repro", cwd=laptop)


def test_a_changed_method_runs_only_its_own_stages(laptop: Path, project: Project) -> None:
    params, lock = laptop / "params.yaml", (laptop / "dvc.lock").read_bytes()
    before = params.read_text()
    params.write_text(before.replace("calibration_samples: 16", "calibration_samples: 12"))
    output = project.call("dvc", "repro", cwd=laptop)
    stages = [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")]
    own = ["compress@lenet-5-int8", "export@lenet-5-int8", "retest@lenet-5-int8-atom-x5-e3940"]
    assert stages == ["resolve@int8", *own, "report"]
    params.write_text(before)
    assert "Running stage" not in project.call("dvc", "repro", cwd=laptop)  # what was there once comes out of the cache
    assert (laptop / "dvc.lock").read_bytes() == lock
