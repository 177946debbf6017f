"""What cannot be seen by running the workflows here: schemas, pins, permissions, limits."""

import subprocess

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


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_every_job_has_a_time_limit(path) -> None:
    jobs = yaml.safe_load(path.read_text())["jobs"]
    assert [name for name, job in jobs.items() if "uses" not in job and "timeout-minutes" not in job] == []


def test_code_of_forks_stays_on_hosted_machines_with_a_read_only_token() -> None:
    workflow = yaml.safe_load((REPOSITORY / ".github/workflows/pr.yml").read_text())
    assert {job["runs-on"] for job in workflow["jobs"].values()} == {HOSTED}
    assert workflow["permissions"] == {"contents": "read"}
    assert not [name for name, job in workflow["jobs"].items() if "permissions" in job]


def test_every_action_has_a_stand_in() -> None:
    assert [name for name, folder in standins(REPOSITORY).items() if not folder.is_dir()] == []
