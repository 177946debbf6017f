"""One issue for as long as nights fail or do not come, or a board is silent: opened, kept up to date, closed.

It runs on a hosted machine, since one on a board would fall silent with it. What a job that never started cannot say of
itself, GitHub's API says: which runs there were, and in the records that they left, which boards answered. A night that
was cancelled has failed, whether somebody cancelled it or no machine took a job of it within GitHub's 24 hours, which
GitHub calls alike.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile

from pipeline.boards.board_file import Board
from pipeline.ci import our_own
from pipeline.ci.heard import ANSWERED, NIGHTLY, NOT_ASKED, RECORDS, as_documented, last_heard, newest_first, runs
from pipeline.ci.run_ended import Lax
from pipeline.system.console import escape_markdown
from pipeline.system.errors import some
from pipeline.system.github_api import SCHEDULES_END, GitHub

MARK = "<!-- edgeproof: the watchdog -->"
LATE = timedelta(hours=36)  # one a day, which GitHub may start hours late
SILENT = timedelta(days=3)
SOON = timedelta(days=15)
NIGHTS_LOOKED_AT, JOBS_NAMED = 30, 20
MOST_TITLE = 256
WELL = ("success", "skipped")


class _Repository(Lax):
    private: bool
    default_branch: str
    pushed_at: datetime


class _Workflow(Lax):
    state: str
    created_at: datetime


class _Job(Lax):
    name: str
    conclusion: str | None
    runner_id: int | None = None  # none or 0 where no machine took it


@dataclass(frozen=True)
class Trouble:
    """In a few words, which the issue's title has, and as a paragraph of Markdown."""

    words: str
    text: str


def watch(github: GitHub, boards: Sequence[Board], server: str, now: datetime) -> str:
    """Open the issue, bring it up to date, or close it; what was done, in a line. `boards` are to answer.

    Raises:
        ApiError: GitHub refuses, or answers in another form than it documents; then nothing is written.
    """
    with as_documented():
        repository = _Repository.model_validate(github.get(f"/repos/{github.repository}"))
        workflow = _Workflow.model_validate(github.get(f"actions/workflows/{NIGHTLY}"))
        found = [
            *_nights(github, workflow, repository.default_branch, server, now),
            *_schedules(repository, now),
            *_boards(github, boards, repository.default_branch, workflow.created_at, now),
        ]
    return _tell(github, found)


def _nights(github: GitHub, workflow: _Workflow, branch: str, server: str, now: datetime) -> Iterator[Trouble]:
    nights = runs(github, NIGHTLY, branch, NIGHTS_LOOKED_AT)
    ended = newest_first(run for run in nights if run.status == "completed")
    failed = list(takewhile(lambda run: run.conclusion != "success", ended))
    pages = f"{server}/{github.repository}/actions"
    if failed:
        newest, days = failed[0], len(failed)
        jobs = [_Job.model_validate(job) for job in github.pages(f"actions/runs/{newest.id}/jobs", "jobs")]
        lines = [
            f"The night of {newest.created_at:%Y-%m-%d} ended as {_quoted(newest.conclusion)} at "
            f"`{newest.head_sha[:10]}` ([run]({pages}/runs/{newest.id}))"
            + (f", and so did {days - 1} before it." if days > 1 else "."),
            *_named([job for job in jobs if job.conclusion not in WELL]),
        ]
        yield Trouble("the night failed", "\n".join(lines))
    last = max([workflow.created_at, *(run.created_at for run in ended)])
    if workflow.state != "active":
        why = f"GitHub says that {NIGHTLY} is {_quoted(workflow.state)}: `gh workflow enable {NIGHTLY}`."
        yield Trouble("the night is switched off", why)
    elif now - last > LATE:
        waiting = [run for run in nights if run.status != "completed"]
        still = f" [One]({pages}/runs/{waiting[0].id}) is {_quoted(waiting[0].status)}." if waiting else ""
        ago = f"since {last:%Y-%m-%d %H:%M} UTC" if ended else "at all so far"
        yield Trouble("no night", f"No night has come to an end {ago}; there is to be one a day.{still}")


def _schedules(repository: _Repository, now: datetime) -> Iterator[Trouble]:
    """Told while GitHub still starts anything: afterwards it does not start this either."""
    end = repository.pushed_at + SCHEDULES_END
    if not repository.private and end - now < SOON:
        last = f"The last push was on {repository.pushed_at:%Y-%m-%d}"
        why = (
            f"{last}. After 60 days GitHub starts nothing by schedule any more, this watchdog included: push a commit."
        )
        yield Trouble(f"schedules end on {end:%Y-%m-%d}", why)


def _boards(github: GitHub, boards: Sequence[Board], branch: str, since: datetime, now: datetime) -> Iterator[Trouble]:
    names = [board.name for board in boards]
    # A run that asked it nothing says nothing against it.
    heard = last_heard(github, names, branch, (*ANSWERED, *NOT_ASKED)) if names else {}
    for board in boards:
        last = heard.get(board.name)
        if now - (last or since) > SILENT:
            told = (
                f"last answered on {last:%Y-%m-%d %H:%M} UTC" if last else f"answered none of the last {RECORDS} runs"
            )
            yield Trouble(
                f"{board.name} is silent",
                f"The board {_quoted(board.name)} ({_quoted(board.target)}) {told}. On the machine that runs its jobs: "
                "`journalctl -u edgeproof-runner`; what else there is to look at, docs/boards.md says.",
            )


def _named(jobs: Sequence[_Job]) -> Iterator[str]:
    for job in jobs[:JOBS_NAMED]:
        untaken = ", no machine took it" if job.conclusion == "cancelled" and not job.runner_id else ""
        yield f"- {escape_markdown(job.name[:200])}: {_quoted(job.conclusion)}{untaken}"
    if len(jobs) > JOBS_NAMED:
        yield f"- {len(jobs) - JOBS_NAMED} more"


def _quoted(word: str | None) -> str:
    return escape_markdown(word or "without a conclusion")


def _tell(github: GitHub, found: Sequence[Trouble]) -> str:
    """All open issues are looked through: the list is short where somebody reads it."""
    ours = next((one for one in github.pages("issues", state="open") if our_own.is_ours(one, MARK)), None)
    title = f"Watchdog: {some([trouble.words for trouble in found], 3)}"[:MOST_TITLE]
    kept = "`watchdog.yml` keeps this up to date and closes it when all is well."
    body = our_own.signed("\n\n".join([*(trouble.text for trouble in found), f"<sub>{kept}</sub>"]), MARK)
    if ours is None:
        if not found:
            return "all is well"
        made = github.send("POST", "issues", {"title": title, "body": body})
        return f"issue {made['number']} opened: {title}"
    place = f"issues/{int(ours['number'])}"
    if not found:
        github.send("PATCH", place, {"state": "closed", "state_reason": "completed"})
        return f"issue {ours['number']} closed: all is well"
    if ours["title"] == title and our_own.says(ours, body):
        return f"issue {ours['number']} is up to date: {title}"
    github.send("PATCH", place, {"title": title, "body": body})
    return f"issue {ours['number']} brought up to date: {title}"
