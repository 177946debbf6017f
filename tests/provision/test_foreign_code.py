"""Code that is not this repository's reaches no board: the jobs' `if`, asked by act, the board's hook, and the verbs.

The workflows' own conditions stand in copies whose steps do nothing and whose triggers are all that GitHub has: those
of pr.yml alone, and that of call_device.yml alone. A fork may edit every workflow that it brings along; then the hook
alone has to refuse.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from pipeline.boards.board_file import load_board
from pipeline.ci import board_answers, board_outcome, parcel, preflight
from pipeline.cli import cli
from pipeline.records.results import Result
from pipeline.system import workflow_commands
from pipeline.system.errors import InputError
from tests.provision.machine import REPOSITORY, Machine, event
from tests.unit.test_boards_in_ci import GOOD, POISON, parcelled
from tests.unit.test_report import PARAMS

WORKFLOWS = Path(".github/workflows")
REAL = Path(__file__).resolve().parents[2] / WORKFLOWS
# Which conditions stand: those of pr.yml, those of call_device.yml.
GUARDS = {"pr_alone": (True, False), "call_alone": (False, True), "edited": (False, False)}
ACT = Path(sys.executable).with_name("act")
TRIGGERS = [
    "push", "pull_request", "pull_request_target", "workflow_run", "issue_comment", "workflow_dispatch", "schedule",
    "repository_dispatch", "merge_group", "check_run", "issues", "release", "fork", "watch", "delete",
]  # fmt: skip
OURS, FORK = {"full_name": REPOSITORY, "id": 1}, {"full_name": "mallory/vision", "id": 2, "fork": True}
ENDED_FORK, ENDED_OURS = (event(workflow_run={"head_repository": one}) for one in (FORK, OURS))
PULL_REF = "refs/pull/7/merge"


def pull(head: Any, **more: Any) -> dict[str, Any]:
    """A pull request whose head is that repository's."""
    return event("pull_request", pull_request={"head": {"repo": head}, "base": {"repo": OURS}}, **more)


def named(name: str) -> dict[str, Any]:
    return {"full_name": name, "id": 2}


@dataclass(frozen=True)
class Foreign:
    """An event, with the ref that the runner gives the hook."""

    name: str
    content: dict[str, Any]
    ref: str = PULL_REF


@dataclass(frozen=True)
class Input:
    """What a verb of `edgeproof ci` must refuse, when it is given so: with InputError, or exit code 2."""

    give: Callable[[], object]


def verb(*arguments: str) -> Callable[[], object]:
    return lambda: CliRunner().invoke(cli, ["ci", *arguments], catch_exceptions=False).exit_code


def poisoned(name: str) -> Callable[[], object]:
    return lambda: parcel.unpack(parcel.FILE, parcelled(GOOD, POISON[name]))


def declared(name: str, **own: Any) -> Callable[[], object]:
    """A change adds a file of a board."""

    def give() -> None:
        file = Path("runners/boards") / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        content = {"description": "x", "place": "emulated", "target": "atom-x5-e3940", "labels": ["x"], **own}
        file.write_text(yaml.safe_dump({"board": content}))
        board_outcome.of_board(load_board(str(file)), "unanswered")

    return give


def answered(name: str, text: str) -> Callable[[], object]:
    """A job leaves this as its outcome."""

    def give() -> None:
        path = board_outcome.FOLDER / name / board_outcome.NAME
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        board_answers.take_in("")

    return give


def recorded(**change: Any) -> Callable[[], object]:
    """The job of the board `mine` leaves a record of something else."""

    def give() -> None:
        Path("params.yaml").write_text(json.dumps(PARAMS))
        board = load_board("atom-1").model_copy(update={"name": "mine"})
        record = {"model": "lenet-5", "method": "int8", "target": board.target, "lane": "device", "precision": "int8"}
        board_outcome.of_board(board, "measured", "pass").write()
        Result.model_validate({**record, **change}).write(board_outcome.FOLDER / "mine/results/x.json")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(preflight, "declared", lambda: [board])
            board_answers.take_in("")

    return give


