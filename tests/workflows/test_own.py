"""own.yml, run for real on a Makefile that says what it is asked for; and that ours has those verbs."""

import re
from collections import Counter
from pathlib import Path

import pytest
import yaml
from act import HOSTED, REPOSITORY, Machine
from packaging.specifiers import SpecifierSet
from project import copy_repository, environment

WORKFLOW = REPOSITORY / ".github/workflows/own.yml"
SAYING = "%:\n\t@echo make $@\n"
VERBS = {"check": "check", "test": "test", "device": "test-runners", "base": "test-base"}


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    folder = tmp_path_factory.mktemp("own")
    copy_repository(folder / "project")
    (folder / "project/Makefile").write_text(SAYING)
    (folder / "venv/bin").mkdir(parents=True)
    return Machine(folder, environment(folder))


def test_each_job_calls_its_verb(machine: Machine) -> None:
    run = machine.run(machine.folder / "project", "push", {"ref": "refs/heads/main"}, "own.yml")
    assert run.code == 0, run.output
    assert Counter(run.jobs) == {"check": 1, "test": 1, "device": 1, "base": 2}
    for job, verb in VERBS.items():
        called = re.findall(r"^make (\S+)$", run.output[job], re.MULTILINE)
        assert called == ([verb] * 2 if job == "base" else ["develop", verb]), job


def test_the_verbs_are_those_of_the_makefile() -> None:
    verbs = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    named = {"develop", *VERBS.values()}
    for path in (REPOSITORY / ".github").rglob("*.yml"):
        named |= set(re.findall(r"(?:run: make|^ +install:) ([a-z][a-z-]*)$", path.read_text(), re.MULTILINE))
    assert named >= {"nightly"}
    assert named <= verbs


def test_what_devices_run_is_tested_on_arm64_and_the_base_on_the_oldest_python_too() -> None:
    jobs = yaml.safe_load(WORKFLOW.read_text())["jobs"]
    assert {name: job["runs-on"] for name, job in jobs.items()} == {
        "check": HOSTED, "test": HOSTED, "base": HOSTED, "device": f"{HOSTED}-arm",
    }  # fmt: skip
    [allowed] = re.findall(r'^requires-python = "(.+)"', (REPOSITORY / "pyproject.toml").read_text(), re.MULTILINE)
    oldest = jobs["base"]["strategy"]["matrix"]["python"][0]
    older = f"3.{int(oldest.split('.')[1]) - 1}"
    assert oldest in SpecifierSet(allowed)
    assert older not in SpecifierSet(allowed)


def test_what_runs_on_devices_has_tests_of_its_own() -> None:
    """The files that `make test-runners` names are there, and reach every room of the device's code."""
    [recipe] = re.findall(r"^test-runners:.*\n\t@pytest -q (.*)$", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    for folder in re.findall(r"tests/[\w/]+(?= )", recipe):
        assert list((REPOSITORY / folder).glob("test_*.py")), folder
    texts = [path.read_text() for path in Path(REPOSITORY / "tests").rglob("*.py")]
    found = {
        room for text in texts for room in re.findall(r"^(?:from|import) runners\.edge\.(\w+)", text, re.MULTILINE)
    }
    rooms = {path.parent.name for path in (REPOSITORY / "runners/edge").glob("*/__init__.py")}
    assert rooms <= found | {"commands"}
