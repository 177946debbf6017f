"""A tiny project taken through the stages, once for all tests that only look."""

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from filelock import FileLock

from pipeline.cli import cli
from pipeline.project import layout
from pipeline.project.candidate import Candidate, candidate
from pipeline.project.params import load_params
from tests.conftest import TINY_PARAMS, write_images

METHODS = ["fp32", "fp16", "int8", "pruned-int8"]
TARGETS = ["atom-x5-e3940", "jetson-tx2-maxq"]


def run(*arguments: str) -> str:
    """Run `edgeproof ARGUMENTS` in this process; the answer is what it printed. It must succeed."""
    result = CliRunner().invoke(cli, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def made(method: str, model: str = "lenet-5", project: Path = Path()) -> Candidate:
    """The candidate of a method of params.yaml, in the project that is in this folder."""
    found = candidate(model, method, load_params(project / layout.PARAMS))
    return replace(found, folder=project / found.folder)


def workers_left() -> str:
    """Children of this process that still run a model, by number."""
    command = ["pgrep", "-P", str(os.getpid()), "-f", "pipeline.processes.worker"]
    return subprocess.run(command, capture_output=True, text=True).stdout


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project folder with a trained parent, all four candidates, their exports, re-tests and the report.

    Processes that run tests side by side share it: the first one makes it.
    """
    alone = "PYTEST_XDIST_WORKER" not in os.environ
    base = tmp_path_factory.getbasetemp() if alone else tmp_path_factory.getbasetemp().parent
    folder = base / "prepared"
    with FileLock(base / "prepared.lock"):
        if not (folder / layout.REPORT).exists():
            shutil.rmtree(folder, ignore_errors=True)  # of one that failed half way
            folder.mkdir()
            prepare(folder)
    return folder


def prepare(folder: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("EDGEPROOF_CACHE", str(folder / "cache"))
        params = {**TINY_PARAMS, "methods": METHODS, "targets": TARGETS}
        (folder / "params.yaml").write_text(yaml.safe_dump(params))
        write_images(folder / "photos")
        run("data", "import", "photos")
        run("stage", "dataset")
        run("stage", "train", "lenet-5")
        for method in METHODS:
            run("stage", "resolve", method)
            run("stage", "compress", "lenet-5", method)
            run("stage", "export", "lenet-5", method)
            for target in TARGETS:
                run("stage", "retest", "lenet-5", method, target)
        run("stage", "report")


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No emulators are found there: audits are what tests/emulators is for, and take their time."""
    monkeypatch.setenv("EDGEPROOF_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def trained(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the prepared project that a test may damage."""
    copy = tmp_path / "project"
    shutil.copytree(prepared, copy)
    monkeypatch.chdir(copy)
    return copy
