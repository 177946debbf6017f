"""Questions to GitHub's REST API: https://docs.github.com/rest. Reads only, and what it cannot read it says.

An answer of another form than the documented one is no answer: each is read into a type.
"""

import re
import time
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
from pydantic import TypeAdapter, ValidationError, create_model

from pipeline.doctor.finding import Unasked
from pipeline.system.errors import InputError

Form = TypeVar("Form")
VERSION = "2022-11-28"
TIMEOUT_S = (5.0, 20.0)  # to connect, and between two pieces of an answer
LONGEST_WAIT_S = 30.0  # for a rate limit; who waits longer is told the time
ATTEMPTS = 3
PAUSE_S = 0.5  # before it is asked again
PAGE = 100  # the most that a page holds
MOST_PAGES = 50
EXPIRES = "GitHub-Authentication-Token-Expiration"


class _Bearer(requests.auth.AuthBase):
    """The token in the header. Without an `auth` of its own, `requests` would take one out of a ~/.netrc."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


@dataclass
class GitHub:
    """The API at `base`, asked about one repository (OWNER/NAME) with one token.

    `expires` is when the token does, as its last answer said. A server that does not answer, or takes no more
    questions, is not asked again.
    """

    repository: str | None
    token: str | None = field(repr=False)
    base: str = "https://api.github.com"
    server: str = "https://github.com"
    expires: datetime | None = None
    _silent: Unasked | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        place = urlsplit(self.base)
        if place.scheme != "https" and place.hostname not in ("127.0.0.1", "::1", "localhost"):
            raise InputError(f"GITHUB_API_URL: {self.base!r} is no https:// address, and would get the token in clear")
        self.base = self.base.rstrip("/")
        self.server = self.server.rstrip("/")

    def settings(self, page: str) -> str:
        """The address of a page of the repository's settings."""
        return f"{self.server}/{self.repository}/settings/{page}"

    def get(self, path: str, form: type[Form], needs: str, **query: str) -> Form:
        """The answer to GET `path`, which is below the repository's unless it begins with a slash.

        Raises:
            Unasked: it cannot be had; where the token may be the cause, with the permission `needs`.
        """
        answer: Form = self._read(self._ask(self._address(path), needs, query), form, path)
        return answer

    def every(self, path: str, key: str, form: type[Form], needs: str, **query: str) -> list[Form]:
        """All items of an answer in pages, each a list under `key`.

        Raises:
            Unasked: see `get`.
        """
        page: Any = create_model("Page", **{key: (list[form], ...)})  # type: ignore[call-overload, valid-type]
        items: list[Form] = []
        address, asked = self._address(path), {"per_page": str(PAGE), **query}
        for _ in range(MOST_PAGES):
            answer = self._ask(address, needs, asked)
            items += getattr(self._read(answer, page, path), key)
            if not (following := answer.links.get("next", {}).get("url")):
                return items
            if not following.startswith(f"{self.base}/"):
                raise Unasked(f"GitHub's answer to {path} goes on at another place ({following})")
            address, asked = following, {}  # which holds the query
        raise Unasked(f"GitHub's answer to {path} has more than {MOST_PAGES} pages")

    def _address(self, path: str) -> str:
        if self.repository is None:
            raise Unasked(
                "this folder has no repository on GitHub",
                "git remote add origin https://github.com/OWNER/NAME.git (or set GITHUB_REPOSITORY to OWNER/NAME)",
            )
        if path.startswith("/"):
            return self.base + path
        return f"{self.base}/repos/{self.repository}/{path}".rstrip("/")

    def _ask(self, address: str, needs: str, query: dict[str, str]) -> requests.Response:
        if self.token is None:
            raise Unasked("no token was given", f"{_a_token(needs)}, in GITHUB_TOKEN or a file that --token-file names")
        if self._silent:
            raise self._silent
        try:
            answer = self._answer(address, self.token, query)
        except Unasked as error:
            self._silent = error
            raise
        path = urlsplit(address).path
        self._note_expiry(answer)
        if answer.status_code == requests.codes.unauthorized:
            raise Unasked("GitHub does not take the token: it has expired or was revoked", _a_token(needs))
        if answer.status_code in (requests.codes.forbidden, requests.codes.not_found):
            raise Unasked(f"GitHub answers {answer.status_code} to GET {path}", f"the token needs {needs}")
        if answer.status_code != requests.codes.ok:
            raise Unasked(f"GitHub answers {answer.status_code} to GET {path}")
        return answer

    def _answer(self, address: str, token: str, query: dict[str, str]) -> requests.Response:
        """What GitHub says when it is asked up to three times."""
        headers = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": VERSION}
        for attempt in range(1, ATTEMPTS + 1):
            try:
                answer = requests.get(address, params=query, auth=_Bearer(token), headers=headers, timeout=TIMEOUT_S)
            except requests.RequestException as error:
                reason = f"{urlsplit(address).netloc} does not answer ({type(error).__name__})"
                wait_s, refusal = PAUSE_S, Unasked(reason, "look at the network and at GITHUB_API_URL")
            else:
                found = _wait_s(answer)
                if found is None:
                    return answer
                wait_s, refusal = found, _not_now(answer, found)
            if attempt == ATTEMPTS or wait_s > LONGEST_WAIT_S:
                raise refusal
            time.sleep(wait_s)
        raise AssertionError("the last attempt returns or raises")

    def _read(self, answer: requests.Response, form: type[Any], path: str) -> Any:
        try:
            return TypeAdapter(form).validate_python(answer.json())
        except ValueError as error:  # it is no JSON, or another form
            fault = error.errors()[0]["msg"] if isinstance(error, ValidationError) else type(error).__name__
            asked = path or "the question for the repository"
            raise Unasked(f"GitHub's answer to {asked} has another form than documented ({fault})") from error

    def _note_expiry(self, answer: requests.Response) -> None:
        """Such as `2026-12-24 09:00:00 UTC`; the zone may be an offset too."""
        found = re.match(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d) (UTC|[+-]\d{4})$", answer.headers.get(EXPIRES, ""))
        if found:
            zone = "+0000" if found[3] == "UTC" else found[3]
            self.expires = datetime.strptime(f"{found[1]} {found[2]} {zone}", "%Y-%m-%d %H:%M:%S %z")


def _a_token(needs: str) -> str:
    return f"make a fine-grained token for this repository with {needs}"


def _wait_s(answer: requests.Response) -> float | None:
    """How long to wait before asking again, or None where this is the answer.

    Rate limits: https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api
    """
    if answer.status_code >= 500:
        return PAUSE_S
    if answer.status_code not in (requests.codes.forbidden, requests.codes.too_many_requests):
        return None
    if (after := answer.headers.get("Retry-After", "")).isdecimal():
        return float(after)
    if answer.headers.get("X-RateLimit-Remaining") == "0":
        reset = answer.headers.get("X-RateLimit-Reset", "")
        return max(0.0, float(reset) - time.time()) if reset.isdecimal() else 60.0
    return 60.0 if answer.status_code == requests.codes.too_many_requests else None


def _not_now(answer: requests.Response, wait_s: float) -> Unasked:
    if answer.status_code >= 500:
        return Unasked(f"GitHub answers {answer.status_code}", "run it again later")
    again = datetime.fromtimestamp(time.time() + wait_s, timezone.utc)
    return Unasked("GitHub's rate limit for this token is used up", f"run it again after {again:%H:%M:%S} UTC")
