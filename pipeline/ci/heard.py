"""When boards last answered: the records that the newest runs of the main branch left on GitHub say so.

A job that started says nothing of its board: the machine that runs it may be there without one.
"""

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime

from pydantic import ValidationError

from pipeline.ci import artifact
from pipeline.ci.board_outcome import State
from pipeline.ci.run_ended import Lax
from pipeline.records.targets import describe
from pipeline.system.errors import BadData
from pipeline.system.github_api import NOT_FOUND, ApiError, GitHub

NIGHTLY, CHANGES = "nightly.yml", "pr.yml"
NIGHTS = ("schedule", "workflow_dispatch")  # one that somebody starts by hand is as good
ANSWERED: tuple[State, ...] = ("measured", "throttled", "sick")
NOT_ASKED: tuple[State, ...] = ("unasked", "nothing to measure")
RECORDS = 20  # that are read at most


class Run(Lax):
    """A run of a workflow, as GitHub lists it."""

    id: int
    event: str
    status: str
    conclusion: str | None
    head_sha: str
    created_at: datetime


@contextmanager
def as_documented() -> Iterator[None]:
    """What is read of GitHub's answers within.

    Raises:
        ApiError: it has another form than GitHub documents.
    """
    try:
        yield
    except (ValidationError, KeyError) as error:
        said = describe(error) if isinstance(error, ValidationError) else f"no {error}"
        raise ApiError(f"GitHub: another form than documented: {said}") from error


def last_heard(
    github: GitHub, names: Collection[str], branch: str, states: Collection[State] = ANSWERED
) -> dict[str, datetime]:
    """When each board was last in one of the states in a run of the branch; only of those that were in the newest runs.

    Raises:
        ApiError: GitHub refuses.
    """
    heard: dict[str, datetime] = {}
    with as_documented():
        found = [run for workflow in (NIGHTLY, CHANGES) for run in runs(github, workflow, branch, RECORDS)]
        for run in newest_first(run for run in found if run.status == "completed")[:RECORDS]:
            if heard.keys() >= set(names):
                break
            number = artifact.of_run(github, run.id).record
            try:
                boards = [] if number is None else artifact.record(github, number).boards
            except BadData:  # of an older version
                continue
            for board in boards:
                if board.state in states:
                    heard.setdefault(board.board, run.created_at)
    return heard


def runs(github: GitHub, workflow: str, branch: str, most: int) -> list[Run]:
    """The newest runs of a branch of the repository itself: a fork's may have the same name, but runs for nothing else
    than its pull request."""
    try:
        listed = github.get(f"actions/workflows/{workflow}/runs", branch=branch, per_page=most)["workflow_runs"]
    except ApiError as error:
        if error.status != NOT_FOUND:  # a workflow that the main branch does not have yet
            raise
        return []
    return [run for run in map(Run.model_validate, listed) if run.event in (*NIGHTS, "push")]


def newest_first(found: Iterable[Run]) -> list[Run]:
    """The runs by when they were created."""
    return sorted(found, key=lambda run: run.created_at, reverse=True)
