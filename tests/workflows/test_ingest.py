"""ingest.yml, run for real: a page for a person, then samples, then a pull request on which the loop is started."""

import json
import re
from collections.abc import Iterator

import pytest
import yaml
from project import Project

from pipeline.ingest.decisions import BY
from tests.captures import CLASSES, START_S, picture, send
from tests.fake_github import FakeGitHub, serving

pytestmark = pytest.mark.nightly


@pytest.fixture(scope="module")
def github() -> Iterator[FakeGitHub]:
    with serving(FakeGitHub()) as served:
        served.trees["t0"] = {"data.dvc": ""}
        served.commits["c0"] = {"tree": "t0", "parents": []}
        served.branches["main"] = "c0"
        yield served


def test_from_the_inbox_to_a_pull_request(project: Project, github: FakeGitHub) -> None:
    inbox = project.machine.folder / "inbox"
    for number in range(6):
        send(inbox, f"cam-1/c{number}", picture(CLASSES[number % 3], number), time_s=START_S + 90 * number)
    inputs = {"inbox": str(inbox), "decisions": ""}
    event = {"inputs": inputs, "repository": {"default_branch": "main"}}
    run = project.machine.run(project.folder, "workflow_dispatch", event, "ingest.yml", github=github)
    assert (run.code, run.jobs) == (0, ["review"]), run.output
    page = (run.artifacts / "review/review.html").read_text()
    items = json.loads(re.findall(r'id="content">(.*?)</script>', page)[0])["items"]
    assert len(items) == 6

    decisions = [
        {"capture": item["capture"], "sha256": item["sha256"], "class": CLASSES[int(item["capture"][-1]) % 3]}
        for item in items
    ]
    github.trees["t1"] = {"decisions.json": json.dumps({"by": BY, "decisions": decisions})}
    github.commits["c1"] = {"tree": "t1", "parents": []}
    github.branches["decided"] = "c1"
    event["inputs"] = {**inputs, "decisions": "decided"}
    run = project.machine.run(project.folder, "workflow_dispatch", event, "ingest.yml", github=github)
    assert (run.code, run.jobs) == (0, ["apply", "propose"]), run.output
    [pull] = github.pulls
    assert "6 added" in pull["body"]
    proposed = github.trees[github.commits[github.branches[pull["head"]]]["tree"]]["data.dvc"]
    [out] = yaml.safe_load(proposed)["outs"]
    before = yaml.safe_load(project.call("git", "show", "HEAD:data.dvc"))["outs"][0]
    assert out["nfiles"] == before["nfiles"] + 8, "six pictures and two tables"
    stored = project.machine.folder / "store/files/md5" / out["md5"][:2] / out["md5"][2:]
    assert stored.is_file(), "whoever gets data.dvc gets the data"
    assert github.dispatched == [("pr.yml", pull["head"])]
    assert github.faults == []
    project.call("git", "checkout", "--", "data.dvc")
    project.call("dvc", "checkout", "--force", "data.dvc")
