"""A GitHub on the loopback that knows a few questions, answers them in the documented form, and takes no other.

Forms: https://docs.github.com/rest, API version 2022-11-28. What a client does wrong is kept in `faults`.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.loopback import listening

TOKEN = "github_pat_11TEST_ofnobody"
REPOSITORY = "/repos/acme/vision"
ORGANIZATION = "/orgs/acme/actions/runner-groups"
HEADERS = {
    "Authorization": f"Bearer {TOKEN}",
    "Accept": "application/vnd.github+json",
    "X-GitHub-Api-Version": "2022-11-28",
}
QUERY = {"per_page", "page", "visible_to_repository"}


def ago(**time: float) -> str:
    """A time in the past as GitHub writes it."""
    return f"{datetime.now(timezone.utc) - timedelta(**time):%Y-%m-%dT%H:%M:%SZ}"


def runner(name: str, *labels: str, status: str = "online", version: str | None = "2.335.1") -> dict[str, Any]:
    """A runner as a list of runners holds it."""
    named = [{"id": number, "name": label, "type": "custom"} for number, label in enumerate(labels)]
    told = {} if version is None else {"version": version}
    return {"id": 23, "name": name, "os": "linux", "status": status, "busy": False, "labels": named, **told}


def group(number: int, *, public: bool = False, restricted: bool = False) -> dict[str, Any]:
    """A runner group of the organization."""
    return {
        "id": number,
        "name": f"group-{number}",
        "visibility": "selected",
        "default": number == 1,
        "runners_url": f"https://api.github.com/orgs/acme/actions/runner-groups/{number}/runners",
        "inherited": False,
        "allows_public_repositories": public,
        "restricted_to_workflows": restricted,
        "selected_workflows": [],
        "workflow_restrictions_read_only": False,
    }


def environment(name: str = "device-lab", *, reviewers: int = 1, self_review: bool = False) -> dict[str, Any]:
    """An environment for chosen branches, with a rule for reviewers where it has some."""
    person = {"type": "User", "reviewer": {"login": "octocat", "id": 1, "type": "User"}}
    rule = {
        "id": 3755,
        "node_id": "MDQ6R2F0ZTM3NTU=",
        "type": "required_reviewers",
        "prevent_self_review": not self_review,
        "reviewers": [person] * reviewers,
    }
    branches = {"id": 3756, "node_id": "MDQ6R2F0ZTM3NTY=", "type": "branch_policy"}
    return {
        "id": 161088068,
        "name": name,
        "html_url": f"https://github.com/acme/vision/deployments/activity_log?environments_filter={name}",
        "protection_rules": [branches, *([rule] if reviewers else [])],
        "deployment_branch_policy": {"protected_branches": False, "custom_branch_policies": True},
    }


def workflow(name: str, state: str = "active") -> dict[str, Any]:
    """A workflow as GitHub lists it."""
    return {"id": 161335, "name": name, "path": f".github/workflows/{name}.yml", "state": state}


@dataclass
class FakeGitHub:
    """Answers by path: a status and a body. A list in a body is given `page` items at a time."""

    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)  # of every answer
    first: list[tuple[int, dict[str, str]]] = field(default_factory=list)  # statuses and headers before any answer
    page: int = 100
    asked: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    url: str = ""

    def __post_init__(self) -> None:
        owner = {"login": "acme", "id": 1, "type": "Organization"}
        facts = {"id": 1, "name": "vision", "full_name": "acme/vision", "private": False, "owner": owner}
        self.say("", {**facts, "pushed_at": ago(days=2)})
        self.say("actions/permissions/fork-pr-contributor-approval", {"approval_policy": "all_external_contributors"})
        self.say(
            "actions/permissions/workflow",
            {"default_workflow_permissions": "read", "can_approve_pull_request_reviews": False},
        )
        self.say("environments", {"total_count": 1, "environments": [environment()]})
        self.say("actions/workflows", {"total_count": 2, "workflows": [workflow("pr"), workflow("nightly")]})
        self.say("actions/runners", {"total_count": 1, "runners": [runner("atom-1-6a", "self-hosted", "atom")]})
        self.say(ORGANIZATION, {"total_count": 1, "runner_groups": [group(1)]})
        self.say(f"{ORGANIZATION}/1/runners", {"total_count": 0, "runners": []})
        releases = [("v2.335.1", 3), ("v2.335.0", 20), ("v2.334.0", 50), ("v2.330.0", 200)]
        listed = [
            {"id": 1, "tag_name": tag, "draft": False, "prerelease": False, "published_at": ago(days=days)}
            for tag, days in releases
        ]
        self.say("/repos/actions/runner/releases", listed)

    def say(self, path: str, body: Any, status: int = 200) -> None:
        """Answer so from now on; paths are below the repository's unless they begin with a slash."""
        self.answers[path if path.startswith("/") else f"{REPOSITORY}/{path}".rstrip("/")] = (status, body)


@contextmanager
def running(github: FakeGitHub) -> Iterator[FakeGitHub]:
    """Serve it on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = urlsplit(self.path)
            github.asked.append(asked.path)
            wrong = [name for name, value in HEADERS.items() if self.headers.get(name) != value]
            unknown = parse_qs(asked.query).keys() - QUERY
            if wrong or unknown or asked.path not in github.answers:
                github.faults.append(f"{self.path}: {wrong} {sorted(unknown)}")
                self.answer(401 if "Authorization" in wrong else 400, {"message": "Bad request"}, {})
            elif github.first:
                status, headers = github.first.pop(0)
                self.answer(status, {"message": "You have exceeded a rate limit"}, headers)
            else:
                status, body = github.answers[asked.path]
                page = int(parse_qs(asked.query).get("page", ["1"])[0])
                self.answer(status, *paged(body, page, f"{github.url}{asked.path}"))

        def answer(self, status: int, body: Any, headers: dict[str, str]) -> None:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in {**github.headers, **headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    def paged(body: Any, page: int, url: str) -> tuple[Any, dict[str, str]]:
        key = next((name for name in body if isinstance(body[name], list)), None) if isinstance(body, dict) else None
        items = body[key] if key else body
        if not isinstance(items, list) or len(items) <= github.page:
            return body, {}
        part = items[(page - 1) * github.page : page * github.page]
        more = {"Link": f'<{url}?page={page + 1}>; rel="next"'} if page * github.page < len(items) else {}
        return ({**body, key: part} if key else part), more

    with listening(Handler) as port:
        github.url = f"http://127.0.0.1:{port}"
        yield github
