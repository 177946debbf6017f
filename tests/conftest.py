"""What several test folders share: a tiny project with images that a small network can tell apart."""

import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import settings

# Tests run side by side. With more threads than cores most of the time goes into waiting for one another, busily.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.pop("GITHUB_ACTIONS", None)  # what tests check is no news for the run that they are part of

# A change is judged by the same examples on every machine; each night looks for new ones (`make nightly`).
settings.register_profile("same examples", deadline=None, derandomize=True)
settings.register_profile("new examples", deadline=None)
settings.load_profile("same examples")

RETRAIN = {
    "epochs": 1,
    "batch": 8,
    "learning_rate": 0.005,
    "samples_per_epoch": 24,
    "distill": 0.5,
}
TINY_PARAMS = {
    "seed": 0,
    "models": ["lenet-5"],
    "methods": ["fp32", "int8"],
    "targets": ["atom-x5-e3940"],
    "width": 1.0,
    "split": {"train": [0, 10], "val": [12, 20], "test": [22, 30]},
    "train": {
        "epochs": 5,
        "batch": 8,
        "learning_rate": 0.01,
        "samples_per_epoch": 48,
        "freeze": 0.0,
    },
    "recipes": {
        "fp32": [],
        "fp16": ["fp16"],
        "int8": [{"quantize": {"calibration_samples": 8}}],
        "pruned-int8": [
            {"prune": {"macs": 0.8}},
            {"retrain": RETRAIN},
            {"quantize": {"calibration_samples": 8}},
        ],
        "shared-int8": [
            {"quantize": {"calibration_samples": 8, "target": "atom-x5-e3940"}},
            {"cluster": {"bits": 4}},
            {"retrain": RETRAIN},
        ],
        "shared-fp16": [{"cluster": {"bits": 5}}, {"retrain": RETRAIN}, "fp16"],
    },
    "gates": {"accuracy_drop_points": 2.0, "accept_unaudited": True},  # audits are what tests/emulators is for
}


def pytest_make_parametrize_id(val: object) -> str | None:
    """Bytes are told by their number, a text by its beginning: written out, the name of a test can have megabytes."""
    if isinstance(val, bytes) and len(val) > 32:
        return f"{len(val):,} bytes"
    if isinstance(val, str) and len(val) > 32:
        return val[:29].encode("unicode_escape").decode("ascii") + "..."
    return None


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that share what takes long to make stay together where several processes run them (`make test`)."""
    for item in items:
        folder = item.path.parent.name
        item.add_marker(pytest.mark.xdist_group(folder if folder == "workflows" else item.path.stem))


def write_images(folder: Path, per_class: int = 20) -> None:
    """Noisy images of three classes that differ in colour: red, green and blue squares on grey."""
    noise = np.random.default_rng(0)
    for channel, name in enumerate(("blue", "green", "red")):
        (folder / name).mkdir(parents=True)
        for index in range(per_class):
            image = noise.integers(90, 160, (40, 32, 3), np.uint8)
            top, left = noise.integers(2, 10, 2)
            image[top : top + 24, left : left + 20, channel] = 250
            cv2.imwrite(str(folder / name / f"{index:03d}.png"), image)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project folder with tiny params.yaml, current directory and cache of the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGEPROOF_CACHE", str(tmp_path / "cache"))
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(TINY_PARAMS))
    return tmp_path


@pytest.fixture
def edit_params(project: Path) -> Callable[..., None]:
    """Change values of the project's params.yaml: `edit_params(seed=1)`."""

    def edit(**values: object) -> None:
        path = project / "params.yaml"
        path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **values}))

    return edit


@pytest.fixture
def images(project: Path) -> Path:
    """A class-per-folder tree of 60 images inside the project."""
    write_images(project / "photos")
    return project / "photos"


@pytest.fixture
def unruly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that run models find the backend `tests.unruly`, which is none of the packages that they get.

    An emulated Python takes no PYTHONPATH, and a process that a test starts knows nothing of the other way.
    """
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[1]))
    monkeypatch.setattr("pipeline.processes.child.PACKAGES", ("pipeline", "models", "runners", "tests"))
