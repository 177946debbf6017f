"""Stages end with what runs them, and two of them do not fight over one folder."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import yaml
from filelock import FileLock

from pipeline.project import layout
from pipeline.system import owner
from tests.conftest import TINY_PARAMS
from tests.waiting import until

REPOSITORY = Path(__file__).resolve().parents[2]
STAGE = f"{sys.executable} -m pipeline stage train lenet-5"
# What DVC does to run a stage; it does not wait for the stage when it is told to end.
DVC = "import subprocess, sys; subprocess.Popen(['/bin/sh', '-c', sys.argv[1]]).wait()"


@pytest.fixture
def endless(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project whose training has thousands of epochs, in which nothing runs afterwards."""
    settings = {**TINY_PARAMS, "train": {**TINY_PARAMS["train"], "epochs": 100_000}}  # type: ignore[dict-item]
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(settings))
    (tmp_path / "artifacts").mkdir()
    (tmp_path / layout.DATASET).symlink_to(prepared / layout.DATASET)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    yield tmp_path
    for process in training(tmp_path):
        with suppress(psutil.NoSuchProcess):
            process.kill()


def training(folder: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        words = process.info["cmdline"] or []
        if words[1:4] == ["-m", "pipeline", "stage"] and process.info["cwd"] == str(folder):
            found.append(process)
    return found


def test_a_stage_ends_when_the_repeat_that_runs_it_is_killed(endless: Path) -> None:
    command = [sys.executable, "-m", "pipeline", "repeat", "fp32", "--seeds", "1"]
    repeat = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stages() -> list[psutil.Process]:
        return [one for folder in layout.REPEAT.absolute().glob("seed-0-*") for one in training(folder)]

    try:
        until(stages, 100)
        repeat.terminate()  # whether or not the stage has come so far as to look
        repeat.wait()
        until(lambda: not stages())
    finally:
        for process in stages():
            process.kill()


@pytest.mark.parametrize(
    ("how", "command"),
    [(signal.SIGTERM, f"{STAGE}; true"), (signal.SIGKILL, STAGE)],
    ids=["below a shell", "instead of the shell"],
)
def test_a_stage_ends_when_its_dvc_is_killed(endless: Path, how: signal.Signals, command: str) -> None:
    environment = {**os.environ, "DVC_STAGE": "train@lenet-5"}
    dvc = subprocess.Popen([sys.executable, "-c", DVC, command], env=environment, stderr=subprocess.DEVNULL)
    until(lambda: any(layout.CHECKPOINTS.glob("*.pt")))
    assert training(endless)
    dvc.send_signal(how)
    dvc.wait()
    until(lambda: not training(endless))


def test_what_was_started_by_hand_may_outlive_its_shell(endless: Path) -> None:
    shell = subprocess.Popen([sys.executable, "-c", DVC, STAGE], stderr=subprocess.DEVNULL)
    until(lambda: any(layout.CHECKPOINTS.glob("*.pt")))
    shell.kill()
    shell.wait()
    time.sleep(2)
    assert training(endless)


def test_a_second_stage_says_that_it_waits(endless: Path) -> None:
    with FileLock(layout.ARTIFACTS / "stage.lock"):
        command = [sys.executable, "-m", "pipeline", "stage", "resolve", "int8"]
        second = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert second.stderr is not None
        assert second.stderr.readline() == "another stage runs in this folder: waiting for it to end\n"
        assert not layout.recipe("int8").exists()
    assert second.wait(60) == 0
    second.stderr.close()
    assert layout.recipe("int8").exists()


def test_an_owner_that_ends_while_it_is_looked_at_counts_as_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ending:
        def is_running(self) -> bool:
            return True

        def status(self) -> str:
            raise psutil.NoSuchProcess(1)

    killed: list[int] = []
    monkeypatch.setattr(owner.os, "kill", lambda number, how: killed.append(how))
    owner._watch([Ending()])  # type: ignore[list-item]
    assert killed == [signal.SIGKILL]
