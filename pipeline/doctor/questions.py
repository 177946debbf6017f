"""What GitHub is asked about a repository: https://docs.github.com/rest. Reads only, and what it cannot read it says.

An answer of another form than the documented one is no answer: each is read into a type.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from http import HTTPStatus
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from pipeline.doctor.finding import Unasked
from pipeline.system.github_api import API, ApiError, GitHub

Form = TypeVar("Form")
ATTEMPTS = 3
LONGEST_WAIT_S = 30.0  # for a rate limit; who waits longer is told the time
EXPIRES = "GitHub-Authentication-Token-Expiration"


@dataclass
class Questions:
    """Questions about one repository (OWNER/NAME) with one token, where there are both.

    `expires` is when the token does, as the last answer said. A server that does not answer, or takes no more
    questions, is not asked again.
    """

    repository: str | None
    token: str | None = field(repr=False)
    base: str = API
    server: str = "https://github.com"
    expires: datetime | None = None
    _silent: Unasked | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.server = self.server.rstrip("/")
        self._github = GitHub(self.repository, self.token, self.base) if self.repository and self.token else None

    def settings(self, page: str) -> str:
        """The address of a page of the repository's settings."""
        return f"{self.server}/{self.repository}/settings/{page}"

    def get(self, path: str, form: type[Form], needs: str, **query: int) -> Form:
        """The answer to GET `path`, which is below the repository's unless it begins with a slash.

        Raises:
            Unasked: it cannot be had; where the token may be the cause, with the permission `needs`.
        """
        place = path or f"/repos/{self.repository}"
        found: Form = _read(self._ask(lambda github: github.get(place, **query), place, needs), form, place)
        return found

    def every(self, path: str, key: str, form: type[Form], needs: str, **query: str) -> list[Form]:
        """All items of an answer in pages, each a list under `key`.

        Raises:
            Unasked: see `get`.
        """
        asked = self._ask(lambda github: list(github.pages(path, key, **query)), path, needs)
        return [_read(item, form, path) for item in asked]

    def _ask(self, question: Callable[[GitHub], Any], path: str, needs: str) -> Any:
        if self.repository is None:
            raise Unasked(
                "this folder has no repository on GitHub",
                "git remote add origin https://github.com/OWNER/NAME.git (or set GITHUB_REPOSITORY to OWNER/NAME)",
            )
        if self._github is None:
            raise Unasked("no token was given", f"{_a_token(needs)}, in GITHUB_TOKEN or a file that --token-file names")
        for _ in range(ATTEMPTS):
            if self._silent:
                break
            try:
                return question(self._github)
            except ApiError as error:
                self._pause(error, path, needs)
            except (LookupError, TypeError) as error:  # of an answer that is no list of that key
                raise _other_form(path, type(error).__name__) from error
            finally:
                self._note_expiry(self._github)
        raise self._silent or Unasked("GitHub's rate limit does not end", "run it again later")

    def _pause(self, error: ApiError, path: str, needs: str) -> None:
        """Wait where GitHub says that a while will help; or else say what it takes."""
        status = error.status
        wait_s = self._wait_s(status)
        if wait_s is not None and wait_s <= LONGEST_WAIT_S:
            time.sleep(wait_s)
        elif wait_s is not None:
            again = datetime.fromtimestamp(time.time() + wait_s, timezone.utc)
            self._silent = Unasked(
                "GitHub's rate limit for this token is used up", f"run it again after {again:%H:%M:%S} UTC"
            )
        elif status == 0 or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self._silent = Unasked(str(error), "look at the network and at GITHUB_API_URL, and run it again")
        elif status == HTTPStatus.OK:
            raise _other_form(path, "no JSON") from error
        elif status == HTTPStatus.UNAUTHORIZED:
            raise Unasked("GitHub does not take the token: it has expired or was revoked", _a_token(needs)) from error
        else:
            fix = f"the token needs {needs}" if status in (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND) else ""
            raise Unasked(f"GitHub answers {status} to GET {path}", fix) from error

    def _wait_s(self, status: int) -> float | None:
        """How long a rate limit asks to wait (None: it is another refusal).

        https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api
        """
        if self._github is None or status not in (HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS):
            return None
        headers = self._github.headers
        if (after := headers.get("Retry-After", "")).isdecimal():
            return float(after)
        if headers.get("X-RateLimit-Remaining") == "0":
            reset = headers.get("X-RateLimit-Reset", "")
            return max(0.0, float(reset) - time.time()) if reset.isdecimal() else 60.0
        return 60.0 if status == HTTPStatus.TOO_MANY_REQUESTS else None

    def _note_expiry(self, github: GitHub) -> None:
        """Such as `2026-12-24 09:00:00 UTC`; the zone may be an offset too."""
        found = re.match(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d) (UTC|[+-]\d{4})$", github.headers.get(EXPIRES, ""))
        if found:
            zone = "+0000" if found[3] == "UTC" else found[3]
            self.expires = datetime.strptime(f"{found[1]} {found[2]} {zone}", "%Y-%m-%d %H:%M:%S %z")


def _read(answer: Any, form: type[Any], path: str) -> Any:
    try:
        return TypeAdapter(form).validate_python(answer)
    except ValidationError as error:
        raise _other_form(path, error.errors()[0]["msg"]) from error


def _other_form(path: str, fault: str) -> Unasked:
    return Unasked(f"GitHub's answer to GET {path} has another form than documented ({fault})")


def _a_token(needs: str) -> str:
    return f"make a fine-grained token for this repository with {needs}"
