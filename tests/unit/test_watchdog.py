"""The watchdog barks once for what no job could say of itself, goes on while that lasts, and ends when it is mended."""

from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pipeline.boards.board_file import Board
from pipeline.ci import preflight, watchdog
from pipeline.ci.watchdog import MARK
from pipeline.cli import cli
from pipeline.system import workflow_commands
from pipeline.system.github_api import ApiError, GitHub
from tests.fake_github import BOT, MOST_BODY, MOST_TITLE, REPOSITORY, TOKEN, FakeGitHub, ago, serving, workflow
from tests.unit.test_comment import artifact

PR, NIGHTLY = 7, 8
ATOM = Board(
    name="atom-1", file=Path("atom-1.yaml"), description="", place="ssh", target="atom-x5-e3940", labels=["atom"]
)


@pytest.fixture
def github() -> Iterator[FakeGitHub]:
    """A repository with an issue and a pull request that nothing here is about, and no night yet."""
    with serving(FakeGitHub(pulls=[{"number": 1, "state": "open", "title": "A change"}])) as served:
        served.open("A bug", None, login="somebody")
        yield served
        assert served.faults == []
        assert served.issues[-1]["title"] == "A bug"


def night(github: FakeGitHub, conclusion: str | None, days: float = 0.2, **fields: Any) -> int:
    """A night so many days ago; one without a conclusion has not ended."""
    number = 900 + len(github.runs)
    status = "completed" if conclusion else "in_progress"
    told = {"id": number, "workflow_id": NIGHTLY, "event": "schedule", "head_branch": "main", "head_sha": "a" * 40}
    github.runs.insert(0, {**told, "status": status, "conclusion": conclusion, "created_at": ago(days=days), **fields})
    return number


def watch(github: FakeGitHub, *boards: Board) -> str:
    api = GitHub(REPOSITORY, TOKEN, github.url)
    return watchdog.watch(api, boards, "https://github.com", datetime.now(timezone.utc))


def issue(github: FakeGitHub) -> dict[str, Any]:
    """The one open issue of the watchdog."""
    [found] = [one for one in github.issues if one["user"]["login"] == BOT and one["state"] == "open"]
    return found


def job(name: str, conclusion: str = "success", runner_id: int | None = 5) -> dict[str, Any]:
    return {"id": 1, "name": name, "status": "completed", "conclusion": conclusion, "runner_id": runner_id}


def test_while_nights_are_good_nobody_is_told(github: FakeGitHub) -> None:
    night(github, "failure", days=2)
    night(github, "success")
    assert watch(github) == "all is well"
    assert github.written == []


def test_one_issue_is_opened_kept_up_to_date_and_closed(github: FakeGitHub) -> None:
    night(github, "failure", days=1.2)
    assert watch(github) == "issue 3 opened: Watchdog: the night failed"
    assert watch(github) == "issue 3 is up to date: Watchdog: the night failed"
    night(github, "failure")
    assert watch(github) == "issue 3 brought up to date: Watchdog: the night failed"
    assert "and so did 1 before it" in issue(github)["body"]
    night(github, "success", days=0.1)
    assert watch(github) == "issue 3 closed: all is well"
    assert github.issues[0]["state_reason"] == "completed"
    assert watch(github) == "all is well"
    assert github.written == ["POST issues", "PATCH issues/3", "PATCH issues/3"]
    night(github, "failure", days=0)
    assert watch(github).startswith("issue 4 opened")


@pytest.mark.parametrize("conclusion", ["failure", "cancelled", "timed_out", "startup_failure", "action_required"])
def test_a_night_that_did_not_succeed_has_failed(github: FakeGitHub, conclusion: str) -> None:
    run = night(github, conclusion)
    github.jobs[run] = [job("sweep / plan"), job("tests", conclusion)]
    assert "the night failed" in watch(github)
    body = issue(github)["body"]
    assert f"({'https://github.com'}/{REPOSITORY}/actions/runs/{run})" in body
    assert f"- tests: {conclusion}".replace("_", "\\_") in body
    assert "plan" not in body


def test_a_queue_that_timed_out_is_told_from_somebody_who_cancelled(github: FakeGitHub) -> None:
    run = night(github, "cancelled")
    github.jobs[run] = [job("boards / atom-1", "cancelled", None), job("tests", "cancelled"), job("x", "cancelled", 0)]
    watch(github)
    lines = issue(github)["body"].splitlines()
    assert "- boards / atom-1: cancelled, no machine took it" in lines
    assert "- x: cancelled, no machine took it" in lines
    assert "- tests: cancelled" in lines


