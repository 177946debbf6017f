"""The event of GitHub Actions that starts a job when a run has ended."""

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.records.targets import describe
from pipeline.system.errors import Missing


class Lax(BaseModel):
    """The part of what GitHub says that somebody reads."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class _Owner(Lax):
    login: str


class _Repository(Lax):
    full_name: str
    owner: _Owner


class _Number(Lax):
    number: int


class _HeadCommit(Lax):
    message: str
    timestamp: str


class WorkflowRun(Lax):
    """A run as the event `workflow_run` tells it; GitHub's words, but for the branch's name."""

    id: int
    workflow_id: int
    event: str
    conclusion: str | None
    head_sha: str = Field(pattern="^[0-9a-f]{40}$")
    head_branch: str | None
    head_repository: _Repository | None = None
    head_commit: _HeadCommit | None = None
    pull_requests: list[_Number] = []


class _DefaultBranch(Lax):
    default_branch: str = "main"


class Event(Lax):
    """The file that GITHUB_EVENT_PATH names."""

    workflow_run: WorkflowRun
    repository: _DefaultBranch = _DefaultBranch()


def event() -> Event:
    """The end of the run that started this job.

    Raises:
        Missing: this is no job that the end of a run started.
    """
    path = os.environ.get("GITHUB_EVENT_PATH")
    if not path or not Path(path).is_file():
        raise Missing("GITHUB_EVENT_PATH names no event: this is for a job that `workflow_run` starts")
    try:
        return Event.model_validate_json(Path(path).read_bytes())
    except ValidationError as error:
        raise Missing(f"GITHUB_EVENT_PATH: no end of a run, for which this is: {describe(error)}") from error
