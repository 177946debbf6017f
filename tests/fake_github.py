"""GitHub's API on this machine's loopback, as strict as GitHub: what it would refuse, it refuses and remembers.

Files lie at another host, as GitHub's do, which refuses whoever shows it a token. Written from the documentation of the
REST API (https://docs.github.com/rest), version 2022-11-28.
"""

import io
import json
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.loopback import listening

BOT = "github-actions[bot]"
REPOSITORY, TOKEN = "acme/cameras", "ghs_secretOfThisJob"
MOST_COMMENT = 65_536
STORED = "localhost"  # the files' host; the API is 127.0.0.1


def packed(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An artifact, as GitHub hands it out."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


@dataclass
class FakeGitHub:
    """What the repository holds. `faults` are requests that GitHub would not have taken, `calls` all of them."""

    pulls: list[dict[str, Any]] = field(default_factory=list)
    comments: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    runs: list[dict[str, Any]] = field(default_factory=list)
    artifacts: dict[int, tuple[int, str, bytes]] = field(default_factory=dict)  # by number: run, name, content
    branches: dict[str, str] = field(default_factory=dict)
    commits: dict[str, dict[str, Any]] = field(default_factory=dict)
    trees: dict[str, dict[str, str]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    down: int = 0  # so many requests are answered with 503 first
    port: int = 0

    @property
    def url(self) -> str:
        """The API's root."""
        return f"http://127.0.0.1:{self.port}"

    def say(self, number: int, body: str, login: str = BOT) -> None:
        """Somebody comments on an issue or a pull request."""
        made = [comment["id"] for comments in self.comments.values() for comment in comments]
        comment = {"id": max(made, default=100) + 1, "user": {"login": login}, "body": body}
        self.comments.setdefault(number, []).append(comment)

    def upload(self, run: int, name: str, content: bytes) -> int:
        """A run uploads an artifact; its number."""
        number = 7000 + len(self.artifacts)
        self.artifacts[number] = (run, name, content)
        return number

    # What a route answers: a status and a body, or a status and where to go instead.

    def _pulls(self, query: dict[str, str]) -> Any:
        state, head = query.get("state", "open"), query.get("head")
        return 200, [
            pull
            for pull in self.pulls
            if pull["state"] == state and head in (None, f"{pull['head']['user']['login']}:{pull['head']['ref']}")
        ]

    def _list_comments(self, query: dict[str, str], number: str) -> Any:
        return 200, self.comments.get(int(number), [])

    def _comment(self, body: dict[str, Any], number: str) -> Any:
        if not isinstance(body.get("body"), str) or not 0 < len(body["body"]) <= MOST_COMMENT:
            return 422, {"message": "Validation Failed: body"}
        if int(number) not in {pull["number"] for pull in self.pulls}:
            return 404, {"message": "Not Found"}
        self.say(int(number), body["body"])
        return 201, self.comments[int(number)][-1]

    def _edit(self, body: dict[str, Any], identity: str) -> Any:
        for comment in (comment for comments in self.comments.values() for comment in comments):
            if comment["id"] == int(identity):
                if comment["user"]["login"] != BOT:
                    return 403, {"message": "Resource not accessible by integration"}
                if not isinstance(body.get("body"), str) or not 0 < len(body["body"]) <= MOST_COMMENT:
                    return 422, {"message": "Validation Failed: body"}
                comment["body"] = body["body"]
                return 200, comment
        return 404, {"message": "Not Found"}

    def _runs(self, query: dict[str, str], workflow: str) -> Any:
        found = [
            run
            for run in self.runs
            if run["workflow_id"] == int(workflow)
            and all(
                run[name] == query[key] for key, name in (("branch", "head_branch"), ("event", "event")) if key in query
            )
        ]
        return 200, {"total_count": len(found), "workflow_runs": found}

    def _artifacts(self, query: dict[str, str], run: str) -> Any:
        found = [
            {"id": number, "name": name, "expired": False, "size_in_bytes": len(content)}
            for number, (of, name, content) in self.artifacts.items()
            if of == int(run)
        ]
        return 200, {"total_count": len(found), "artifacts": found}

    def _zip(self, query: dict[str, str], number: str) -> Any:
        if int(number) not in self.artifacts:
            return 404, {"message": "Not Found"}
        return 302, f"http://{STORED}:{self.port}/stored/{number}?signature=secret"

    def _ref(self, query: dict[str, str], name: str) -> Any:
        if name not in self.branches:
            return 404, {"message": "Not Found"}
        return 200, {"ref": f"refs/heads/{name}", "object": {"type": "commit", "sha": self.branches[name]}}

    def _contents(self, query: dict[str, str], path: str) -> Any:
        commit = self.branches.get(query["ref"], query["ref"])
        content = self.trees.get(self.commits.get(commit, {}).get("tree", ""), {}).get(path)
        return (404, {"message": "Not Found"}) if content is None else (200, content.encode())

    def _tree(self, body: dict[str, Any]) -> Any:
        if not all({"path", "mode", "type", "content"} == set(one) for one in body["tree"]):
            return 422, {"message": "Must supply a valid tree.sha or content"}
        sha = f"{len(self.trees) + 1:040x}"
        self.trees[sha] = {one["path"]: one["content"] for one in body["tree"]}
        return 201, {"sha": sha}

    def _commit(self, body: dict[str, Any]) -> Any:
        if body["tree"] not in self.trees or any(parent not in self.commits for parent in body["parents"]):
            return 422, {"message": "Tree SHA does not exist"}
        sha = f"{len(self.commits) + 1:040x}"
        self.commits[sha] = body
        return 201, {"sha": sha}

    def _new_ref(self, body: dict[str, Any]) -> Any:
        name = body["ref"].removeprefix("refs/heads/")
        if name in self.branches:
            return 422, {"message": "Reference already exists"}
        self.branches[name] = body["sha"]
        return 201, {"ref": body["ref"]}

    def _move_ref(self, body: dict[str, Any], name: str) -> Any:
        if body.get("force") is not False or self.branches[name] not in self.commits[body["sha"]]["parents"]:
            return 422, {"message": "Update is not a fast forward"}
        self.branches[name] = body["sha"]
        return 200, {"ref": f"refs/heads/{name}"}


BELOW = f"/repos/{re.escape(REPOSITORY)}"
ROUTES = [
    ("GET", rf"{BELOW}/pulls", FakeGitHub._pulls),
    ("GET", rf"{BELOW}/issues/(\d+)/comments", FakeGitHub._list_comments),
    ("POST", rf"{BELOW}/issues/(\d+)/comments", FakeGitHub._comment),
    ("PATCH", rf"{BELOW}/issues/comments/(\d+)", FakeGitHub._edit),
    ("GET", rf"{BELOW}/actions/workflows/(\d+)/runs", FakeGitHub._runs),
    ("GET", rf"{BELOW}/actions/runs/(\d+)/artifacts", FakeGitHub._artifacts),
    ("GET", rf"{BELOW}/actions/artifacts/(\d+)/zip", FakeGitHub._zip),
    ("GET", rf"{BELOW}/git/ref/heads/([\w/-]+)", FakeGitHub._ref),
    ("GET", rf"{BELOW}/contents/([\w./-]+)", FakeGitHub._contents),
    ("POST", rf"{BELOW}/git/trees", FakeGitHub._tree),
    ("POST", rf"{BELOW}/git/commits", FakeGitHub._commit),
    ("POST", rf"{BELOW}/git/refs", FakeGitHub._new_ref),
    ("PATCH", rf"{BELOW}/git/refs/heads/([\w/-]+)", FakeGitHub._move_ref),
]


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
            github.calls.append(f"{method} {address.path}")
            if self.headers["Host"].startswith(STORED):
                self._stored(address.path)
                return
            if fault := self._unlike_github():
                self._fault(fault)
                return
            if github.down:
                github.down -= 1
                self._answer(503, {"message": "No server is currently available"})
                return
            for wanted, pattern, route in ROUTES:
                if wanted == method and (match := re.fullmatch(pattern, address.path)):
                    asked = query if method == "GET" else json.loads(content)
                    self._page(*route(github, asked, *match.groups()), query)
                    return
            self._fault(f"no such place: {method} {self.path}")

        def _unlike_github(self) -> str:
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                return "no token, or another"
            if not self.headers.get("User-Agent") or self.headers.get("X-GitHub-Api-Version") != "2022-11-28":
                return "no user agent, or no version of the API"
            return ""

        def _stored(self, path: str) -> None:
            if "Authorization" in self.headers:
                self._fault("a token was shown to the host of the files")
                return
            self._send(200, github.artifacts[int(path.rsplit("/", 1)[1])][2], {"Content-Type": "application/zip"})

        def _page(self, status: int, found: Any, query: dict[str, str]) -> None:
            items = found if isinstance(found, list) else None
            if isinstance(found, dict) and "total_count" in found:
                [key] = set(found) - {"total_count"}
                items = found[key]
            if status == 302:
                self._send(302, b"", {"Location": found})
            elif isinstance(found, bytes):
                if "raw" not in self.headers.get("Accept", ""):
                    self._fault("a file of the repository was not asked for as it is")
                    return
                self._send(200, found, {})
            elif items is None:
                self._answer(status, found)
            else:
                size, page = min(int(query.get("per_page", 30)), 100), int(query.get("page", 1))
                shown = items[(page - 1) * size : page * size]
                more = {**query, "page": page + 1}
                address = f"{github.url}{urlsplit(self.path).path}?{'&'.join(f'{k}={v}' for k, v in more.items())}"
                link = {"Link": f'<{address}>; rel="next"'} if page * size < len(items) else {}
                self._answer(status, shown if isinstance(found, list) else {**found, key: shown}, link)

        def _fault(self, fault: str) -> None:
            github.faults.append(fault)
            self._answer(401 if "token" in fault else 404, {"message": fault})

        def _answer(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
            self._send(status, json.dumps(body).encode(), {"Content-Type": "application/json", **(headers or {})})

        def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

    with listening(Handler) as github.port:
        yield github