def test_a_repeated_night_counts_as_it_ended_at_last_and_so_does_one_by_hand(github: FakeGitHub) -> None:
    night(github, "failure")
    watch(github)
    github.runs[0]["conclusion"] = "success"  # somebody repeated it
    assert "closed" in watch(github)
    night(github, "failure", days=0.15)
    night(github, "success", days=0.1, event="workflow_dispatch")
    assert watch(github) == "all is well"


def test_a_night_that_never_came_is_missed(github: FakeGitHub) -> None:
    night(github, "success", days=2)
    assert watch(github) == "issue 3 opened: Watchdog: no night"
    assert f"No night has come to an end since {ago(days=2)[:10]}" in issue(github)["body"]
    run = night(github, None, days=1.6)
    watch(github)
    assert f"[One](https://github.com/{REPOSITORY}/actions/runs/{run}) is in\\_progress." in issue(github)["body"]


def test_of_a_night_that_still_runs_nothing_is_said(github: FakeGitHub) -> None:
    night(github, "success", days=1.2)
    night(github, None)
    assert watch(github) == "all is well"


def test_before_the_first_night_it_waits_for_a_day_and_a_half(github: FakeGitHub) -> None:
    github.workflows[1] = workflow("nightly", number=NIGHTLY, created_at=ago(hours=30))
    assert watch(github) == "all is well"
    github.workflows[1] = workflow("nightly", number=NIGHTLY, created_at=ago(hours=40))
    assert watch(github) == "issue 3 opened: Watchdog: no night"


def test_nights_of_other_branches_and_events_are_none(github: FakeGitHub) -> None:
    night(github, "success", head_branch="faster")
    night(github, "success", event="pull_request")
    assert "no night" in watch(github)


@pytest.mark.parametrize("state", ["disabled_inactivity", "disabled_manually"])
def test_a_night_that_is_switched_off_is_told_with_what_switches_it_on(github: FakeGitHub, state: str) -> None:
    night(github, "success")
    github.workflows[1] = workflow("nightly", state, NIGHTLY)
    assert watch(github) == "issue 3 opened: Watchdog: the night is switched off"
    assert "gh workflow enable nightly.yml" in issue(github)["body"]


def test_schedules_that_will_end_are_told_while_there_is_a_watchdog(github: FakeGitHub) -> None:
    night(github, "success")
    github.facts["pushed_at"] = ago(days=44)
    assert watch(github) == "all is well"
    github.facts["pushed_at"] = ago(days=46)
    assert "Watchdog: schedules end on " in watch(github)
    github.facts["private"] = True  # GitHub does so to public ones only
    assert "closed" in watch(github)


def run_with(github: FakeGitHub, state: str, days: float, board: str = "atom-1", **fields: Any) -> None:
    """A push to main so many days ago, and how the board was in its run."""
    outcome = {"board": board, "target": "atom-x5-e3940", "required": True, "state": state}
    run = night(github, "success", days, **{"workflow_id": PR, "event": "push", **fields})
    github.upload(run, "summary", artifact(boards=[outcome]))


@pytest.mark.parametrize("state", ["away", "unanswered", "hangs", "unusable"])
def test_a_board_that_does_not_answer_for_days_is_silent(github: FakeGitHub, state: str) -> None:
    night(github, "success")
    for answered, days in (("measured", 9), ("measured", 5), (state, 2), (state, 1)):
        run_with(github, answered, days)
    assert watch(github, ATOM) == "issue 3 opened: Watchdog: atom-1 is silent"
    assert f"last answered on {ago(days=5)[:10]}" in issue(github)["body"]
    run_with(github, "measured", 0)
    assert "closed" in watch(github, ATOM)


@pytest.mark.parametrize("state", ["measured", "throttled", "sick", "nothing to measure"])
def test_one_that_answers_is_not_silent_however_it_is(github: FakeGitHub, state: str) -> None:
    night(github, "success")
    run_with(github, "measured", days=2)
    run_with(github, state, days=1)
    github.upload(night(github, "success"), "summary", b"of an older version")
    assert watch(github, ATOM) == "all is well"
    assert len([call for call in github.calls if "/zip" in call]) == 2, "older records are left alone"


