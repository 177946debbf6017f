"""The house is what docs/architecture.md says: rooms named, files found by their names alone, nothing too large."""

import ast
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
MODULES = sorted(path for room in ("pipeline", "models", "runners") for path in (REPOSITORY / room).rglob("*.py"))
ROOMS = sorted(path.parent.name for path in (REPOSITORY / "pipeline").glob("*/__init__.py"))
LIGHT = {
    "click", "collections", "errno", "importlib", "io", "json", "os", "pathlib", "pipeline", "pkgutil", "re", "shlex",
    "shutil", "sys", "typing",
}  # fmt: skip


def test_nothing_imports_from_above() -> None:
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_is_on_the_map(room: str) -> None:
    assert f"{room}/<br>" in (REPOSITORY / "docs/architecture.md").read_text()
    readme = (REPOSITORY / "README.md").read_text()
    assert f"  {room}/ " in readme or f" {room}/ " in readme


def test_every_room_named_on_the_map_is_there() -> None:
    text = (REPOSITORY / "docs/architecture.md").read_text()
    named = {
        part.strip("`/") for part in text.split() if part.startswith(("`pipeline/", "`runners/")) and "`" in part[1:]
    }
    paths = {name.split("`")[0].rstrip("/,.;") for name in named}
    assert [name for name in sorted(paths) if not (REPOSITORY / name).exists()] == []


def test_a_file_name_is_there_once() -> None:
    # A device's command is named by its file, whatever other files are called.
    files = [path for path in MODULES if path.parent != REPOSITORY / "runners/edge/commands"]
    names = Counter(path.name for path in files if not path.name.startswith("__"))
    assert [name for name, times in names.items() if times > 1] == []


def test_no_module_is_too_long_to_be_one_idea() -> None:
    assert [str(path) for path in MODULES if len(path.read_text().splitlines()) > 350] == []


@pytest.mark.parametrize("path", sorted((REPOSITORY / "pipeline/cli").glob("*.py")), ids=lambda path: path.stem)
def test_the_command_line_loads_nothing_heavy(path: Path) -> None:
    if path.stem == "reference":  # writes a document; no command
        return
    tree = ast.parse(path.read_text())
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    modules = {node.module or "" for node in imports if isinstance(node, ast.ImportFrom)}
    modules |= {name.name for node in imports if isinstance(node, ast.Import) for name in node.names}
    assert {module.split(".")[0] for module in modules} <= LIGHT
    ours = {module for module in modules if module.startswith("pipeline")}
    assert all(module.startswith(("pipeline.cli", "pipeline.system.errors")) for module in ours)


def test_tests_that_share_what_takes_long_stay_in_one_process(request: pytest.FixtureRequest) -> None:
    if "PYTEST_XDIST_WORKER" not in os.environ:
        pytest.skip("one process runs all tests; `make test` starts two")
    assert request.node.nodeid.endswith("@test_house"), request.node.nodeid
