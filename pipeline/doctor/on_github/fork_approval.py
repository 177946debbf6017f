"""Whether a stranger's pull request waits for a person before its workflows run."""

from collections.abc import Iterator

from pydantic import BaseModel

from pipeline.doctor.examined import ADMINISTRATION, Subject
from pipeline.doctor.finding import Finding, well, wrong

STRICTEST = "all_external_contributors"


class Public(BaseModel):
    """GET /repos/{owner}/{repo}/actions/permissions/fork-pr-contributor-approval."""

    approval_policy: str


class Private(BaseModel):
    """GET /repos/{owner}/{repo}/actions/permissions/fork-pr-workflows-private-repos."""

    run_workflows_from_fork_pull_requests: bool
    send_write_tokens_to_workflows: bool
    send_secrets_and_variables: bool
    require_approval_for_fork_pr_workflows: bool


def look(subject: Subject) -> Iterator[Finding]:
    """A public repository has another setting than a private one."""
    github, fix = subject.github, subject.github.settings("actions")
    if not subject.repository.private:
        policy = github.get("actions/permissions/fork-pr-contributor-approval", Public, ADMINISTRATION).approval_policy
        if policy == STRICTEST:
            yield well("workflows of all outside contributors wait for an approval")
        else:
            yield wrong(
                f"outside contributors' workflows run without an approval ({policy})",
                "a pull request can change the workflow that it starts, and ask for a board in it",
                f"{fix}: Require approval for all external contributors",
            )
        return
    forks = github.get("actions/permissions/fork-pr-workflows-private-repos", Private, ADMINISTRATION)
    if not forks.run_workflows_from_fork_pull_requests:
        yield well("pull requests from forks run no workflows")
        return
    given = [
        *(["write tokens"] if forks.send_write_tokens_to_workflows else []),
        *(["secrets"] if forks.send_secrets_and_variables else []),
        *([] if forks.require_approval_for_fork_pr_workflows else ["no approval"]),
    ]
    if given:
        yield wrong(
            f"pull requests from forks run workflows with {' and '.join(given)}",
            "a pull request can change the workflow that it starts",
            f"{fix}: Fork pull request workflows",
        )
    else:
        yield well("workflows of pull requests from forks wait for an approval")
