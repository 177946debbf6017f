"""GitHub's API on this machine's loopback, as strict as GitHub: what it would refuse, it refuses and remembers.

Files lie at another host, as GitHub's do, which refuses whoever shows it a token. Written from the documentation of the
REST API (https://docs.github.com/rest), version 2022-11-28. Where GitHub overlooks a parameter that it does not know,
this does not.
"""

import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import partial
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from tests.loopback import listening

BOT = "github-actions[bot]"
REPOSITORY, TOKEN, LAB = "acme/cameras", "ghs_secretOfThisJob", "github_pat_mayReadSettings"
GROUPS = "/orgs/acme/actions/runner-groups"
MOST_TITLE, MOST_BODY = 256, 65_536
STORED = "localhost"  # the files' host; the API is 127.0.0.1
JSON, RAW = "application/vnd.github+json", "application/vnd.github.raw+json"
HEADERS = {"X-GitHub-Api-Version": "2022-11-28", "User-Agent": "edgeproof"}
ANY = {"per_page", "page", "visible_to_repository"}  # parameters of a question whose answer was given
ROUTES: list[tuple[str, str, set[str], str, Callable[..., Any]]] = []


def ago(**time: float) -> str:
    """A time in the past as GitHub writes it."""
    return f"{datetime.now(timezone.utc) - timedelta(**time):%Y-%m-%dT%H:%M:%SZ}"


