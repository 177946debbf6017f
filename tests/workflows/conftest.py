import os
import subprocess

import pytest
from project import Both, Project, make_project


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return make_project(tmp_path_factory.mktemp("workflows"))


@pytest.fixture(scope="session")
def both(project: Project) -> Both:
    """The first run on main, and the same by `dvc repro` in a clone with a cache of its own, at the same time."""
    laptop = project.machine.folder / "laptop"
    project.call("git", "clone", "--quiet", str(project.folder), str(laptop))
    project.call("edgeproof", "emulators", "install", "denverton")  # for both, whoever re-tests first
    by_hand = subprocess.Popen(
        "edgeproof data fetch && dvc repro",
        shell=True, cwd=laptop, env=project.machine.environment, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    with by_hand:
        run = project.push()
    assert by_hand.returncode == os.EX_OK
    return Both(run, laptop)
