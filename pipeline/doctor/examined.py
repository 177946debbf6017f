"""What is examined: the project in this folder, and its repository on GitHub."""

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from pipeline.boards.board_file import Board, load_board
from pipeline.doctor.finding import Unasked
from pipeline.doctor.questions import Questions
from pipeline.project.params import Params, load_params
from pipeline.records.targets import Target, load_target
from pipeline.system import programs
from pipeline.system.errors import BadData, InputError
from pipeline.system.github_api import API, parts_of

WORKFLOWS = Path(".github/workflows")
BOARDS = Path("runners/boards")
GIT_S = 20.0
DVC_S = 60.0
METADATA = "Metadata: read"
ADMINISTRATION = "Administration: read"
ACTIONS = "Actions: read"
ORGANIZATION = "the organization's permission Self-hosted runners: read"


class Owner(BaseModel):
    """Whose the repository is."""

    login: str
    type: str


class Repository(BaseModel):
    """What GitHub says of it (GET /repos/{owner}/{repo})."""

    name: str
    private: bool
    owner: Owner
    pushed_at: datetime | None = None


class Label(BaseModel):
    """By which a job asks for a runner."""

    name: str


class Runner(BaseModel):
    """A self-hosted runner; GitHub does not tell every one's version."""

    name: str
    status: str
    labels: list[Label]
    version: str | None = None


class Group(BaseModel):
    """A runner group of an organization."""

    id: int
    name: str
    allows_public_repositories: bool
    restricted_to_workflows: bool = False


@dataclass(frozen=True)
class Job:
    """A job of a workflow file."""

    file: Path
    name: str
    described: dict[str, Any]

    @property
    def on_board(self) -> bool:
        """Whether it asks for a machine of ours."""
        return "self-hosted" in self._runs_on

    @property
    def where_its_caller_says(self) -> bool:
        """Whether what it runs on is an input."""
        return "inputs." in self._runs_on

    @property
    def _runs_on(self) -> str:
        return str(self.described.get("runs-on", ""))

    @property
    def environment(self) -> str | None:
        """The environment that it names."""
        named = self.described.get("environment")
        return named.get("name") if isinstance(named, dict) else named


@dataclass(frozen=True)
class Subject:
    """The project in the current folder. What several checks ask is asked once."""

    github: Questions

    @property
    def now(self) -> datetime:
        """The time that expiry is judged by."""
        return datetime.now(timezone.utc)

    @cached_property
    def params(self) -> Params:
        """params.yaml; InputError if it is bad."""
        return load_params()

    @cached_property
    def targets(self) -> list[Target]:
        """The targets that it names."""
        return [load_target(name) for name in self.params.targets]

    @cached_property
    def workflows(self) -> dict[Path, dict[Any, Any]]:
        """The workflow files, parsed.

        Raises:
            InputError: one is no YAML mapping.
        """
        found = {}
        for path in sorted([*WORKFLOWS.glob("*.yml"), *WORKFLOWS.glob("*.yaml")]):
            try:
                found[path] = yaml.safe_load(path.read_text(encoding="utf-8"))
            except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
                raise BadData(f"{path}: cannot be read as YAML: {' '.join(str(error).split())}") from error
            if not isinstance(found[path], dict):
                raise BadData(f"{path}: is no workflow")
        return found

    @property
    def jobs(self) -> Iterator[Job]:
        """All jobs of all workflow files."""
        for path, workflow in self.workflows.items():
            for name, described in (workflow.get("jobs") or {}).items():
                if isinstance(described, dict):
                    yield Job(path, str(name), described)

    @cached_property
    def boards(self) -> dict[Path, Board]:
        """The boards that jobs ask for, by their files: those that name labels.

        Raises:
            InputError: a file is no board's.
        """
        return {path: board for path in sorted(BOARDS.glob("*.yaml")) if (board := load_board(str(path))).labels}

    @property
    def jobs_on_boards(self) -> list[Job]:
        """Those that ask for a machine of ours; of those whose caller says it, where there is a board to say."""
        return [job for job in self.jobs if job.on_board or (job.where_its_caller_says and self.boards)]

    @cached_property
    def repository(self) -> Repository:
        """The repository on GitHub; Unasked if GitHub does not tell."""
        return self.github.get("", Repository, METADATA)

    @cached_property
    def groups(self) -> list[tuple[Group, list[Runner]]]:
        """The organization's runner groups that this repository may use, with their runners; none where a person owns
        it."""
        owner, name = self.repository.owner, self.repository.name
        if owner.type != "Organization":
            return []
        path = f"/orgs/{owner.login}/actions/runner-groups"
        groups = self.github.every(path, "runner_groups", Group, ORGANIZATION, visible_to_repository=name)
        return [
            (group, self.github.every(f"{path}/{group.id}/runners", "runners", Runner, ORGANIZATION))
            for group in groups
        ]

    @cached_property
    def runners(self) -> list[Runner]:
        """All that a job of this repository may get: those registered with it, and those of the groups."""
        own = self.github.every("actions/runners", "runners", Runner, ADMINISTRATION)
        return [*own, *(runner for _, runners in self.groups for runner in runners)]


