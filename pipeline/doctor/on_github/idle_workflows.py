"""Whether GitHub still runs the workflows: it switches schedules off after 60 days without activity."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from pydantic import BaseModel

from pipeline.doctor.examined import ACTIONS, Subject, events
from pipeline.doctor.finding import Finding, well, wrong
from pipeline.system.github_api import SCHEDULES_END

SOON = timedelta(days=15)
STATES = {
    "disabled_inactivity": "GitHub has switched {} off: 60 days without activity",
    "disabled_manually": "somebody has switched {} off",
    "disabled_fork": "{} is off, as in every new fork",
}


class Workflow(BaseModel):
    """GET /repos/{owner}/{repo}/actions/workflows."""

    path: str
    state: str


def look(subject: Subject) -> Iterator[Finding]:
    """What is off, and what will be: schedules of a public repository to which nobody pushes."""
    listed = subject.github.every("actions/workflows", "workflows", Workflow, ACTIONS)
    off = [workflow for workflow in listed if workflow.state in STATES]
    for workflow in off:
        name = Path(workflow.path).name
        yield wrong(
            STATES[workflow.state].format(name),
            "what it should run, or watch over, is not run",
            f"gh workflow enable {name}",
        )
    pushed = subject.repository.pushed_at
    scheduled = [path.name for path, workflow in subject.workflows.items() if "schedule" in events(workflow)]
    if (
        scheduled
        and not subject.repository.private
        and pushed
        and (left := pushed + SCHEDULES_END - subject.now) < SOON
    ):
        yield wrong(
            f"the last push was {(subject.now - pushed).days} days ago: schedules end {_when(left)}",
            f"after 60 days GitHub switches off what a public repository schedules ({', '.join(scheduled)})",
            "push a commit",
        )
    elif not off:
        yield well(f"{len(listed)} workflows, none switched off")


def _when(left: timedelta) -> str:
    return f"in {left.days} days" if left.days > 0 else "now"
