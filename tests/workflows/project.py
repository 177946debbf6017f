"""A small project made of this repository, and what a developer and GitHub do with it."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml
from act import REPOSITORY, STANDINS, TOOLS, Machine, Run, clock_stages

from pipeline.system import cache
from tests import without_xdist
from tests.conftest import write_images

RECIPES = {"fp32": [], "int8": [{"quantize": {"calibration_samples": 16}}]}
TRAINING = {"epochs": 1, "batch": 8, "samples_per_epoch": 48}


@dataclass(frozen=True)
class Project:
    """A small project in a Git repository, the machine for its workflows, and how a laptop works on it."""

    folder: Path
    machine: Machine

    def call(self, *command: str, cwd: Path | None = None) -> str:
        """Run a command in the project; its output."""
        environment = self.machine.environment
        return subprocess.run(
            command, cwd=cwd or self.folder, env=environment, capture_output=True, text=True, check=True
        ).stdout.strip()

    def edit_params(self, edit: Callable[[dict], None]) -> None:
        """Change params.yaml by a function of its content."""
        edit_params(self.folder / "params.yaml", edit)

    def commit(self, message: str) -> str:
        """Commit all that changed; the commit."""
        self.call("git", "add", "--all")
        self.call("git", "commit", "--quiet", "--message", message)
        return self.call("git", "rev-parse", "HEAD")

    def push(self) -> Run:
        """What GitHub runs for the first push to main."""
        return self.machine.run(self.folder, "push", {"ref": "refs/heads/main", "before": "0" * 40})

    def propose(self, message: str, event: str = "pull_request_of_a_branch") -> Run:
        """What GitHub runs for a pull request with the present changes; afterwards main is checked out again."""
        base = self.call("git", "rev-parse", "main")
        self.call("git", "checkout", "--quiet", "-b", message.replace(" ", "-"))
        self.commit(message)
        sent = json.loads((Path(__file__).parent / "events" / f"{event}.json").read_text())
        sent["pull_request"]["base"]["sha"] = base
        run = self.machine.run(self.folder, "pull_request", sent)
        self.call("git", "checkout", "--quiet", "main")
        return run


@dataclass(frozen=True)
class Both:
    """The same commit made by the workflow and by hand."""

    run: Run
    laptop: Path


def make_project(folder: Path) -> Project:
    """This repository with one small model, two methods, one target and 60 images, in a remote that jobs can reach."""
    project = Project(folder / "project", Machine(folder, environment(folder)))
    copy_repository(project.folder)
    ready_venv(folder / "venv", project.folder)
    clock_stages(folder / "venv", folder)
    shrink(project.folder / "params.yaml")
    write_images(folder / "images")
    (folder / "downloads").mkdir()
    (folder / "downloads/emulators").symlink_to(cache.folder("emulators"))  # `make emulators` has fetched them
    project.call("git", "init", "--quiet", "--initial-branch", "main")
    project.call("dvc", "remote", "add", "--default", "store", str(folder / "store"))
    project.call("edgeproof", "data", "import", str(folder / "images"))
    project.call("dvc", "push", "--quiet")
    project.commit("small project")
    return project


def edit_params(path: Path, edit: Callable[[dict], None]) -> None:
    """Change a params.yaml by a function of its content."""
    params = yaml.safe_load(path.read_text())
    edit(params)
    path.write_text(yaml.safe_dump(params, sort_keys=False))


def shrink(path: Path) -> None:
    """One small network, two methods and one target, in a params.yaml."""
    edit_params(path, _make_small)


def environment(folder: Path) -> dict[str, str]:
    """The variables that project and jobs run with: nothing of this user's settings, all that is kept in `folder`."""
    return {
        **{name: value for name, value in without_xdist.environment().items() if name != "PYTHONDONTWRITEBYTECODE"},
        "PATH": f"{STANDINS / 'bin'}:{TOOLS}:{os.environ['PATH']}",
        "PYTHONPATH": ".",  # `edgeproof` is installed from another checkout
        "OMP_NUM_THREADS": "1",  # jobs run side by side
        "VENV": str(folder / "venv"),
        "EDGEPROOF_CACHE": str(folder / "downloads"),
        "DVC_SITE_CACHE_DIR": str(folder / "dvc"),
        "DVC_GLOBAL_CONFIG_DIR": str(folder / "dvc"),
        "DVC_SYSTEM_CONFIG_DIR": str(folder / "dvc"),
        "GIT_CONFIG_GLOBAL": os.devnull,
        **{f"GIT_{who}_{what}": "tests@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }


def copy_repository(project: Path) -> None:
    """All files of the working tree that Git has or would take."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in listed.stdout.split("\0"):
        if (REPOSITORY / name).is_file():
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, project / name)
    called = project / ".github/workflows/call_device.yml"
    called.write_text(called.read_text().replace("      queue: max\n", ""))  # which act does not know


def ready_venv(venv: Path, project: Path) -> None:
    """This Python's own environment under another name, with the stamp by which `make install` leaves it as it is."""
    venv.mkdir()
    for path in Path(sys.prefix).iterdir():
        if path.name not in (".installed", ".installed-boards"):
            (venv / path.name).symlink_to(path)
    stamp = "cat requirements.lock pyproject.toml | sha256sum"
    for name in (".installed", ".installed-boards"):
        (venv / name).write_text(subprocess.check_output(stamp, shell=True, cwd=project, text=True))


def _make_small(params: dict) -> None:
    params.update(models=["lenet-5"], methods=["fp32", "int8"], targets=["atom-x5-e3940"], recipes=RECIPES)
    params["train"].update(TRAINING)


def with_origin(project: Path) -> Path:
    """Make a folder a repository whose main branch is pushed to a bare one beside it, which is the answer."""
    origin = project.with_name("origin.git")
    who = ("-c", "user.name=tests", "-c", "user.email=tests@example.com")
    for command in (
        ("init", "--quiet", "--initial-branch", "main"),
        ("add", "--all"),
        (*who, "commit", "--quiet", "--allow-empty", "--message", "first"),
        ("init", "--quiet", "--bare", "--initial-branch", "main", str(origin)),
        ("remote", "add", "origin", str(origin)),
        ("push", "--quiet", "origin", "main"),
        ("fetch", "--quiet", "origin"),
    ):
        subprocess.run(["git", *command], cwd=project, check=True)
    return origin
