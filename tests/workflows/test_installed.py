"""A wheel of this repository as a tool of its own, in somebody else's folder: nothing of the checkout is left."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from act import STANDINS
from project import copy_repository, environment, ready_venv, shrink

from tests.conftest import write_images
from tests.graphs import model, node, random

VERDICTS = {"atom-x5-e3940": "pass", "jetson-tx2-maxq": "pass", "tegra-parker-a57": "not_measured"}


@dataclass(frozen=True)
class Tool:
    """An environment that holds the wheel and the packages that it requires."""

    venv: Path

    def call(self, folder: Path, *arguments: str, code: int = 0) -> str:
        """What it prints in a folder, started as by a shell of somebody who has nothing else."""
        environment = {name: value for name in ("HOME", "PATH", "EDGEPROOF_CACHE") if (value := os.environ.get(name))}
        command = [self.venv / "bin/edgeproof", *arguments]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def tool(tmp_path_factory: pytest.TempPathFactory) -> Tool:
    folder = tmp_path_factory.mktemp("tool")
    copy_repository(folder / "checkout")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    built = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder / "dist", folder / "checkout"]
    subprocess.run(built, check=True)
    [wheel] = (folder / "dist").glob("edgeproof-*.whl")
    shutil.rmtree(folder / "checkout")
    places = {"PIPX_HOME": str(folder), "PIPX_BIN_DIR": str(folder / "bin")}
    install = [sys.executable, STANDINS / "pipx.py", "install", f"{wheel}[cloud]"]
    subprocess.run(install, env={**os.environ, **places}, check=True)
    return Tool((folder / "bin/edgeproof").resolve().parents[1])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Somebody's folder: a network of three classes and samples with its own answers as labels."""
    weights = {"w": random(1, 192, 3)}
    nodes = [node("Flatten", "x", "flat"), node("MatMul", "flat w", "sums"), node("Softmax", "sums", "y")]
    onnx.save(onnx.shape_inference.infer_shapes(model(nodes, weights, ("N", 3, 8, 8))), tmp_path / "net.onnx")
    inputs = random(2, 48, 3, 8, 8)
    np.savez(tmp_path / "data.npz", inputs=inputs, labels=(inputs.reshape(48, -1) @ weights["w"]).argmax(1))
    return tmp_path


def test_it_is_the_wheel_that_runs_and_tells_its_version(tool: Tool, tmp_path: Path) -> None:
    [python] = tool.venv.glob("bin/python3")
    where = "import pipeline, runners, models; print(*(room.__file__ for room in (pipeline, runners, models)))"
    found = subprocess.run([python, "-c", where], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert all(path.startswith(str(tool.venv)) for path in found.split())
    assert tool.call(tmp_path, "--version").startswith("edgeproof, version 0")
    assert "A model that passes here" in tool.call(tmp_path, "--help")


def test_it_knows_every_target(tool: Tool, tmp_path: Path) -> None:
    listed = [line.split()[0] for line in tool.call(tmp_path, "targets").splitlines()]
    assert set(VERDICTS) < set(listed)
    for name in listed:
        assert tool.call(tmp_path, "targets", "show", name).startswith(f"{name}: ")


@pytest.mark.parametrize("target", VERDICTS)
def test_it_checks_for_every_family_and_writes_only_what_it_was_asked_for(
    tool: Tool, folder: Path, target: str
) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    code = 3 if VERDICTS[target] == "not_measured" else 0
    tool.call(folder, "check", "net.onnx", "--target", target, "--data", "data.npz", "--json", "told.json", code=code)
    record = json.loads((folder / "told.json").read_text())
    # Without a board or a published measurement nothing is known of the A57's speed; all else is.
    assert record["verdict"] == VERDICTS[target]
    assert record["grade"] == ("bounded" if "jetson" in target else "exact")
    assert record["accuracy"]["target"] == {"correct": 48, "n": 48}
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "told.json"} == before


def test_it_says_what_to_do_where_there_is_no_pip_to_fetch_wheels_with(tool: Tool, tmp_path: Path) -> None:
    fetch = f"from pipeline.system import wheels; wheels.download('numpy==2', '0', {str(tmp_path)!r})"
    done = subprocess.run([tool.venv / "bin/python", "-c", fetch], cwd=tmp_path, capture_output=True, text=True)
    assert "there is no pip beside this Python (with uv, add the package pip to it)" in done.stderr.splitlines()[-1]


def test_it_says_in_one_line_that_the_pipeline_needs_a_checkout(tool: Tool, tmp_path: Path) -> None:
    done = subprocess.run([tool.venv / "bin/edgeproof", "gate"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert list(tmp_path.iterdir()) == []


def test_it_makes_a_project_of_an_empty_folder(tool: Tool, tmp_path: Path) -> None:
    """All that the repository has, out of the wheel alone; what else is in this working tree is in neither."""
    copy_repository(tmp_path / "repository")
    told = tool.call(tmp_path, "init", "my-model", "--target", "atom-x5-e3940")
    assert told.splitlines()[-2:] == ["  make -C my-model demo", "  cd my-model && .venv/bin/edgeproof doctor"]
    made = listing(tmp_path / "my-model")
    expected = listing(tmp_path / "repository")
    assert made.keys() == expected.keys()
    assert {name for name in made if made[name] != expected[name]} == {"params.yaml"}  # one target


@pytest.mark.nightly
def test_three_commands_lead_from_an_empty_folder_to_a_verdict(tool: Tool, tmp_path: Path) -> None:
    """pipx install, init, make demo: with own photos, and a network and a training that are small."""
    write_images(tmp_path / "photos")
    tool.call(tmp_path, "init", "my-model", "--data", "photos", "--target", "atom-x5-e3940")
    project = tmp_path / "my-model"
    shrink(project / "params.yaml")
    ready_venv(tmp_path / "venv", project)
    called = {**environment(tmp_path), "EDGEPROOF_CACHE": os.environ.get("EDGEPROOF_CACHE", "")}
    demo = subprocess.run(["make", "-C", project, "demo"], env=called, capture_output=True, text=True)
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "imported data, already there" in demo.stdout
    assert re.search(r"^atom-x5-e3940  PASS$", demo.stdout, re.MULTILINE)
    assert (project / "artifacts/report/index.html").is_file()
    examined = subprocess.run(
        ["edgeproof", "doctor", "--json"], cwd=project, env=called, capture_output=True, text=True
    )
    states = {each["check"]: each["verdict"] for each in json.loads(examined.stdout)["findings"]}
    assert (states["running-code"], states["project-data"], states["target-emulators"]) == ("pass",) * 3
    assert states["dvc-remote"] == "fail", "nobody else has these images"


def listing(folder: Path) -> dict[str, tuple[bytes, bool]]:
    """What each file holds, and whether it is a program; without Git's own."""
    files = [path for path in folder.rglob("*") if path.is_file() and ".git" not in path.relative_to(folder).parts]
    return {path.relative_to(folder).as_posix(): (path.read_bytes(), os.access(path, os.X_OK)) for path in files}