HOSTILE: dict[str, Foreign | Input] = {
    # events, each through the jobs' own conditions and through the hook
    "a fork": Foreign("pull_request", pull(FORK)),
    "a fork that was deleted": Foreign("pull_request", pull(None)),
    "a fork whose repository is a text": Foreign("pull_request", pull(REPOSITORY)),
    "a fork without a name": Foreign("pull_request", pull({"id": 1})),
    "a fork with an empty name": Foreign("pull_request", pull(named(""))),
    "a head without a repository": Foreign("pull_request", {**pull(None), "pull_request": {"head": {}}}),
    "a pull request that is null": Foreign("pull_request", {**pull(FORK), "pull_request": None}),
    "no pull request at all": Foreign("pull_request", event("push")),
    "a name with a blank behind": Foreign("pull_request", pull(named(f"{REPOSITORY} "))),
    "a name with a line behind": Foreign("pull_request", pull(named(f"{REPOSITORY}\n"))),
    "a name with .git behind": Foreign("pull_request", pull(named(f"{REPOSITORY}.git"))),
    "a name with another letter that looks alike": Foreign("pull_request", pull(named("\u0430cme/vision"))),
    "a name with an invisible letter": Foreign("pull_request", pull(named("acme/vis\u200bion"))),
    "a name with a path": Foreign("pull_request", pull(named("mallory/../acme/vision"))),
    "a name that is an expression": Foreign("pull_request", pull(named("${{ github.repository }}"))),
    "a name that is a pattern": Foreign("pull_request", pull(named("*"))),
    "a name that is true": Foreign("pull_request", pull({"full_name": True, "id": 1})),
    "a name in a list": Foreign("pull_request", pull({"full_name": [REPOSITORY], "id": 1})),
    "the same name at another owner": Foreign("pull_request", pull(named("mallory/vision"))),
    "pull_request_target of a fork": Foreign("pull_request_target", pull(FORK)),
    "pull_request_target of a branch": Foreign("pull_request_target", pull(OURS)),
    "the end of a fork's run": Foreign("workflow_run", ENDED_FORK, "refs/heads/main"),
    "the end of a run of ours": Foreign("workflow_run", ENDED_OURS, "refs/heads/main"),
    "a comment": Foreign("issue_comment", event(issue={"number": 7}, comment={"body": "/test"}), "refs/heads/main"),
    "somebody's dispatch through the API": Foreign("repository_dispatch", event(client_payload={}), "refs/heads/main"),
    "a merge queue": Foreign("merge_group", event(merge_group={}), "refs/heads/main"),
    "a check": Foreign("check_run", event(check_run={}), "refs/heads/main"),
    "an issue": Foreign("issues", event(issue={"number": 7}), "refs/heads/main"),
    "a release": Foreign("release", event(release={}), "refs/tags/v1"),
    "somebody makes a fork": Foreign("fork", event(forkee=FORK), "refs/heads/main"),
    "a fork with our number": Foreign("pull_request", pull({**FORK, "id": 1})),
    "a fork without a number": Foreign("pull_request", pull({"full_name": "mallory/vision"})),
    # inputs, each to the verb that reads it
    "a board's name with a command": Input(verb("board", "$(touch owned)", "--sha256", "0" * 64)),
    "a board's name with a second command": Input(verb("board", "atom-1; touch owned", "--sha256", "0" * 64)),
    "a board's name with a path": Input(verb("board", "../../etc/passwd", "--sha256", "0" * 64)),
    "a board's name with a line": Input(verb("board", "atom-1\n::set-output name=x::y", "--sha256", "0" * 64)),
    "a hash with a command": Input(verb("board", "atom-1", "--sha256", "$(touch owned)")),
    "a board's file with a command as its name": Input(declared("$(touch owned)")),
    "a board's file with a blank in its name": Input(declared("a b")),
    "a board's file that begins with a dot": Input(declared(".hidden")),
    "a label with a command": Input(declared("mine", labels=["x $(touch owned)"])),
    "a label that is an expression": Input(declared("mine", labels=["${{ secrets.LAB_TOKEN }}"])),
    "a label with a line": Input(declared("mine", labels=["x\ny"])),
    "a folder of the board's root": Input(declared("mine", folder="/etc")),
    **{f"a parcel with {name}": Input(poisoned(name)) for name in POISON},
    "an outcome of no board": Input(answered("mallory", '{"board": "mallory"}')),
    "an outcome under another name": Input(answered("mine", '{"board": "../x", "target": "x", "state": "measured"}')),
    "an outcome with markup": Input(answered("mine", '{"board": "<img src=x>", "target": "x", "state": "measured"}')),
    "a record with a path as its method": Input(recorded(method="../../../owned")),
    "a record of a model that is none": Input(recorded(model="mallory")),
    "a record of another target": Input(recorded(target="jetson-tx2-maxq")),
    "a record of the other lane": Input(recorded(lane="emulated")),
    "boards that are told as a command": Input(lambda: board_outcome.parse("$(touch owned)")),
    "boards that are told with a path": Input(lambda: board_outcome.parse('[{"board": "../x", "target": "x"}]')),
}  # fmt: skip


