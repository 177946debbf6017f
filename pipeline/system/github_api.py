"""GitHub's REST API with a token: read, page through, write, and fetch a file of no more than so many bytes.

Paths are below the repository's own (`pulls`), or with a slash in front below the API's root (`/orgs/acme/...`):
https://docs.github.com/rest. The token goes to the API alone: it follows no redirection to another host and no next
page that is elsewhere.
"""

import os
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import SplitResult, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.util.retry import Retry

from pipeline.system.errors import InputError, Missing

API = "https://api.github.com"
TIMEOUT_S = 30
NOT_FOUND = 404
SCHEDULES_END = timedelta(days=60)  # after the last push, in a public repository
# Reads only: what was written may have arrived although the answer did not.
RETRIES = Retry(
    total=3,
    backoff_factor=0.5,
    status_forcelist=(502, 503, 504),
    allowed_methods=("GET",),
    respect_retry_after_header=False,
    raise_on_status=False,
)


class ApiError(InputError):
    """GitHub said no, or nothing; `status` is that of its answer, 0 where there was none."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class TooLarge(InputError):
    """A file has more bytes than were allowed."""


class _Bearer(AuthBase):
    """An `auth` of requests' own: a bare header would give way to a .netrc."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class GitHub:
    """One repository, `OWNER/NAME`, as the holder of a token sees it. `headers` are those of the last answer.

    All methods raise ApiError where GitHub refuses or cannot be reached, and making one raises InputError where the
    API's address would have the token go over the network in clear.
    """

    def __init__(self, repository: str, token: str, api: str = API) -> None:
        place = parts_of(api, "GITHUB_API_URL")
        if place.scheme != "https" and place.hostname not in ("127.0.0.1", "::1", "localhost"):
            raise InputError(f"GITHUB_API_URL: {api!r} is no https:// address, and would get the token in clear")
        self.repository = repository
        self.headers: Mapping[str, str] = {}
        self._api = api.rstrip("/")
        self._session = requests.Session()
        self._session.auth = _Bearer(token)
        self._session.headers.update(
            {
                "Accept": "application/vnd.github+json",
                "X-GitHub-Api-Version": "2022-11-28",
                "User-Agent": "edgeproof",
            }
        )
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=RETRIES))

    @classmethod
    def of_environment(cls, token: str = "GITHUB_TOKEN") -> "GitHub":
        """As a job of GitHub Actions has it: GITHUB_REPOSITORY, GITHUB_API_URL and a token in the variable `token`.

        Raises:
            Missing: the first or the last is not set.
        """
        for name in ("GITHUB_REPOSITORY", token):
            if not os.environ.get(name):
                raise Missing(f"{name} is not set: run this in a job, and give its token to the step by `env:`")
        api = os.environ.get("GITHUB_API_URL") or API
        return cls(os.environ["GITHUB_REPOSITORY"], os.environ[token], api)

    def get(self, path: str, **query: Any) -> Any:
        """The JSON that is there."""
        return _json(self._call("GET", self._url(path), params=query))

    def find(self, path: str, **query: Any) -> Any:
        """The JSON that is there, or None where nothing is."""
        try:
            return self.get(path, **query)
        except ApiError as error:
            if error.status == requests.codes.not_found:
                return None
            raise

    def pages(self, path: str, key: str = "", **query: Any) -> Iterator[Any]:
        """The items of all pages of a list; `key` names it where the pages are objects."""
        url, params = self._url(path), {"per_page": 100, **query}
        while url:
            answer = self._call("GET", url, params=params)
            yield from _json(answer)[key] if key else _json(answer)
            url, params = answer.links.get("next", {}).get("url", ""), {}
            if url and not url.startswith(f"{self._api}/"):
                raise ApiError(f"GitHub: the next page of {path} is said to be at another host")

    def send(self, method: str, path: str, body: dict[str, Any]) -> Any:
        """POST, PATCH or PUT a body; the JSON of the answer."""
        return _json(self._call(method, self._url(path), json=body, allow_redirects=False))

    def start(self, workflow: str, branch: str) -> None:
        """Start a workflow, which has `workflow_dispatch`, on a branch."""
        url = self._url(f"actions/workflows/{workflow}/dispatches")
        self._call("POST", url, json={"ref": branch}, allow_redirects=False)

    def fetch(self, path: str, most_bytes: int, *, raw: bool = False) -> bytes:
        """A file, which GitHub may keep at another host; `raw` asks for one of the repository as it is.

        Raises:
            TooLarge: it has more bytes than that; no more of it is read.
        """
        content, accept = b"", {"Accept": "application/vnd.github.raw+json"} if raw else {}
        with self._call("GET", self._url(path), stream=True, headers=accept) as answer:
            try:
                for chunk in answer.iter_content(1 << 16):
                    content += chunk
                    if len(content) > most_bytes:
                        raise TooLarge(f"larger than {most_bytes:,} bytes")
            except requests.RequestException as error:
                raise ApiError(f"GitHub: {path}: broke off ({type(error).__name__})") from error
        return content

    def _url(self, path: str) -> str:
        return f"{self._api}{path}" if path.startswith("/") else f"{self._api}/repos/{self.repository}/{path}"

    def _call(self, method: str, url: str, **how: Any) -> requests.Response:
        where = f"GitHub: {method} {url.removeprefix(self._api)}"
        try:
            answer = self._session.request(method, url, timeout=TIMEOUT_S, **how)
        except requests.RequestException as error:
            raise ApiError(f"{where}: no answer ({type(error).__name__})") from error
        self.headers = answer.headers
        if not 200 <= answer.status_code < 300:
            raise ApiError(f"{where}: {answer.status_code} {_said(answer)}", answer.status_code)
        return answer


def parts_of(url: str, variable: str) -> SplitResult:
    """The parts of an address that an environment variable holds.

    Raises:
        InputError: it is none.
    """
    try:
        return urlsplit(url)
    except ValueError as error:
        raise InputError(f"{variable}: {url!r} is no address ({error})") from error


def _json(answer: requests.Response) -> Any:
    try:
        return answer.json()
    except ValueError as error:
        raise ApiError(f"GitHub: {answer.url} answers with no JSON", answer.status_code) from error


def _said(answer: requests.Response) -> str:
    """What GitHub says of it, with what is usually the matter."""
    try:
        said = str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        said = str(answer.reason)
    hint = {401: "; is the token a valid one?", 403: "; what may the token do (`permissions:`)?"}
    return f"{said}{hint.get(answer.status_code, '')}"
