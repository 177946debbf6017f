"""Whether a workflow's token may only read, unless the workflow asks for more."""

from collections.abc import Iterator

from pydantic import BaseModel

from pipeline.doctor.examined import ADMINISTRATION, Subject
from pipeline.doctor.finding import Finding, well, wrong


class Defaults(BaseModel):
    """GET /repos/{owner}/{repo}/actions/permissions/workflow."""

    default_workflow_permissions: str
    can_approve_pull_request_reviews: bool


def look(subject: Subject) -> Iterator[Finding]:
    """The default, and whether a workflow may approve pull requests."""
    found = subject.github.get("actions/permissions/workflow", Defaults, ADMINISTRATION)
    fix = f"{subject.github.settings('actions')}: Workflow permissions"
    if found.default_workflow_permissions != "read":
        yield wrong(
            "a workflow's token may write by default",
            "a workflow that forgets `permissions:` can then change the repository",
            f"{fix}, Read repository contents",
        )
    if found.can_approve_pull_request_reviews:
        yield wrong(
            "workflows may approve pull requests",
            "a change could then pass its own review",
            f"{fix}, Allow GitHub Actions to create and approve pull requests: off",
        )
    if found.default_workflow_permissions == "read" and not found.can_approve_pull_request_reviews:
        yield well("a workflow's token may only read by default")
