"""What every commit of the main branch came to: a line of JSON each, in a file on a branch of its own.

The branch `history` has no commit in common with any other and holds this file alone. It outlives artifacts, which
GitHub deletes after 90 days. A run that is repeated takes the place of its earlier line.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.ci import artifact
from pipeline.ci.harmless import Commit
from pipeline.ci.run_ended import Event, WorkflowRun
from pipeline.ci.run_record import RunRecord
from pipeline.records.targets import describe
from pipeline.system import files
from pipeline.system.errors import BadData, Missing, Refused, reason
from pipeline.system.github_api import ApiError, GitHub

BRANCH, FILE = "history", "history.jsonl"
MOST_BYTES = 100_000_000
TRIES = 3  # somebody else may write at the same time
CONFLICT = 422
RUNS = 30  # of the main branch that are looked through for missed ones


class Line(BaseModel):
    """One commit, with the time (ISO 8601) and the title that Git has of it, and what its run found out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    commit: Commit
    run: int
    time: str = Field(max_length=40)
    title: str = Field(max_length=200)
    record: RunRecord


def parse(text: str, where: str = FILE) -> list[Line]:
    """All lines, oldest first; `where` they were read is said where one is wrong.

    Raises:
        BadData: one of them is none.
    """
    lines = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            lines.append(Line.model_validate_json(line))
        except ValidationError as error:
            raise BadData(f"{where}, line {number}: {describe(error)}") from error
    return lines


def lines_of(file: Path) -> list[Line]:
    """Those of a file.

    Raises:
        InputError: it is missing, or holds something else.
    """
    files.check_file(file)
    try:
        return parse(file.read_text(encoding="utf-8"), str(file))
    except FileNotFoundError as error:
        raise Missing(f"{file}: no such file; `git show origin/{BRANCH}:{FILE}` prints it") from error
    except (OSError, UnicodeDecodeError) as error:
        raise BadData(f"{file}: cannot be read as {FILE}{reason(error)}") from error


def text(lines: Sequence[Line]) -> str:
    """The file."""
    return "".join(json.dumps(line.model_dump(mode="json", exclude_none=True), sort_keys=True) + "\n" for line in lines)


def remember(github: GitHub, event: Event) -> list[Line]:
    """Add the run that ended to the branch, and others of the main branch that nobody has added; the whole history.

    Raises:
        Refused: the run is not of a push to the default branch of this repository.
        BadData: its record or the history cannot be read.
        ApiError: GitHub refuses.
    """
    run, main = event.workflow_run, event.repository.default_branch
    whose = run.head_repository.full_name if run.head_repository else "nobody"
    if (run.event, run.head_branch, whose) != ("push", main, github.repository):
        raise Refused(f"run {run.id} is of no push to {main} of {github.repository}; it is not remembered")
    tip, lines = read(github)
    found = [*_missed(github, run, main, lines), *_of_run(github, run)]
    for left in reversed(range(TRIES)):
        lines = _merged(lines, found)
        if not found:
            break
        try:
            _write(github, tip, text(lines))
        except ApiError as error:
            if error.status != CONFLICT or not left:
                raise
            tip, lines = read(github)
        else:
            break
    return lines


def _merged(lines: Sequence[Line], found: Sequence[Line]) -> list[Line]:
    """One line a commit, that of its newest run, in the order of the runs."""
    by_commit: dict[str, Line] = {}
    for line in sorted([*lines, *found], key=lambda line: line.run):
        by_commit.pop(line.commit, None)
        by_commit[line.commit] = line
    return list(by_commit.values())


def _missed(github: GitHub, run: WorkflowRun, main: str, lines: Sequence[Line]) -> Iterator[Line]:
    """The newest runs of the main branch that are in no line: their own job may have been cancelled, or have failed."""
    known = {line.commit for line in lines}
    query = {"branch": main, "event": "push", "status": "completed", "per_page": RUNS}
    for one in github.get(f"actions/workflows/{run.workflow_id}/runs", **query)["workflow_runs"]:
        if one["id"] != run.id and one["head_sha"] not in known:
            try:
                yield from _of_run(github, WorkflowRun.model_validate(one))
            except BadData:  # of an older version
                continue


def _of_run(github: GitHub, run: WorkflowRun) -> list[Line]:
    """The run's line; none where it measured nothing."""
    number = artifact.of_run(github, run.id).record
    if number is None:
        return []
    found, told = artifact.record(github, number), run.head_commit
    line = Line(
        commit=run.head_sha,
        run=run.id,
        time=told.timestamp[:40] if told else "",
        title=(told.message.splitlines() or [""])[0][:200] if told else "",
        record=RunRecord(entries=[entry.model_copy(update={"layers": []}) for entry in found.entries]),
    )
    return [line]


def read(github: GitHub) -> tuple[str, list[Line]]:
    """The branch's newest commit, empty where there is no branch, and the history as of it."""
    if (found := github.find(f"git/ref/heads/{BRANCH}")) is None:
        return "", []
    tip = str(found["object"]["sha"])
    return tip, parse(github.fetch(f"contents/{FILE}?ref={tip}", MOST_BYTES, raw=True).decode())


def _write(github: GitHub, tip: str, content: str) -> None:
    """Commit the file on top of `tip`, or as the branch's first commit; GitHub refuses where the branch has moved."""
    blob = {"path": FILE, "mode": "100644", "type": "blob", "content": content}
    tree = github.send("POST", "git/trees", {"tree": [blob]})
    body = {"message": "What a commit of the main branch came to", "tree": tree["sha"], "parents": [tip] if tip else []}
    commit = github.send("POST", "git/commits", body)
    if tip:
        github.send("PATCH", f"git/refs/heads/{BRANCH}", {"sha": commit["sha"], "force": False})
    else:
        github.send("POST", "git/refs", {"ref": f"refs/heads/{BRANCH}", "sha": commit["sha"]})
