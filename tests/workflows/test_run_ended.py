"""What the end of a run starts, run for real with GitHub's API as it answers: a comment, the history, the watchdog."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from act import Machine, Run
from project import copy_repository, environment, ready_venv, with_origin

from tests.fake_github import TOKEN, FakeGitHub, ago, packed, serving
from tests.unit.test_comment import BASE, BASE_RUN, HEAD, RUN, artifact, ended, entry, pull, run_of

EVENTS = Path(__file__).parent / "events"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    folder = tmp_path_factory.mktemp("comment")
    copy_repository(folder / "project")
    with_origin(folder / "project")
    ready_venv(folder / "venv", folder / "project")
    return Machine(folder, environment(folder))


@pytest.fixture
def github() -> Iterator[FakeGitHub]:
    with serving(
        FakeGitHub(pulls=[pull(1), pull(2, "c" * 40, "stranger", "main")], runs=[run_of(BASE, BASE_RUN)])
    ) as served:
        yield served
        assert served.faults == []


def end(machine: Machine, github: FakeGitHub, name: str, workflow: str = "comment.yml", **fields: Any) -> Run:
    """What a workflow does at the end of a run, whose event GitHub sent so."""
    event = json.loads((EVENTS / f"{name}.json").read_text())
    event["workflow_run"].update(fields)
    return machine.run(machine.folder / "project", "workflow_run", event, workflow, github=github)


def test_the_end_of_a_run_becomes_the_comment(machine: Machine, github: FakeGitHub) -> None:
    github.upload(RUN, "summary", artifact(entry(verdict="fail")))
    run = end(machine, github, "run_of_a_branch_ended", conclusion="failure")
    assert (run.code, run.jobs) == (0, ["comment"]), run.output
    [comment] = github.comments[1]
    assert comment["body"].startswith("## ❌ FAIL: `atom-x5-e3940` FAIL\n")


def test_a_poisoned_artifact_of_a_fork_is_red_here_and_nothing_there(machine: Machine, github: FakeGitHub) -> None:
    poison = artifact(entry(method="<img src=x>@everyone"), pull_request=1)
    github.upload(RUN, "summary", poison)
    github.upload(RUN, "report", packed({"../../../owned": b"owned"}))
    run = end(machine, github, "run_of_a_fork_ended")
    assert (run.code, list(run.codes.values())) == (1, [2])
    [error] = run.errors
    assert "run 501 of pull request 2: no record of a run" in error
    [comment] = github.comments[2]
    assert comment["body"].startswith("## ⚪ not measured: what the run left as its summary is none\n")
    assert "everyone" not in comment["body"]
    assert 1 not in github.comments
    assert TOKEN not in run.output["comment"]


def test_other_runs_start_no_job(machine: Machine, github: FakeGitHub) -> None:
    run = end(machine, github, "run_of_a_branch_ended", event="push")
    assert (run.code, run.jobs, github.calls) == (0, [], [])


def test_a_run_that_was_cancelled_and_left_no_record_is_not_told(machine: Machine, github: FakeGitHub) -> None:
    run = end(machine, github, "run_of_a_branch_ended", conclusion="cancelled")
    assert (run.code, run.jobs, github.comments) == (0, ["comment"], {}), run.output


@pytest.mark.nightly
def test_the_end_of_a_push_becomes_a_line_and_the_page(machine: Machine, github: FakeGitHub) -> None:
    github.upload(RUN, "summary", artifact())
    run = end(machine, github, "run_of_main_ended", "history.yml")
    assert (run.code, run.jobs) == (0, ["draw", "publish"]), run.output
    assert len(github.commits) == 1
    site = run.artifacts / "github-pages"
    assert sorted(path.name for path in site.iterdir()) == ["history.jsonl", "index.html"]
    assert "1 commit," in (site / "index.html").read_text()


@pytest.mark.parametrize("name", ["run_of_a_branch_ended", "run_of_a_fork_ended"])
def test_a_proposal_is_no_history_though_its_branch_is_called_main(
    machine: Machine, github: FakeGitHub, name: str
) -> None:
    github.upload(RUN, "summary", artifact())
    run = end(machine, github, name, "history.yml", head_branch="main")
    assert (run.code, run.jobs, github.calls) == (0, [], [])


def test_a_night_that_failed_opens_an_issue_and_a_good_one_by_hand_closes_it(
    machine: Machine, github: FakeGitHub
) -> None:
    night = json.loads((EVENTS / "night_ended.json").read_text())["workflow_run"]
    github.runs = [{**night, "created_at": ago(hours=3)}]
    github.jobs[night["id"]] = [{"name": "boards / atom-1", "conclusion": "cancelled", "runner_id": None}]
    run = end(machine, github, "night_ended", "watchdog.yml")
    assert (run.code, run.jobs) == (0, ["watch"]), run.output
    [issue] = github.issues
    assert (issue["title"], issue["state"]) == ("Watchdog: the night failed", "open")
    assert "- boards / atom-1: cancelled, no machine took it" in issue["body"]
    by_hand = {**night, "id": 602, "event": "workflow_dispatch", "conclusion": "success", "created_at": ago(hours=1)}
    github.runs.insert(0, by_hand)
    run = machine.run(machine.folder / "project", "schedule", {}, "watchdog.yml", github=github)
    assert (run.code, run.jobs, issue["state"]) == (0, ["watch"], "closed"), run.output
    assert TOKEN not in run.output["watch"]


def test_the_events_are_those_that_the_unit_tests_know() -> None:
    event = json.loads((EVENTS / "run_of_a_branch_ended.json").read_text())["workflow_run"]
    assert {name: event[name] for name in ("id", "head_sha")} == {"id": RUN, "head_sha": HEAD}
    known = ended()["workflow_run"]
    assert known.keys() <= event.keys()
