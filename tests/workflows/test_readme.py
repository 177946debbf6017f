"""Every command of the README, run as written in a clone of the small project."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import click
import pytest
from act import REPOSITORY, STANDINS
from project import Both, Project

from pipeline.cli import cli

BLOCKS = re.findall(r"```console\n(.*?)```", (REPOSITORY / "README.md").read_text(), re.DOTALL)
COMMANDS = [line.removeprefix("$ ") for block in BLOCKS for line in block.splitlines() if line.startswith("$ ")]
# This very run, and what `make nightly` runs (test_installed.py).
ELSEWHERE = ("make test", "make -C my-model demo")
# They train or search: at night. Every day tests/stages does the same with less, and their options are read below.
LONG = ("dvc exp run", "edgeproof search", "edgeproof compress")
# A verdict is an answer too.
MAY_EXIT = {f"edgeproof {verb}": {0, 1, 3} for verb in ("gate", "check", "compress", "search")}


def test_the_test_command_is_the_one_that_ci_runs() -> None:
    assert set(ELSEWHERE) < set(COMMANDS)
    assert "\nmake test\n" in (REPOSITORY / ".ci" / "run").read_text()


def test_edgeproof_takes_every_option_that_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    for name in ("fp32.onnx", "int8.onnx"):
        Path(name).touch()
    given = [shlex.split(command)[1:] for command in COMMANDS if command.startswith("edgeproof ")]
    assert len(given) > 5
    for words in given:
        command: click.Command = cli
        context = None
        while isinstance(command, click.Group) and words:
            context = command.make_context(command.name, list(words), parent=context)
            _, command, words = command.resolve_command(context, words)
        command.make_context(command.name, list(words), parent=context)


def test_every_command_works_in_the_order_given(project: Project, both: Both) -> None:
    commands = [command for command in COMMANDS if command not in ELSEWHERE and not command.startswith(LONG)]
    assert commands[0] == "make demo"
    work_through(commands, project, both)


@pytest.mark.nightly
def test_those_that_train_work_too(project: Project, both: Both) -> None:
    commands = [command for command in COMMANDS if command.startswith(LONG)]
    assert len(commands) == len(LONG)
    work_through(commands, project, both)


def work_through(commands: list[str], project: Project, both: Both) -> None:
    shutil.copytree(project.machine.folder / "images", both.laptop / "photos", dirs_exist_ok=True)
    for method in ("fp32", "int8"):
        made = both.laptop / "artifacts" / "candidates" / "lenet-5" / method / "model.onnx"
        shutil.copy(made, both.laptop / f"{method}.onnx")
    environment = {**project.machine.environment, **released(project)}
    for command in commands:
        done = subprocess.run(command, shell=True, cwd=both.laptop, env=environment, capture_output=True, text=True)
        if done.returncode not in MAY_EXIT.get(" ".join(command.split()[:2]), {0}):
            pytest.fail(f"{command}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}")


def released(project: Project) -> dict[str, str]:
    """The project as a release of OWNER on GitHub, and `pipx`, for a process with these variables."""
    folder = project.machine.folder
    if not (folder / "programs").exists():
        project.call("git", "tag", "v1")
        (folder / "programs").mkdir()
        (folder / "programs/pipx").symlink_to(STANDINS / "pipx.py")
    return {
        "PATH": f"{folder / 'programs'}:{project.machine.environment['PATH']}",
        "PIPX_HOME": str(folder / "pipx"),
        "PIPX_BIN_DIR": str(folder / "tools"),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.file://{project.folder}.insteadOf",
        "GIT_CONFIG_VALUE_0": "https://github.com/OWNER/edgeproof",
    }
