"""Boards in a pull request's run: pr.yml with call_device.yml and the device suite, on boards that this machine plays.

A repository that declares no board starts no job for one: test_pr.py runs without.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import yaml
from project import Both, Project

from pipeline.ci import run_record
from pipeline.ci.run_record import RunRecord

pytestmark = pytest.mark.nightly  # each run has a suite of a minute or so

EMULATED, ATOM = "emulated-atom-x5-e3940", "atom-x5-e3940"
HOSTED = {"labels": ["ubuntu-24.04"]}
# As short as the suite goes; the times of a real run are tests/device's own defaults.
SHORT = {"PYTEST_ADDOPTS": "--speed-seconds 0.3 --power-seconds 0.3"}


@pytest.fixture
def repository(both: Both, project: Project) -> Iterator[Project]:
    """The small project, whose main branch has run; afterwards it is as it was."""
    start = project.call("git", "rev-parse", "main")
    machine = replace(project.machine, environment={**project.machine.environment, **SHORT})
    yield replace(project, machine=machine)
    project.call("git", "checkout", "--quiet", "--force", "main")
    project.call("git", "reset", "--quiet", "--hard", start)
    project.call("git", "clean", "--quiet", "--force", "-d")


def declare(project: Project, name: str, **own: Any) -> None:
    """A board's file, like that of the emulated Atom but for its own."""
    folder = project.folder / "runners/boards"
    content = yaml.safe_load((folder / f"{EMULATED}.yaml").read_text())
    targets = {"targets": own.pop("targets")} if "targets" in own else {}
    content["board"] = {key: value for key, value in {**content["board"], **own}.items() if value is not None}
    (folder / f"{name}.yaml").write_text(yaml.safe_dump({**content, **targets}))


def edit(project: Project, name: str, change: Callable[[str], str]) -> None:
    path = project.folder / name
    text = path.read_text()
    assert change(text) != text
    path.write_text(change(text))


def turn_answers_round(project: Project) -> None:
    """The change breaks the device's program for the candidates, and not for the golden bundle."""
    right, wrong = "np.concatenate(parts))", "np.concatenate(parts) * (1 - 2 * (parts[0].shape[1] == 3)))"
    edit(project, "runners/edge/commands/logits.py", lambda text: text.replace(right, wrong))


def outcomes(run: Any) -> dict[str, tuple[str, str]]:
    """State and verdict of each board, as the run told them of itself."""
    record: RunRecord = run_record.read((run.artifacts / "summary/summary.json").read_bytes())
    return {board.board: (board.state, board.verdict) for board in record.boards}


def test_all_pass_with_base_and_head_by_turns(repository: Project) -> None:
    declare(repository, EMULATED, **HOSTED, required=True)
    run = repository.propose("a board")
    assert run.code == 0, run.output
    assert run.jobs == ["plan", "preflight", "board", "report"], "nothing is trained or re-tested for it"
    assert run.summary.startswith(f"## ✅ PASS: `{ATOM}` PASS, `{ATOM} (board)` PASS\n")
    assert outcomes(run) == {EMULATED: ("measured", "pass")}
    said = run.output["board"]
    assert "16 passed" in said.replace("\x1b[32m", "").replace("\x1b[1m", ""), said
    assert said.count("base and head ") == 2, "both candidates are the base's, too"
    assert said.count("(predicted), limit 30") == 2, "an emulated board's speed is nobody's measurement"
    kept = run.artifacts / f"board-{EMULATED}" / EMULATED
    assert json.loads((kept / "outcome.json").read_text())["state"] == "measured"
    assert {one["group"] for one in json.loads((kept / "numbers.json").read_text())["benchmarks"]}
    assert not (kept / "results").exists(), "an emulated board leaves no board's record"
    assert (run.warnings, run.errors) == ([], [])


