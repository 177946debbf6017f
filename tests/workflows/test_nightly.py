"""nightly.yml, run for real on the small project: a sweep that audits more, a retry, drift, and the long tests."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from project import Both, Project
from test_pr import stages_run

from pipeline.ci import history_log
from pipeline.ci.history_log import Line
from tests.fake_github import FakeGitHub, serving

pytestmark = pytest.mark.nightly
EVENT = Path(__file__).parent / "events/night.json"
PAIR = "lenet-5 int8 atom-x5-e3940"


@pytest.fixture(scope="module")
def quick(both: Both, project: Project) -> Iterator[Project]:
    """The long tests are somebody else's business: the verb only says that it was called."""
    path = project.folder / "Makefile"
    before = path.read_text()
    path.write_text(re.sub(r"(?<=\n\t)@pytest -q -m \"nightly .*", "@echo the long tests", before))
    yield project
    path.write_text(before)


@pytest.fixture
def github(both: Both) -> Iterator[FakeGitHub]:
    """A history with the first run in it."""
    record = json.loads((both.run.artifacts / "summary/summary.json").read_text())
    told = {"commit": "a" * 40, "run": 1, "time": "2026-11-26T12:00:00Z", "title": "a change", "record": record}
    content = history_log.text([Line.model_validate_json(json.dumps(told))])
    history = {"trees": {"t": {history_log.FILE: content}}, "commits": {"c": {"tree": "t", "parents": []}}}
    with serving(FakeGitHub(**history, branches={history_log.BRANCH: "c"})) as served:
        yield served
        assert served.faults == []
        assert served.written == []


def test_all_is_re_tested_and_audited_more_and_nothing_else_is_made(quick: Project, github: FakeGitHub) -> None:
    kept = sorted(path.name for path in (quick.machine.folder / "cache").iterdir())
    event = json.loads(EVENT.read_text())
    run = quick.machine.run(quick.folder, "schedule", event, "nightly.yml", github=github)
    assert run.code == 0, run.output
    pairs = {"retest lenet-5 fp32 atom-x5-e3940", f"retest {PAIR}"}
    assert set(run.jobs) == {
        "plan", "train lenet-5", "candidate lenet-5 fp32", "candidate lenet-5 int8", *pairs, "report",
        "again", "drift", "tests",
    }  # fmt: skip
    made = {job: stages_run(output) for job, output in run.output.items()}
    assert {job: stages for job, stages in made.items() if stages} == {
        "retest lenet-5 fp32 atom-x5-e3940": ["retest@lenet-5-fp32-atom-x5-e3940"],
        f"retest {PAIR}": ["retest@lenet-5-int8-atom-x5-e3940"],
        "report": ["report"],
    }
    assert "64 samples of each re-test are audited" in run.output["plan"]
    assert re.search(
        r"^[1-9]\d* numbers compared with 1 commits of the main branch$", run.output["drift"], re.MULTILINE
    )
    assert "the long tests" in run.output["tests"]
    assert sorted(path.name for path in (quick.machine.folder / "cache").iterdir()) == kept, "the day's cache is left"


def test_what_no_emulator_has_proven_is_proven_in_a_retry(both: Both, project: Project) -> None:
    """By the verb alone: that a day had no emulator cannot be played with the cache that nights use."""
    path = both.laptop / "artifacts/results/emulated/lenet-5/int8/atom-x5-e3940.json"
    before = json.loads(path.read_text())
    assert before["grade"] == "exact"
    path.unlink()  # it may be one file with that in the cache
    path.write_text(json.dumps({**before, "grade": "unaudited"}))
    output = project.call("edgeproof", "ci", "retry", cwd=both.laptop)
    assert output.endswith("re-tested: lenet-5/int8 on atom-x5-e3940")
    assert stages_run(output) == ["retest@lenet-5-int8-atom-x5-e3940"]
    assert json.loads(path.read_text())["grade"] == "exact"
    assert "up to date" in project.call("dvc", "repro", cwd=both.laptop)