def packed(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An artifact, as GitHub hands it out."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def runner(name: str, *labels: str, status: str = "online", version: str | None = "2.335.1") -> dict[str, Any]:
    """A runner as a list of runners holds it."""
    named = [{"id": number, "name": label, "type": "custom"} for number, label in enumerate(labels)]
    told = {} if version is None else {"version": version}
    return {"id": 23, "name": name, "os": "linux", "status": status, "busy": False, "labels": named, **told}


def group(number: int, *, public: bool = False, restricted: bool = False) -> dict[str, Any]:
    """A runner group of the organization."""
    return {
        "id": number, "name": f"group-{number}", "visibility": "selected", "default": number == 1, "inherited": False,
        "runners_url": f"https://api.github.com{GROUPS}/{number}/runners", "allows_public_repositories": public,
        "restricted_to_workflows": restricted, "selected_workflows": [], "workflow_restrictions_read_only": False,
    }  # fmt: skip


def environment(name: str = "device-lab", *, reviewers: int = 1, self_review: bool = False) -> dict[str, Any]:
    """An environment for chosen branches, with a rule for reviewers where it has some."""
    person = {"type": "User", "reviewer": {"login": "octocat", "id": 1, "type": "User"}}
    reviewed = {"type": "required_reviewers", "prevent_self_review": not self_review, "reviewers": [person] * reviewers}
    rules = [{"id": 3756, "type": "branch_policy"}, *([{"id": 3755, **reviewed}] if reviewers else [])]
    branches = {"protected_branches": False, "custom_branch_policies": True}
    return {"id": 161088068, "name": name, "protection_rules": rules, "deployment_branch_policy": branches}


def workflow(name: str, state: str = "active", number: int = 7, created_at: str = "2026-01-05T08:00:00Z") -> Any:
    """A workflow as GitHub lists it."""
    path = f".github/workflows/{name}.yml"
    return {"id": number, "name": name, "path": path, "state": state, "created_at": created_at}


def below(path: str) -> str:
    """A path that begins without a slash is the repository's."""
    return path if path.startswith("/") else f"/repos/{REPOSITORY}/{path}".rstrip("/")


def route(method: str, path: str, *queries: str, accept: str = JSON) -> Callable[[Callable[..., Any]], Any]:
    """A method of FakeGitHub answers at a path below the repository's, and knows these parameters beside a page's."""

    def register(answer: Callable[..., Any]) -> Callable[..., Any]:
        pattern = rf"/repos/{re.escape(REPOSITORY)}/{path}"
        ROUTES.append((method, pattern, {"per_page", "page", *queries}, accept, answer))
        return answer

    return register


NOT_FOUND = 404, {"message": "Not Found"}


def unprocessable(what: str) -> tuple[int, dict[str, str]]:
    return 422, {"message": f"Validation Failed: {what}"}


@dataclass
class FakeGitHub:
    """What the repository holds. `faults` are requests that GitHub would not have taken, `calls` all of them.

    `answers` are what certain paths answer whatever the repository holds: a status, and a body or what makes one. Those
    in `reserved` a job's own token may not see. `tokens` are those of the calls.
    """

    pulls: list[dict[str, Any]] = field(default_factory=list)
    issues: list[dict[str, Any]] = field(default_factory=list)
    comments: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    workflows: list[dict[str, Any]] = field(default_factory=lambda: [workflow("pr"), workflow("nightly", number=8)])
    runs: list[dict[str, Any]] = field(default_factory=list)
    jobs: dict[int, list[dict[str, Any]]] = field(default_factory=dict)  # by run
    artifacts: dict[int, dict[str, Any]] = field(default_factory=dict)  # by number, as listed; with the content
    branches: dict[str, str] = field(default_factory=dict)
    commits: dict[str, dict[str, Any]] = field(default_factory=dict)
    trees: dict[str, dict[str, str]] = field(default_factory=dict)
    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)  # of every answer
    reserved: set[str] = field(default_factory=set)
    first: list[tuple[int, dict[str, str]]] = field(default_factory=list)  # statuses and headers before any answer
    most_per_page: int = 100
    dispatched: list[tuple[str, str]] = field(default_factory=list)  # workflow and branch
    calls: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    port: int = 0

    def __post_init__(self) -> None:
        owner = {"login": "acme", "id": 1, "type": "Organization"}
        facts = {"id": 8, "name": "cameras", "full_name": REPOSITORY, "private": False, "owner": owner}
        self.answer("", {**facts, "default_branch": "main", "pushed_at": ago(days=2)})
        self.answer(
            "actions/permissions/fork-pr-contributor-approval", {"approval_policy": "all_external_contributors"}
        )
        permissions = {"default_workflow_permissions": "read", "can_approve_pull_request_reviews": False}
        self.answer("actions/permissions/workflow", permissions)
        self.answer("environments", {"total_count": 1, "environments": [environment()]})
        self.answer("actions/runners", {"total_count": 1, "runners": [runner("atom-1-6a", "self-hosted", "atom")]})
        self.answer(GROUPS, {"total_count": 1, "runner_groups": [group(1)]})
        self.answer(f"{GROUPS}/1/runners", {"total_count": 0, "runners": []})
        releases = [("v2.335.1", 3), ("v2.335.0", 20), ("v2.334.0", 50), ("v2.330.0", 200)]
        told = {"id": 1, "draft": False, "prerelease": False}
        listed = [{**told, "tag_name": tag, "published_at": ago(days=days)} for tag, days in releases]
        self.answer("/repos/actions/runner/releases", listed)

    @property
    def url(self) -> str:
        """The API's root."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def facts(self) -> dict[str, Any]:
        """What it says of the repository itself."""
        found: dict[str, Any] = self.answers[f"/repos/{REPOSITORY}"][1]
        return found

    @property
    def written(self) -> list[str]:
        """The calls that change something."""
        return [call.replace(f"/repos/{REPOSITORY}/", "") for call in self.calls if not call.startswith("GET ")]

    def answer(self, path: str, body: Any, status: int = 200) -> None:
        """Answer so from now on; paths are below the repository's unless they begin with a slash."""
        self.answers[below(path)] = (status, body)

    def say(self, number: int, body: str, login: str = BOT) -> None:
        """Somebody comments on an issue or a pull request."""
        made = [comment["id"] for comments in self.comments.values() for comment in comments]
        comment = {"id": max(made, default=100) + 1, "user": {"login": login}, "body": body}
        self.comments.setdefault(number, []).append(comment)

    def open(self, title: str, body: str | None, login: str = BOT) -> dict[str, Any]:
        """Somebody opens an issue."""
        number = max((one["number"] for one in [*self.issues, *self.pulls]), default=0) + 1
        told = {"title": title, "body": body, "state": "open", "state_reason": None, "user": {"login": login}}
        self.issues.insert(0, {"number": number, **told})
        return self.issues[0]

    def upload(self, run: int, name: str, content: bytes, created_at: str = "2026-11-26T12:00:00Z") -> int:
        """A run uploads an artifact; its number."""
        number = 7000 + len(self.artifacts)
        listed = {"id": number, "name": name, "expired": False, "created_at": created_at, "workflow_run": {"id": run}}
        self.artifacts[number] = {**listed, "size_in_bytes": len(content), "content": content}
        return number

    # What a route answers: a status and a body, or a status and where to go instead.

    @route("GET", "pulls", "state", "head")
    def _pulls(self, query: dict[str, str]) -> Any:
        state, head = query.get("state", "open"), query.get("head")
        return 200, [
            pull
            for pull in self.pulls
            if pull["state"] == state and head in (None, f"{pull['head']['user']['login']}:{pull['head']['ref']}")
        ]

    @route("GET", "issues", "state")
    def _issues(self, query: dict[str, str]) -> Any:
        """Pull requests are issues too, with a key of their own."""
        pulls = [{**pull, "pull_request": {}, "body": None, "user": {"login": BOT}} for pull in self.pulls]
        state = query.get("state", "open")
        return 200, [one for one in [*pulls, *self.issues] if state in ("all", one["state"])]

    @route("POST", "issues")
    def _open(self, body: dict[str, Any]) -> Any:
        if "title" not in body or (wrong := self._wrong(body)):
            return unprocessable("title" if "title" not in body else wrong)
        return 201, self.open(body["title"], body.get("body"))

    @route("PATCH", r"issues/(\d+)")
    def _change(self, body: dict[str, Any], number: str) -> Any:
        if wrong := self._wrong(body):
            return unprocessable(wrong)
        for issue in self.issues:
            if issue["number"] == int(number):
                issue.update(body)
                return 200, issue
        return NOT_FOUND

    def _wrong(self, body: dict[str, Any]) -> str:
        """The field of an issue that GitHub would not take."""
        limits = {"title": MOST_TITLE, "body": MOST_BODY}
        for name, value in body.items():
            if name in limits:
                if not isinstance(value, str) or len(value) > limits[name] or (name == "title" and not value.strip()):
                    return name
            elif value not in {"state": ("open", "closed"), "state_reason": ("completed", "not_planned")}.get(name, ()):
                return name
        return ""

    @route("POST", "pulls")
    def _propose(self, body: dict[str, Any]) -> Any:
        if not {"title", "head", "base", "body"} <= set(body) or body["head"] not in self.branches:
            return unprocessable("head")
        number = 1 + max((pull["number"] for pull in self.pulls), default=0)
        self.pulls.append({**body, "number": number, "state": "open", "html_url": f"https://github.com/pull/{number}"})
        return 201, self.pulls[-1]

    @route("POST", r"actions/workflows/([\w.-]+)/dispatches")
    def _dispatch(self, body: dict[str, Any], workflow: str) -> Any:
        if body.get("ref") not in self.branches:
            return unprocessable(f"No ref found for: {body.get('ref')}")
        self.dispatched.append((workflow, body["ref"]))
        return 204, b""

    @route("GET", r"git/commits/(\w+)")
    def _get_commit(self, query: dict[str, str], sha: str) -> Any:
        if sha not in self.commits:
            return NOT_FOUND
        return 200, {"sha": sha, "tree": {"sha": self.commits[sha]["tree"]}}

    @route("GET", r"issues/(\d+)/comments")
    def _list_comments(self, query: dict[str, str], number: str) -> Any:
        return 200, self.comments.get(int(number), [])

    @route("POST", r"issues/(\d+)/comments")
    def _comment(self, body: dict[str, Any], number: str) -> Any:
        if not isinstance(body.get("body"), str) or not 0 < len(body["body"]) <= MOST_BODY:
            return unprocessable("body")
        if int(number) not in {one["number"] for one in [*self.pulls, *self.issues]}:
            return NOT_FOUND
        self.say(int(number), body["body"])
        return 201, self.comments[int(number)][-1]

    @route("PATCH", r"issues/comments/(\d+)")
    def _edit(self, body: dict[str, Any], identity: str) -> Any:
        for comment in (comment for comments in self.comments.values() for comment in comments):
            if comment["id"] == int(identity):
                if comment["user"]["login"] != BOT:
                    return 403, {"message": "Resource not accessible by integration"}
                if not isinstance(body.get("body"), str) or not 0 < len(body["body"]) <= MOST_BODY:
                    return unprocessable("body")
                comment["body"] = body["body"]
                return 200, comment
        return NOT_FOUND

    @route("GET", "actions/workflows")
    def _workflows(self, query: dict[str, str]) -> Any:
        return 200, {"total_count": len(self.workflows), "workflows": self.workflows}

    @route("GET", r"actions/workflows/([\w.-]+)")
    def _workflow(self, query: dict[str, str], name: str) -> Any:
        found = [one for one in self.workflows if name in (str(one["id"]), one["path"].rsplit("/", 1)[1])]
        return (200, found[0]) if found else NOT_FOUND

    @route("GET", r"actions/workflows/([\w.-]+)/runs", "branch", "event", "status")
    def _runs(self, query: dict[str, str], name: str) -> Any:
        status, found = self._workflow(query, name)
        if status != 200:
            return status, found
        keys = {"branch": ("head_branch",), "event": ("event",), "status": ("status", "conclusion")}
        runs = [
            run
            for run in self.runs
            if run["workflow_id"] == found["id"]
            and all(query[key] in [run[one] for one in fields] for key, fields in keys.items() if key in query)
        ]
        return 200, {"total_count": len(runs), "workflow_runs": runs}

    @route("GET", r"actions/runs/(\d+)/jobs", "filter")
    def _jobs(self, query: dict[str, str], run: str) -> Any:
        found = self.jobs.get(int(run), [])
        return 200, {"total_count": len(found), "jobs": found}

    @route("GET", r"actions/runs/(\d+)/artifacts", "name")
    def _artifacts(self, query: dict[str, str], run: str) -> Any:
        newest_first = [self.artifacts[number] for number in sorted(self.artifacts, reverse=True)]
        found = [
            {name: value for name, value in one.items() if name != "content"}
            for one in newest_first
            if query.get("name") in (None, one["name"]) and one["workflow_run"]["id"] == int(run)
        ]
        return 200, {"total_count": len(found), "artifacts": found}

    @route("GET", r"actions/artifacts/(\d+)/zip")
    def _zip(self, query: dict[str, str], number: str) -> Any:
        if int(number) not in self.artifacts:
            return NOT_FOUND
        return 302, f"http://{STORED}:{self.port}/stored/{number}?signature=secret"

    @route("GET", r"git/ref/heads/([\w/-]+)")
    def _ref(self, query: dict[str, str], name: str) -> Any:
        if name not in self.branches:
            return NOT_FOUND
        return 200, {"ref": f"refs/heads/{name}", "object": {"type": "commit", "sha": self.branches[name]}}

    @route("GET", r"contents/([\w./-]+)", "ref", accept=RAW)
    def _contents(self, query: dict[str, str], path: str) -> Any:
        commit = self.branches.get(query["ref"], query["ref"])
        content = self.trees.get(self.commits.get(commit, {}).get("tree", ""), {}).get(path)
        return NOT_FOUND if content is None else (200, content.encode())

    @route("POST", "git/trees")
    def _tree(self, body: dict[str, Any]) -> Any:
        if not all({"path", "mode", "type", "content"} == set(one) for one in body["tree"]):
            return unprocessable("Must supply a valid tree.sha or content")
        if (base := body.get("base_tree", "")) and base not in self.trees:
            return unprocessable("base_tree is not a valid tree oid")
        sha = f"{len(self.trees) + 1:040x}"
        self.trees[sha] = self.trees.get(base, {}) | {one["path"]: one["content"] for one in body["tree"]}
        return 201, {"sha": sha}

    @route("POST", "git/commits")
    def _commit(self, body: dict[str, Any]) -> Any:
        if body["tree"] not in self.trees or any(parent not in self.commits for parent in body["parents"]):
            return unprocessable("Tree SHA does not exist")
        sha = f"{len(self.commits) + 1:040x}"
        self.commits[sha] = body
        return 201, {"sha": sha}

    @route("POST", "git/refs")
    def _new_ref(self, body: dict[str, Any]) -> Any:
        name = body["ref"].removeprefix("refs/heads/")
        if name in self.branches:
            return unprocessable("Reference already exists")
        self.branches[name] = body["sha"]
        return 201, {"ref": body["ref"]}

    @route("PATCH", r"git/refs/heads/([\w/-]+)")
    def _move_ref(self, body: dict[str, Any], name: str) -> Any:
        if body.get("force") is not False or self.branches[name] not in self.commits[body["sha"]]["parents"]:
            return unprocessable("Update is not a fast forward")
        self.branches[name] = body["sha"]
        return 200, {"ref": f"refs/heads/{name}"}