def test_boards_that_are_away_throttled_or_hang_are_no_pass_and_not_red(repository: Project) -> None:
    nowhere = {"main": {
        "resources": {"NetworkService": {"address": "127.0.0.1", "port": 9, "username": "nobody"}},
        "drivers": {"SSHDriver": {"keyfile": "/dev/null"}},
    }}  # fmt: skip
    declare(repository, "away", place=None, recorded=None, soc="E3940", labels=["atom"], required=True, answer_s=1,
            targets=nowhere)  # fmt: skip
    declare(repository, "hot", **HOSTED, recorded="hot")
    edit(repository, "pipeline/boards/recorded_boards.py", lambda text: text + (
        '\n\nTREES["hot"] = lambda root: write(atom(root), {"sys/class/thermal/cooling_device0/cur_state": 1})\n'
    ))  # fmt: skip
    hangs = repository.machine.folder / "hangs"
    hangs.write_text("#!/bin/sh\nexec sleep 600\n")
    hangs.chmod(0o755)
    declare(repository, "hung", **HOSTED, python=str(hangs))
    edit(repository, "pipeline/boards/access.py", lambda text: text.replace("SHORT_S = 60.0", "SHORT_S = 3.0"))
    run = repository.propose("boards that cannot")
    assert run.code == 0, run.output
    assert run.jobs == ["plan", "preflight", "board", "board", "board", "report"]
    assert run.summary.startswith(f"## ⚪ not measured: `{ATOM}` PASS, `{ATOM} (board)` not measured\n")
    assert outcomes(run) == {
        "away": ("away", "not_measured"), "hot": ("throttled", "not_measured"), "hung": ("hangs", "not_measured"),
    }  # fmt: skip
    assert [warning for warning in run.warnings if "no pass" in warning], "of the run"
    assert [warning for warning in run.warnings if f"away ({ATOM}, required): not measured" in warning]
    assert not run.errors


def test_a_candidate_that_answers_otherwise_on_a_board_is_red(repository: Project) -> None:
    declare(repository, EMULATED, **HOSTED, required=True)
    turn_answers_round(repository)
    run = repository.propose("answers turned round")
    assert run.code == 1
    assert run.jobs == ["plan", "preflight", "board", "report"]
    assert run.summary.startswith(f"## ❌ FAIL: `{ATOM}` PASS, `{ATOM} (board)` FAIL\n")
    assert outcomes(run) == {EMULATED: ("measured", "fail")}
    assert [error for error in run.errors if f"{EMULATED} ({ATOM}, required): FAIL" in error]
    assert (run.artifacts / f"board-{EMULATED}" / EMULATED / "outcome.json").exists(), "kept although it is red"


def test_the_same_of_an_advisory_board_is_told_and_blocks_nothing(repository: Project) -> None:
    declare(repository, EMULATED, **HOSTED)
    turn_answers_round(repository)
    run = repository.propose("answers turned round for advice")
    assert run.code == 0, run.output
    assert run.summary.startswith(f"## ✅ PASS: `{ATOM}` PASS\n")
    assert outcomes(run) == {EMULATED: ("measured", "fail")}
    assert [warning for warning in run.warnings if f"{EMULATED} ({ATOM}, advisory): FAIL" in warning]


def test_where_nothing_passes_in_the_cloud_no_board_is_kept_from_its_work(repository: Project) -> None:
    declare(repository, EMULATED, **HOSTED, required=True)
    target = f"runners/targets/{ATOM}.yaml"
    edit(repository, target, lambda text: text.replace("frames_per_s: 30", "frames_per_s: 1000000", 1))
    run = repository.propose("nothing keeps it")
    assert run.code == 1
    assert "board" not in run.jobs
    assert outcomes(run) == {EMULATED: ("nothing to measure", "not_measured")}
    assert run.summary.startswith(f"## ❌ FAIL: `{ATOM}` FAIL, `{ATOM} (board)` not measured\n")


def test_a_job_that_is_cancelled_leaves_no_verdict(repository: Project) -> None:
    """What GitHub's runner does in the end, the change does to it here."""
    declare(repository, EMULATED, **HOSTED, required=True)
    killer = "import os\nimport signal\n\nos.kill(os.getppid(), signal.SIGKILL)\n"
    (repository.folder / "tests/device/conftest.py").write_text(killer)
    run = repository.propose("it is cancelled")
    assert (run.code, run.jobs) == (1, ["plan", "preflight", "board"]), "act goes no further; GitHub reports"
    kept = run.artifacts / f"board-{EMULATED}" / EMULATED / "outcome.json"
    assert json.loads(kept.read_text())["state"] == "unanswered"


def test_a_fork_gets_no_board_and_its_run_says_so(repository: Project) -> None:
    declare(repository, EMULATED, **HOSTED, required=True)
    run = repository.propose("a stranger's", "pull_request_of_a_fork")
    assert run.code == 0, run.output
    assert run.jobs == ["plan", "report"]
    assert outcomes(run) == {EMULATED: ("unasked", "not_measured")}
    assert run.summary.startswith(f"## ⚪ not measured: `{ATOM}` PASS, `{ATOM} (board)` not measured\n")


def test_documentation_asks_no_board(repository: Project) -> None:
    declare(repository, EMULATED, **HOSTED, required=True)
    repository.commit("a board that is there")
    (repository.folder / "docs/remark-on-boards.md").write_text("A remark.\n")
    run = repository.propose("a remark on boards")
    assert (run.code, run.jobs) == (0, ["plan"])
