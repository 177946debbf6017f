"""Whether a job gets a board only when a person has said so."""

from collections.abc import Iterator

from pydantic import BaseModel

from pipeline.doctor.examined import ACTIONS, Subject
from pipeline.doctor.finding import Finding, not_measured, well, wrong

WHY = "a change that nobody has looked at runs on your hardware"


class Rule(BaseModel):
    """A protection rule of an environment; which fields it has depends on its type."""

    type: str
    prevent_self_review: bool = False
    reviewers: list[dict[str, object]] = []


class Environment(BaseModel):
    """GET /repos/{owner}/{repo}/environments."""

    name: str
    protection_rules: list[Rule] = []
    deployment_branch_policy: dict[str, bool] | None = None


def look(subject: Subject) -> Iterator[Finding]:
    """The environments that the workflow files name for jobs on boards."""
    jobs = subject.jobs_on_boards
    if not jobs:
        yield well("no workflow asks for a board")
        return
    for job in jobs:
        if job.environment is None:
            yield wrong(
                f"{job.file}: the job {job.name} runs on a board without an environment",
                WHY,
                f"write `environment: device-lab` into it, and make that in {subject.github.settings('environments')}",
            )
    named = sorted({job.environment for job in jobs if job.environment})
    if not named:
        return
    there = {each.name: each for each in subject.github.every("environments", "environments", Environment, ACTIONS)}
    for name in named:
        if "${{" in name:
            yield not_measured(f"which environment {name} is, only a run knows", "name it in the workflow")
        else:
            yield from _protected(subject, name, there.get(name))


def _protected(subject: Subject, name: str, found: Environment | None) -> Iterator[Finding]:
    fix = subject.github.settings("environments")
    if found is None:
        yield wrong(
            f"there is no environment {name}", f"GitHub makes it at its first job, open to everyone: {WHY}", fix
        )
        return
    reviewed = next((rule for rule in found.protection_rules if rule.type == "required_reviewers"), None)
    faults = []
    if reviewed is None or not reviewed.reviewers:
        faults.append(wrong(f"{name} asks nobody", WHY, f"{fix}: {name}, Required reviewers"))
    elif not reviewed.prevent_self_review:
        faults.append(wrong(f"in {name} one may approve one's own job", WHY, f"{fix}: {name}, Prevent self-review"))
    if found.deployment_branch_policy is None:
        faults.append(
            wrong(
                f"{name} takes jobs of any branch or tag",
                "what was pushed anywhere can ask for a board",
                f"{fix}: {name}, Deployment branches and tags: main, and refs/pull/*/merge for pull requests",
            )
        )
    yield from faults or [well(f"{name} asks a reviewer who is not the author, for chosen branches")]