@contextmanager
def serving(github: FakeGitHub) -> Iterator[FakeGitHub]:
    """Serve it on a free port of the loopback until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16  # an answer goes out in one piece, or its second one waits for the first to be acknowledged

        def log_message(self, format: str, *arguments: Any) -> None:
            """Nothing: `calls` says it."""

        def do_GET(self) -> None:
            self._serve("GET")

        def do_POST(self) -> None:
            self._serve("POST")

        def do_PATCH(self) -> None:
            self._serve("PATCH")

        def _serve(self, method: str) -> None:
            address = urlsplit(self.path)
            query = {name: values[-1] for name, values in parse_qs(address.query).items()}
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            github.calls.append(f"{method} {address.path}")
            github.tokens.append(token)
            if self.headers["Host"].startswith(STORED):
                self._stored(address.path)
                return
            accept, known, answer = self._found(method, address.path, query if method == "GET" else content)
            wanted = {**HEADERS, "Accept": accept}
            wrong = [name for name, value in wanted.items() if self.headers.get(name) != value]
            wrong += [] if token in (TOKEN, LAB) else ["Authorization"]
            unknown = sorted(query.keys() - known)
            if wrong or unknown or answer is None:
                github.faults.append(f"{method} {self.path}: {wrong} {unknown}")
                self._answer(401 if "Authorization" in wrong else 404, {"message": "Bad request"})
            elif address.path in github.reserved and token != LAB:
                self._answer(403, {"message": "Resource not accessible by integration"})
            elif github.first:
                status, headers = github.first.pop(0)
                self._answer(status, {"message": "You have exceeded a rate limit"}, headers)
            else:
                self._page(*answer(), query)

        def _found(self, method: str, path: str, given: Any) -> tuple[str, set[str], Callable[[], Any] | None]:
            """What it has to be asked for as, with which parameters, and what answers."""
            if method == "GET" and path in github.answers:
                status, body = github.answers[path]
                return JSON, ANY, lambda: (status, body() if callable(body) else body)
            for wanted, pattern, known, accept, answer in ROUTES:
                if wanted == method and (match := re.fullmatch(pattern, path)):
                    asked = given if method == "GET" else json.loads(given)
                    return accept, known, partial(answer, github, asked, *match.groups())
            return JSON, ANY, None

        def _stored(self, path: str) -> None:
            if "Authorization" in self.headers:
                github.faults.append("a token was shown to the host of the files")
                self._answer(401, {})
                return
            self._send(
                200, github.artifacts[int(path.rsplit("/", 1)[1])]["content"], {"Content-Type": "application/zip"}
            )

        def _page(self, status: int, found: Any, query: dict[str, str]) -> None:
            if status == 302:
                self._send(302, b"", {"Location": found})
                return
            key = next((name for name in found if isinstance(found[name], list)), "") if isinstance(found, dict) else ""
            items = found[key] if key and "total_count" in found else found
            if isinstance(found, bytes):
                self._send(status, found, {})
            elif not isinstance(items, list):
                self._answer(status, found)
            else:
                size, page = min(int(query.get("per_page", 30)), github.most_per_page), int(query.get("page", 1))
                shown = items[(page - 1) * size : page * size]
                address = f"{github.url}{urlsplit(self.path).path}?{urlencode({**query, 'page': page + 1})}"
                link = {"Link": f'<{address}>; rel="next"'} if page * size < len(items) else {}
                self._answer(status, {**found, key: shown} if items is not found else shown, link)

        def _answer(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
            self._send(status, json.dumps(body).encode(), {"Content-Type": "application/json", **(headers or {})})

        def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {**github.headers, **headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

    with listening(Handler) as github.port:
        yield github