@pytest.fixture(scope="module")
def hollow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the jobs that lead to a board three times, with those conditions that GUARDS names."""
    folder = tmp_path_factory.mktemp("hollow")
    (folder / WORKFLOWS).mkdir(parents=True)
    subprocess.run(["git", "init", "--quiet", folder], check=True)
    run = yaml.safe_load((REAL / "pr.yml").read_text())["jobs"]
    called = yaml.safe_load((REAL / "call_device.yml").read_text())
    called["on"] = called.pop(True)  # as YAML 1.1 reads it
    board = called["jobs"]["board"]
    del board["concurrency"]["queue"]  # which act does not know
    board["steps"] = [{"run": "true"}]
    matrix = json.dumps([{"board": "atom-1", "labels": json.dumps(["self-hosted", "atom-x5-e3940"])}])
    does_nothing = {"runs-on": "ubuntu-24.04", "steps": [{"run": "true"}]}
    jobs = {
        "plan": {**does_nothing, "outputs": {"jobs": json.dumps({"device": True})}},
        "preflight": {**does_nothing, "needs": "plan", "outputs": {"boards": matrix, "candidates": "0" * 64}},
    }
    for name, (caller, callee) in GUARDS.items():
        jobs[name] = unless(caller, {**run["device"], "uses": f"./{WORKFLOWS}/{name}.yml"})
        content = {**called, "jobs": {"board": unless(callee, board)}}
        (folder / WORKFLOWS / f"{name}.yml").write_text(yaml.safe_dump(content))
    (folder / WORKFLOWS / "pr.yml").write_text(yaml.safe_dump({"name": "pr", "on": TRIGGERS, "jobs": jobs}))
    return folder


def unless(guarded: bool, job: dict[str, Any]) -> dict[str, Any]:
    """The job, or without its condition."""
    return {key: value for key, value in job.items() if key != "if" or guarded}


def reached(hollow: Path, foreign: Foreign, room: Path) -> set[str]:
    """With which of GUARDS the event starts the job that names a board's machine."""
    (room / "event.json").write_text(json.dumps(foreign.content))
    command = [ACT, foreign.name, "--json", "--no-cache-server", "--action-cache-path", room / "jobs", "--eventpath"]
    command += [room / "event.json", "--workflows", f"{WORKFLOWS}/pr.yml", "--env", f"GITHUB_REPOSITORY={REPOSITORY}"]
    for label in ("ubuntu-24.04", "self-hosted"):
        command += ["--platform", f"{label}=-self-hosted"]
    done = subprocess.run(command, cwd=hollow, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    records = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    ran = [record["job"] for record in records if "jobResult" in record and record["jobID"] == "board"]
    return {name for name in GUARDS for job in ran if job.startswith(name)}


def refuses(hostile: Input) -> bool:
    """Whether a verb takes it for bad input, in one line or with its exit code."""
    try:
        return hostile.give() == 2
    except InputError as error:
        return "\n" not in str(error)


def refused(machine: Machine, foreign: Foreign) -> bool:
    """Whether the board's hook ends the job before its first step."""
    repository = (foreign.content.get("repository") or {}).get("full_name", REPOSITORY)
    variables = {"GITHUB_EVENT_NAME": foreign.name, "GITHUB_REF": foreign.ref, "GITHUB_REPOSITORY": repository}
    done = machine.hook(json.dumps(foreign.content).encode(), **variables)
    return done.returncode == 1 and "this board does not run this job" in done.stdout


@pytest.mark.parametrize(
    "own",
    [
        Foreign("push", event(), "refs/heads/main"),
        Foreign("workflow_dispatch", event("workflow_dispatch", inputs={}), "refs/heads/main"),
        Foreign("schedule", event(schedule="17 1 * * *"), "refs/heads/main"),  # nightly.yml calls pr.yml
        Foreign("pull_request", pull(OURS)),
        Foreign("pull_request", pull({**OURS, "full_name": "Acme/Vision"})),  # which is the same one on GitHub
    ],
    ids=["push", "dispatch", "night", "branch", "capitals"],
)  # fmt: skip
def test_the_repository_s_own_changes_reach_the_board(
    hollow: Path, board: Machine, tmp_path: Path, own: Foreign
) -> None:
    assert reached(hollow, own, tmp_path) == set(GUARDS)
    assert not refused(board, own)


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_foreign_gets_through(
    name: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = HOSTILE[name]
    if isinstance(hostile, Foreign):
        assert refused(request.getfixturevalue("board"), hostile)
        # Whoever has edited all conditions away gets as far as the hook, as on GitHub.
        assert reached(request.getfixturevalue("hollow"), hostile, tmp_path) == {"edited"}
        return
    room = tmp_path / "room"
    room.mkdir()
    monkeypatch.chdir(room)
    monkeypatch.setattr(workflow_commands, "stop", lambda: None)
    assert refuses(hostile)
    assert not [path for path in tmp_path.rglob("*owned*") if path.is_file() and path.suffix != ".yaml"]
    assert not Path("artifacts/results").exists()


def test_there_are_enough_of_them() -> None:
    events = sum(isinstance(one, Foreign) for one in HOSTILE.values())
    assert events >= 30
    assert len(HOSTILE) - events >= 30
