"""Machines that are provisioned once, and copied for each test."""

import shutil
from pathlib import Path

import pytest

from tests.provision import machine
from tests.provision.machine import REPOSITORY, Machine


@pytest.fixture(scope="session", autouse=True)
def what_provisioning_installs() -> None:
    """The scripts run here as they are, so what they install on a board before they need it must be here."""
    if missing := [program for program in ("bash", "jq", "git") if not shutil.which(program)]:
        pytest.skip(f"not installed here: {', '.join(missing)}")


@pytest.fixture(scope="session")
def finished_atom(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    made = machine.atom(tmp_path_factory.mktemp("atom") / "atom")
    machine.lay_token(made)
    done = made.provision("atom", "--repository", REPOSITORY)
    assert done.returncode == 0, done.stdout + done.stderr
    return made


@pytest.fixture
def atom(finished_atom: Machine, tmp_path: Path) -> Machine:
    """An Atom x5-E3940 that is a place for jobs of `acme/vision`."""
    return finished_atom.copy(tmp_path / "machine")


@pytest.fixture(scope="module")
def board(finished_atom: Machine, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """One machine for all that it refuses."""
    return finished_atom.copy(tmp_path_factory.mktemp("refusing") / "machine")


@pytest.fixture(scope="session")
def finished_orin(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    made = machine.orin(tmp_path_factory.mktemp("orin") / "orin")
    machine.lay_token(made)
    done = made.provision("jetson", "--repository", REPOSITORY, "--labels", "orin,lab", "--power-mode", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    return made


@pytest.fixture
def orin(finished_orin: Machine, tmp_path: Path) -> Machine:
    """A Jetson Orin in power mode 0 whose jobs shall run in mode 2."""
    return finished_orin.copy(tmp_path / "machine")