def test_proposals_and_other_boards_say_nothing_of_it(github: FakeGitHub) -> None:
    night(github, "success")
    run_with(github, "measured", 0, board="atom-10")
    run_with(github, "measured", 0, head_branch="faster")
    run_with(github, "measured", 0, event="pull_request")  # of a fork, whose branch is called main
    assert "atom-1 is silent" in watch(github, ATOM)
    assert "answered none of the last 20 runs" in issue(github)["body"]


def test_where_no_board_is_declared_no_record_is_read(github: FakeGitHub) -> None:
    night(github, "success")
    run_with(github, "away", 9)
    assert watch(github) == "all is well"
    assert not [call for call in github.calls if "artifacts" in call]


def test_several_troubles_are_one_issue(github: FakeGitHub) -> None:
    night(github, "failure", days=4)
    github.facts["pushed_at"] = ago(days=70)
    watch(github, ATOM, *(ATOM.model_copy(update={"name": f"atom-{number}"}) for number in range(2, 9)))
    assert issue(github)["title"].startswith("Watchdog: the night failed, no night, schedules end on")
    assert issue(github)["title"].endswith(" and 8 more")
    assert issue(github)["body"].count("is silent") == 0
    assert all(f"atom-{number}" in issue(github)["body"] for number in range(1, 9))


def test_only_what_it_wrote_itself_is_its_own(github: FakeGitHub) -> None:
    for login, body in (("mallory", f"Mine.\n{MARK}"), (BOT, f"> {MARK}\n\nquoted by another bot")):
        github.open("Watchdog: the night failed", body, login)
    for number in range(120):
        github.open(f"Another {number}", None, "somebody")
    night(github, "failure")
    assert "opened" in watch(github)
    night(github, "success", days=0.1)
    github.issues[0]["body"] = github.issues[0]["body"].replace("\n", "\r\n")
    github.issues.append(github.issues.pop(0))  # behind a hundred others
    assert "closed" in watch(github)
    assert [one["state"] for one in github.issues if one["title"] == "Watchdog: the night failed"] == [
        "open", "open", "closed",
    ]  # fmt: skip
    github.issues.append(github.issues.pop(0))
    github.issues.sort(key=lambda one: one["title"] == "A bug")


def test_names_of_jobs_are_text_and_many_of_them_fit(github: FakeGitHub) -> None:
    run = night(github, "failure")
    hostile = job("[x](https://evil.example) <img src=x> @everyone #1 `\n# PASS", "failure")
    github.jobs[run] = [hostile, *(job(f"{number} {'x' * 500}", "failure") for number in range(150))]
    watch(github)
    body = issue(github)["body"]
    assert len(body) < MOST_BODY
    assert len(issue(github)["title"]) <= MOST_TITLE
    assert "131 more" in body
    assert [part for part in ("<img", "@everyone", "](https://evil", "\n# PASS") if part in body] == []


def test_what_github_refuses_is_no_good_news(github: FakeGitHub) -> None:
    github.workflows.pop()
    with pytest.raises(ApiError, match=r"nightly\.yml: 404"):
        watch(github)
    assert github.written == []


def test_an_answer_of_another_form_is_one_line_and_nothing_is_written(github: FakeGitHub) -> None:
    night(github, "success", created_at="yesterday")
    with pytest.raises(ApiError, match="another form than documented: created_at"):
        watch(github)
    assert github.written == []


def test_the_verb_takes_the_boards_that_have_labels(github: FakeGitHub, monkeypatch: pytest.MonkeyPatch) -> None:
    night(github, "success")
    other = ATOM.model_copy(update={"name": "other", "labels": []})
    monkeypatch.setattr(preflight, "board_names", lambda: ["atom-1", "other"])
    monkeypatch.setattr(preflight, "load_board", {"atom-1": ATOM, "other": other}.__getitem__)
    monkeypatch.setattr(workflow_commands, "stop", lambda: None)  # it ends with the process, and this one goes on
    for name, value in {"API_URL": github.url, "REPOSITORY": REPOSITORY, "TOKEN": TOKEN}.items():
        monkeypatch.setenv(f"GITHUB_{name}", value)
    done = CliRunner().invoke(cli, ["ci", "watchdog"])
    assert (done.exit_code, done.output) == (0, "issue 3 opened: Watchdog: atom-1 is silent\n")