def here(token_file: Path | None) -> Subject:
    """The project in the current folder, with the variables that GitHub Actions sets, if they are.

    Raises:
        InputError: this is no project's folder, or the token's file is missing or holds something else.
    """
    for name in ("params.yaml", "dvc.yaml"):
        if not Path(name).is_file():
            raise InputError(f"no {name} here: run this in the folder of a project; `edgeproof init` makes one")
    token = _token(token_file)
    server = os.environ.get("GITHUB_SERVER_URL") or "https://github.com"
    base = os.environ.get("GITHUB_API_URL") or API
    named = os.environ.get("GITHUB_REPOSITORY")
    if named and not re.fullmatch(r"[\w.-]+/[\w.-]+", named):
        raise InputError(f"GITHUB_REPOSITORY: {named!r} is not OWNER/NAME")
    return Subject(Questions(named or _repository(server), token, base, server))


def events(workflow: dict[Any, Any]) -> list[str]:
    """What starts a workflow. YAML 1.1 reads its key `on` as true."""
    named = workflow.get("on", workflow.get(True)) or []
    return [named] if isinstance(named, str) else [str(event) for event in named]


def git(*arguments: str) -> str:
    """What Git prints, without the line's end.

    Raises:
        Unasked: there is no Git, or it refuses.
    """
    try:
        return programs.run(["git", *arguments], GIT_S).rstrip("\n")
    except programs.Failed as error:
        raise Unasked(f"git {arguments[0]}: {error}", "apt-get install git, and run this in a Git repository") from None


def dvc(*arguments: str) -> str:
    """What DVC prints; Unasked if it refuses."""
    try:
        return programs.run([sys.executable, "-m", "dvc", *arguments], DVC_S)
    except programs.Failed as error:
        raise Unasked(f"dvc {arguments[0]}: {error}", "make install, and run it again") from None


def _token(file: Path | None) -> str | None:
    if file is None:
        where, text = "GITHUB_TOKEN", os.environ.get("GITHUB_TOKEN", "")
        if not text:
            return None
    else:
        where = str(file)
        try:
            text = file.read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{file}: cannot be read ({getattr(error, 'strerror', None) or 'no text'})") from None
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", token := text.strip()):
        raise InputError(f"{where}: holds something else than one token")
    return token


def _repository(server: str) -> str | None:
    """OWNER/NAME as the remote `origin` says it, None where there is none on that server."""
    try:
        address = programs.run(["git", "remote", "get-url", "origin"], GIT_S).strip()
    except programs.Failed:
        return None
    found = re.fullmatch(r"(?:\w+://)?(?:[^@/]+@)?([^:/]+)(?::\d+)?[:/]/?([\w.-]+/[\w.-]+?)(?:\.git)?/?", address)
    host = parts_of(server, "GITHUB_SERVER_URL").hostname
    return found[2] if found and found[1] == host else None
