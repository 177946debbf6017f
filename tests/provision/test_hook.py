"""The hook before a job: what this board runs, and that nothing else gets through."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.provision.machine import REPOSITORY, Machine, event

FORK = {"full_name": "mallory/vision", "id": 2}
OURS = {"full_name": REPOSITORY, "id": 1}
NUMBERLESS = {"full_name": REPOSITORY}


def pull(**sides: Any) -> dict[str, Any]:
    return event("pull_request", pull_request={"head": {"repo": OURS}, "base": {"repo": OURS}, **sides})


@pytest.mark.parametrize(
    ("content", "github"),
    [
        (event(), {}),
        (event(), {"GITHUB_REF": "refs/tags/v1"}),
        (event("workflow_dispatch", inputs={"model": "lenet-5"}), {"GITHUB_EVENT_NAME": "workflow_dispatch"}),
        (event("schedule", schedule="0 3 * * *"), {"GITHUB_EVENT_NAME": "schedule"}),
        ({"schedule": "0 3 * * *"}, {"GITHUB_EVENT_NAME": "schedule"}),
        (pull(), {"GITHUB_EVENT_NAME": "pull_request", "GITHUB_REF": "refs/pull/7/merge"}),
        (event(repository={"full_name": "Acme/Vision", "id": 1}), {"GITHUB_REPOSITORY": "Acme/Vision"}),
    ],
    ids=["push", "tag", "dispatch", "schedule", "schedule without repository", "pull request", "capitals"],
)  # fmt: skip
def test_the_repositorys_own_events_run(board: Machine, content: dict[str, Any], github: dict[str, str]) -> None:
    done = board.hook(json.dumps(content).encode(), **github)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert done.stdout.endswith("the board is held still\n")


PULL = {"GITHUB_EVENT_NAME": "pull_request", "GITHUB_REF": "refs/pull/7/merge"}
AS_BYTES = json.dumps(pull(head={"repo": FORK})).encode()
# Each is (event, GitHub's variables); None takes a variable away.
HOSTILE: dict[str, tuple[Any, dict[str, str | None]]] = {
    # other repositories
    "another repository": (event(), {"GITHUB_REPOSITORY": "mallory/vision"}),
    "another repository in both": (event(repository=FORK), {"GITHUB_REPOSITORY": "mallory/vision"}),
    "another repository in the event": (event(repository=FORK), {}),
    "no repository": (event(), {"GITHUB_REPOSITORY": None}),
    "no repository in the event": ({"ref": "refs/heads/main"}, {}),
    "an empty repository": (event(), {"GITHUB_REPOSITORY": ""}),
    "a pattern for a repository": (event(), {"GITHUB_REPOSITORY": "*"}),
    "a longer repository": (event(), {"GITHUB_REPOSITORY": REPOSITORY + "-fork"}),
    "a repository and a line": (event(), {"GITHUB_REPOSITORY": REPOSITORY + "\nx"}),
    "a repository that is a text": (event(repository=REPOSITORY), {}),
    "a repository that is a list": (event(repository=[OURS]), {}),
    "a repository whose name is a list": (event(repository={"full_name": [REPOSITORY]}), {}),
    "another server": (event(), {"GITHUB_SERVER_URL": "https://github.com.mallory.io"}),
    "no server": (event(), {"GITHUB_SERVER_URL": None}),
    # other events
    "pull_request_target": (pull(), {**PULL, "GITHUB_EVENT_NAME": "pull_request_target"}),
    "workflow_run": (event(workflow_run={"head_repository": FORK}), {"GITHUB_EVENT_NAME": "workflow_run"}),
    "workflow_run as push": (event(workflow_run={"head_repository": FORK}), {}),
    "issue_comment": (event(issue={"number": 7}), {"GITHUB_EVENT_NAME": "issue_comment"}),
    "issue_comment as dispatch": (event(issue={"number": 7}), {"GITHUB_EVENT_NAME": "workflow_dispatch"}),
    "repository_dispatch": (event(), {"GITHUB_EVENT_NAME": "repository_dispatch"}),
    "check_run": (event(), {"GITHUB_EVENT_NAME": "check_run"}),
    "merge_group": (event(), {"GITHUB_EVENT_NAME": "merge_group"}),
    "an unknown event": (event(), {"GITHUB_EVENT_NAME": "pull_request_of_tomorrow"}),
    "no event's name": (event(), {"GITHUB_EVENT_NAME": None}),
    "an empty event's name": (event(), {"GITHUB_EVENT_NAME": ""}),
    "a pattern for an event": (event(), {"GITHUB_EVENT_NAME": "*"}),
    "an event with a space": (event(), {"GITHUB_EVENT_NAME": "push "}),
    "an event with a line": (event(), {"GITHUB_EVENT_NAME": "push\npull_request_target"}),
    "an event in capitals": (event(), {"GITHUB_EVENT_NAME": "PUSH"}),
    # forks
    "a fork": (pull(head={"repo": FORK}), PULL),
    "a fork as push": (pull(head={"repo": FORK}), {"GITHUB_REF": "refs/pull/7/merge"}),
    "a fork as push to main": (pull(head={"repo": FORK}), {}),
    "a fork as schedule": (pull(head={"repo": FORK}), {"GITHUB_EVENT_NAME": "schedule"}),
    "a deleted fork": (pull(head={"repo": None}), PULL),
    "no head": ({**pull(), "pull_request": {"base": {"repo": OURS}}}, PULL),
    "a head that is a text": (pull(head="acme:main"), PULL),
    "heads without a number": (pull(head={"repo": NUMBERLESS}, base={"repo": NUMBERLESS}), PULL),
    "a head of that name with another number": (pull(head={"repo": {**FORK, "full_name": REPOSITORY}}), PULL),
    "a fork with our number": (pull(head={"repo": FORK | {"id": 1}}), PULL),
    "a request into a fork with our number": (pull(base={"repo": FORK | {"id": 1}}), PULL),
    "a schedule of another repository": (event(repository=FORK), {"GITHUB_EVENT_NAME": "schedule"}),
    "a request into a fork": (pull(base={"repo": FORK}), PULL),
    "a request of another repository": (pull() | {"repository": FORK}, PULL),
    "a request in a fork": (pull(head={"repo": FORK}, base={"repo": FORK}), PULL),
    "a request without its part": (event("push"), PULL),
    "a request that is a list": (event("push", pull_request=[pull()["pull_request"]]), PULL),
    "a request and an issue": (pull() | {"issue": {}}, PULL),
    "a merge ref pushed": (event(), {"GITHUB_REF": "refs/pull/7/merge"}),
    "no ref": (event(), {"GITHUB_REF": None}),
    # what is no event
    "no object": ([event()], {}),
    "null": (None, {}),
    "a text": (REPOSITORY, {}),
    "no JSON": (b"{", {}),
    "nothing": (b"", {}),
    "two events": (AS_BYTES + json.dumps(event()).encode(), {}),
    "a fork and then ours": (AS_BYTES + b"\n" + json.dumps(pull()).encode(), PULL),
    "ours and then a fork": (json.dumps(event()).encode() + b"\n" + AS_BYTES, {}),
    "ours twice": (json.dumps(event()).encode() * 2, {}),
    "a name given twice": (b'{"repository": {"full_name": "acme/vision"}, "repository": {"full_name": "m/v"}}', {}),
    "zero bytes": (b"\0" * 64, {}),
    "no event's path": (event(), {"GITHUB_EVENT_PATH": None}),
    "another path": (event(), {"GITHUB_EVENT_PATH": "/dev/null"}),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_else_does(board: Machine, name: str) -> None:
    content, github = HOSTILE[name]
    done = board.hook(content if isinstance(content, bytes) else json.dumps(content).encode(), **github)
    assert done.returncode == 1
    [line] = done.stdout.splitlines()
    assert line.startswith("::error title=not_measured::this board does not run this job: ")
    assert "mallory" not in line
    assert done.stderr == ""


def test_there_are_enough_hostile_events() -> None:
    assert len(HOSTILE) >= 30


@pytest.mark.parametrize("kind", ["link", "elsewhere", "upwards", "folder"])
def test_an_event_that_lies_elsewhere_is_not_read(atom: Machine, tmp_path: Path, kind: str) -> None:
    """A file with a harmless event, but not the one that the runner wrote."""
    harmless = tmp_path / "event.json"
    harmless.write_text(json.dumps(event()))
    work = atom.root / "var/lib/edgeproof/job/_work"
    (work / "folder").mkdir(parents=True)
    (work / "link.json").symlink_to(harmless)
    paths = {
        "link": work / "link.json", "elsewhere": harmless, "folder": work / "folder",
        "upwards": f"{work}/../../../../../../event.json",
    }  # fmt: skip
    done = atom.hook(json.dumps(event()).encode(), GITHUB_EVENT_PATH=str(paths[kind]))
    assert (done.returncode, "its event cannot be read" in done.stdout) == (1, True)


def test_the_environment_of_the_hook_cannot_send_it_to_other_settings(atom: Machine, tmp_path: Path) -> None:
    (tmp_path / "etc/edgeproof").mkdir(parents=True)
    (tmp_path / "etc/edgeproof/settings").write_text("REPOSITORY=mallory/vision\n")
    there = str(tmp_path)
    done = atom.hook(
        json.dumps(event(repository=FORK)).encode(), GITHUB_REPOSITORY="mallory/vision", REPOSITORY="mallory/vision",
        root=there, settings=f"{there}/etc/edgeproof", state=there, PATH=there, GITHUB_EVENT_NAME="push",
    )  # fmt: skip
    assert (done.returncode, "a runner of acme/vision only" in done.stdout) == (1, True)


def test_a_board_that_says_nothing_ends_the_job_with_one_line(atom: Machine) -> None:
    hook = atom.root / "usr/lib/edgeproof/job-started.sh"
    hook.write_text(hook.read_text().replace("answer_wait_s=1500", "answer_wait_s=3").replace("/answer", "/no-answer"))
    done = atom.hook(json.dumps(event()).encode())
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].endswith(
        "nobody answered for the board in 3 s: see journalctl -u edgeproof-board"
    )
