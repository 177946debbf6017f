"""Whether an organization's boards are for this repository's own workflows."""

from collections.abc import Iterator

from pipeline.doctor.examined import Subject
from pipeline.doctor.finding import Finding, well, wrong


def look(subject: Subject) -> Iterator[Finding]:
    """The groups that have runners and that this repository may use."""
    owner = subject.repository.owner
    if owner.type != "Organization":
        yield well("a person owns the repository: there are no groups, its runners are its own")
        return
    used = [group for group, runners in subject.groups if runners]
    fix = f"{subject.github.server}/organizations/{owner.login}/settings/actions/runner-groups"
    for group in used:
        place = f"{fix}/{group.id}"
        if group.allows_public_repositories and not group.restricted_to_workflows:
            yield wrong(
                f"the runner group {group.name} takes any workflow of public repositories",
                "a pull request from a fork can bring such a workflow with it",
                f"{place}: Allow public repositories off, or Workflow access: Selected workflows",
            )
        else:
            chosen = "chosen workflows" if group.restricted_to_workflows else "private repositories"
            yield well(f"the runner group {group.name} is for {chosen} only")
    if not used:
        yield well("no group that this repository may use has runners")
