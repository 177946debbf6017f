"""search.yml, run for real: round by round, each trial once and on a machine of its own, down to one winner."""

import json
from collections import Counter
from pathlib import Path

import pytest
from act import Run
from project import Project

pytestmark = pytest.mark.nightly
TARGET = "atom-x5-e3940"
SUMMARY = "edgeproof search: atom-x5-e3940"


@pytest.fixture(scope="module")
def searched(project: Project) -> Run:
    inputs = {"target": TARGET, "trials": "3"}
    return project.machine.run(project.folder, "workflow_dispatch", {"inputs": inputs}, "search.yml")


def test_every_trial_is_evaluated_once_and_the_winner_is_reported(searched: Run) -> None:
    assert searched.code == 0, searched.output
    assert searched.jobs[0] == "parents"
    assert searched.jobs[-1] == "report"
    trials = len(list(searched.artifacts.glob("trial-*")))
    assert trials >= 4, "two to begin with, a third unless it is one of them without re-training, two re-trained"
    assert Counter(job.split()[0] for job in searched.jobs) == {"parents": 1, "plan": 4, "trial": trials, "report": 1}
    assert SUMMARY in searched.summary
    assert "```yaml" in searched.summary


def test_the_report_s_machine_evaluates_nothing_itself(searched: Run) -> None:
    made = {path.name.removeprefix("trial-"): path for path in searched.artifacts.glob("trial-*")}
    report = searched.artifacts / "search" / TARGET
    for trial, folder in made.items():
        record = Path("trials", f"{trial}.json")
        assert (report / record).read_bytes() == (folder / TARGET / record).read_bytes()
    assert len(list((report / "trials").glob("*.json"))) == len(made) + 1, "records, and the winner's test"
    outcome = json.loads((report / "report.json").read_text())
    kept = searched.artifacts / "search" / "candidates" / "lenet-5" / outcome["winner"]["trial"]
    handed_on = made[outcome["winner"]["trial"]] / "candidates" / "lenet-5" / kept.name
    assert (kept / "model.onnx").read_bytes() == (handed_on / "model.onnx").read_bytes()
