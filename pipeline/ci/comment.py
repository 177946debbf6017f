"""The one comment that a pull request's runs keep up to date, written by a job that never sees the change's code.

The run that it speaks of executed that code, so what the run says of itself is not believed: which pull request it
belongs to is what GitHub's event and API say, and of its artifact only a validated record is read. The comment is found
again by a mark in its text, in comments of GitHub's own bot alone.
"""

from dataclasses import dataclass
from typing import Any

from pipeline.ci import artifact, our_own, summary_text
from pipeline.ci.run_ended import WorkflowRun
from pipeline.ci.summary_text import Base, Links
from pipeline.system.errors import BadData
from pipeline.system.github_api import GitHub

MARK = "<!-- edgeproof: the summary of this pull request -->"
CUT_SHORT = ("failure", "timed_out", "startup_failure")  # other ends without a record are nobody's news
RUNS = 20  # of the base branch that are asked for a record, newest first


@dataclass(frozen=True)
class PullRequest:
    """What GitHub's API says of the pull request that a run belongs to."""

    number: int
    base_branch: str
    base_sha: str


def update(github: GitHub, run: WorkflowRun, server: str) -> str:
    """Write the comment, or bring it up to date; what was done, in a line.

    Raises:
        BadData: the run's record cannot be read; the comment says so by then.
        ApiError: GitHub refuses.
    """
    pull_request = _pull_request(github, run)
    if pull_request is None:
        return f"run {run.id}: no open pull request is at {run.head_sha[:10]} any more; nothing is to be told"
    artifacts = artifact.of_run(github, run.id)
    address = f"{server}/{github.repository}/actions/runs/{run.id}"
    links = Links(address, f"{address}/artifacts/{artifacts.page}" if artifacts.page else "")
    if artifacts.record is None:
        if run.conclusion not in ("success", *CUT_SHORT):  # it waits for an approval, say
            return f"pull request {pull_request.number}: run {run.id} ended as {run.conclusion}; nothing is to be told"
        return _put(github, pull_request, _without_record(run, links), anew=run.conclusion in CUT_SHORT)
    try:
        record = artifact.record(github, artifacts.record)
    except BadData as error:
        _put(github, pull_request, _unreadable(run, links), anew=True)
        raise BadData(f"run {run.id} of pull request {pull_request.number}: {error}") from error
    base = _base(github, run, pull_request)
    return _put(github, pull_request, summary_text.markdown(record, run.head_sha, base, links), anew=True)


def _pull_request(github: GitHub, run: WorkflowRun) -> PullRequest | None:
    """The open one whose newest commit the run is of. The event names those of the same repository only."""
    if run.head_repository is None or run.head_branch is None:  # a fork that was deleted
        return None
    head = f"{run.head_repository.owner.login}:{run.head_branch}"
    found = [one for one in github.pages("pulls", state="open", head=head) if _is_of(one, run, github.repository)]
    named = {one.number for one in run.pull_requests}
    if len(found) > 1:  # of one branch to several others
        found = [one for one in found if one["number"] in named]
    if len(found) != 1:
        return None
    [one] = found
    return PullRequest(int(one["number"]), str(one["base"]["ref"]), str(one["base"]["sha"]))


def _is_of(one: dict[str, Any], run: WorkflowRun, repository: str) -> bool:
    head = one["head"]
    return (
        run.head_repository is not None
        and head["sha"] == run.head_sha
        and head["repo"] is not None
        and head["repo"]["full_name"] == run.head_repository.full_name
        and one["base"]["repo"]["full_name"] == repository
    )


def _base(github: GitHub, run: WorkflowRun, pull_request: PullRequest) -> Base | None:
    """The record of the base commit, or else the newest one of its branch: a commit that measures nothing has none."""
    query = {"branch": pull_request.base_branch, "event": "push", "per_page": RUNS}
    runs = github.get(f"actions/workflows/{run.workflow_id}/runs", **query)["workflow_runs"]
    for one in sorted(runs, key=lambda one: one["head_sha"] != pull_request.base_sha):
        if (number := artifact.of_run(github, int(one["id"])).record) is None:
            continue
        try:
            return Base(artifact.record(github, number), str(one["head_sha"]))
        except BadData:  # of an older version
            continue
    return None


def _without_record(run: WorkflowRun, links: Links) -> str:
    if run.conclusion == "success":
        first = "the change touches nothing that is re-tested"
    else:
        first = "the run ended before it had measured everything"
    return f"{summary_text.headline('not_measured', first)}\n\n`{run.head_sha[:10]}` · [run]({links.run})\n"


def _unreadable(run: WorkflowRun, links: Links) -> str:
    first = summary_text.headline("not_measured", "what the run left as its summary is none")
    return f"{first}\n\n`{run.head_sha[:10]}` · [run]({links.run})\n"


def _put(github: GitHub, pull_request: PullRequest, text: str, *, anew: bool) -> str:
    """Edit our comment, or write it where there is none and it is to be made `anew`."""
    body = our_own.signed(text, MARK)
    comments = f"issues/{pull_request.number}/comments"
    for comment in github.pages(comments):
        if our_own.is_ours(comment, MARK):
            if our_own.says(comment, body):
                return f"pull request {pull_request.number}: the comment is up to date"
            github.send("PATCH", f"issues/comments/{int(comment['id'])}", {"body": body})
            return f"pull request {pull_request.number}: the comment was brought up to date"
    if not anew:
        return f"pull request {pull_request.number}: nothing was measured, and nothing is to be told"
    github.send("POST", comments, {"body": body})
    return f"pull request {pull_request.number}: commented"
