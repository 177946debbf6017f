"""What cannot be seen by running the workflows here: schemas, pins, permissions, limits."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from act import HOSTED, REPOSITORY, TOOLS, standins

WORKFLOWS = sorted((REPOSITORY / ".github/workflows").glob("*.yml"))
ACTIONS = sorted(REPOSITORY.glob(".github/actions/*/action.yml"))


@pytest.mark.parametrize(
    "command",
    [
        ["actionlint", *WORKFLOWS],
        ["check-jsonschema", "--builtin-schema", "vendor.github-workflows", *WORKFLOWS],
        ["check-jsonschema", "--builtin-schema", "vendor.github-actions", *ACTIONS],
        ["check-jsonschema", "--builtin-schema", "vendor.dependabot", ".github/dependabot.yml"],
        ["zizmor", "--offline", "--quiet", "--persona=auditor", ".github"],
    ],
    ids=lambda command: f"{command[0]} {command[2] if len(command) > 2 else ''}",
)
def test_linters_find_nothing(command: list[str]) -> None:
    done = subprocess.run([TOOLS / command[0], *command[1:]], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_workflow_in_the_documentation_is_one(tmp_path: Path) -> None:
    [text] = re.findall(r"```yaml\n(name: .*?)```", (REPOSITORY / "docs/check.md").read_text(), re.DOTALL)
    folder = tmp_path / ".github/workflows"
    folder.mkdir(parents=True)
    (folder / "models.yml").write_text(text.replace("@v1", f"@{'0' * 40}"))  # zizmor asks for a commit, and is right
    for command in (["actionlint", folder / "models.yml"], ["zizmor", "--offline", "--quiet", folder]):
        done = subprocess.run([TOOLS / command[0], *command[1:]], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_action_has_the_inputs_that_the_documentation_gives_it() -> None:
    known = yaml.safe_load((REPOSITORY / ".github/actions/check/action.yml").read_text())["inputs"]
    for name in ("README.md", "docs/check.md"):
        blocks = re.findall(r"```yaml\n(.*?)```", (REPOSITORY / name).read_text(), re.DOTALL)
        [block] = [yaml.safe_load(block) for block in blocks if "edgeproof/.github/actions/check@" in block]
        steps = block if isinstance(block, list) else block["jobs"]["check"]["steps"]
        [given] = [step["with"] for step in steps if "edgeproof" in step["uses"]]
        assert {"model", "target"} <= set(given) <= set(known), name


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_every_job_has_a_time_limit(path) -> None:
    jobs = yaml.safe_load(path.read_text())["jobs"]
    assert [name for name, job in jobs.items() if "uses" not in job and "timeout-minutes" not in job] == []


def test_code_of_forks_stays_on_hosted_machines_with_a_read_only_token() -> None:
    workflow = yaml.safe_load((REPOSITORY / ".github/workflows/pr.yml").read_text())
    elsewhere = {name: job for name, job in workflow["jobs"].items() if job.get("runs-on") != HOSTED}
    assert {name: job["uses"] for name, job in elsewhere.items()} == {"device": "./.github/workflows/call_device.yml"}
    assert workflow["permissions"] == {"contents": "read"}
    given = [job["permissions"] for job in workflow["jobs"].values() if "permissions" in job]
    assert {may for permissions in given for may in permissions.values()} == {"read"}


def test_a_board_is_given_away_by_a_person_and_does_one_job_at_a_time() -> None:
    """What act does not do; tests/provision/test_foreign_code.py has what it does."""
    called = yaml.safe_load((REPOSITORY / ".github/workflows/call_device.yml").read_text())
    assert list(called[True]) == ["workflow_call"]
    [job] = called["jobs"].values()
    assert job["environment"] == "device-lab"
    assert job["concurrency"] == {"group": "board-${{ inputs.board }}", "cancel-in-progress": False, "queue": "max"}
    assert called["permissions"] == {}
    assert job["permissions"] == {"contents": "read"}
    assert "secrets" not in str(called)


def test_a_token_that_may_write_is_given_to_the_default_branch_s_code_alone() -> None:
    writing = set()
    for path in WORKFLOWS:
        workflow = yaml.safe_load(path.read_text())
        permissions = [workflow["permissions"], *(job.get("permissions", {}) for job in workflow["jobs"].values())]
        if "write" in {may for given in permissions for may in given.values()}:
            writing.add(path.name)
            assert "ref:" not in path.read_text(), "the default branch is checked out"
            assert set(workflow[True]) <= {"workflow_run", "schedule", "workflow_dispatch", "workflow_call", "push"}
            if "push" in workflow[True]:  # a tag is set by who may write; the environment says who may release it
                assert set(workflow[True]["push"]) == {"tags"}
                writers = [job for job in workflow["jobs"].values() if job["permissions"].get("contents") == "write"]
                assert all("environment" in job for job in writers)
            assert workflow["permissions"] == {}, "each job has what it needs"
    assert writing >= {"comment.yml"}


def test_every_action_has_a_stand_in() -> None:
    assert [name for name, folder in standins(REPOSITORY).items() if not folder.is_dir()] == []
