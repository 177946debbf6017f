"""By HTTP: WebDAV where the server says that it speaks it, else plain PUT. One connection for one pass.

With WebDAV a file is put under another name and moved, so that it is never seen half. A server that only knows PUT gets
it under its name: that it drops what did not come whole is its duty (RFC 9110, 9.3.4), and facts carry their picture's
SHA-256 for whoever reads. Then HEAD must tell the right size, where the server answers it.
"""

import base64
import http.client
import re
import socket
import ssl
import threading
from contextlib import contextmanager, suppress
from typing import Any, Dict, Iterator, List, NamedTuple, Optional

from runners.agent.upload.delivery import (
    ANSWER_S,
    Delivery,
    Group,
    Item,
    Undelivered,
    beside,
    blocks,
    folders_of,
    limit_s,
)  # fmt: skip
from runners.agent.upload.inbox_url import Inbox
from runners.edge.bell import Bell

MOST_ANSWER = 1 << 16  # bytes of an answer that are read to use the connection again


class Answer(NamedTuple):
    """An answer's status and headers, with small names."""

    status: int
    reason: str
    headers: Dict[str, str]

    @property
    def is_good(self) -> bool:
        """Whether it did what it was asked to; a redirect is no deed."""
        return 200 <= self.status < 300

    @property
    def shown(self) -> str:
        """For a message."""
        said = "{} {}".format(self.status, self.reason[:80]).strip()
        return said + "; see `login` in the configuration" if self.status in (401, 403) else said


class OverHttp(Delivery):
    """The connection is opened when it is needed, and anew after trouble."""

    def __init__(self, inbox: Inbox) -> None:
        super().__init__(inbox)
        self._connection = None  # type: Optional[http.client.HTTPConnection]
        self._speaks_dav = None  # type: Optional[bool]
        self._made = set()  # type: set[str]
        self._headers = _headers(inbox)

    def close(self) -> None:
        """See `Delivery`."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def bring(self, group: Group) -> None:
        """See `Delivery`."""
        try:
            if self._speaks_dav is None:
                self._speaks_dav = "1" in re.split(r"[\s,]+", self._ask("OPTIONS", "").headers.get("dav", ""))
            if self._speaks_dav:
                for folder in folders_of([item.name for item in group]):
                    self._make(folder)
            for item in group:
                self._put(item)
        except socket.timeout:
            self.close()
            raise Undelivered("it takes too long") from None
        except http.client.HTTPException as error:
            self.close()
            raise Undelivered("its answer is none: {}".format(str(error) or type(error).__name__)) from error
        except (Undelivered, OSError):
            self.close()
            raise

    def _make(self, folder: str) -> None:
        if folder not in self._made:
            made = self._ask("MKCOL", folder)
            if not made.is_good and made.status != 405:  # it is there already
                raise Undelivered("folder {}: {}".format(folder, made.shown))
            self._made.add(folder)

    def _put(self, item: Item) -> None:
        name = beside(item.name) if self._speaks_dav else item.name
        try:
            put = self._ask("PUT", name, item)
            if not put.is_good:
                raise Undelivered("{}: {}".format(item.name, put.shown))
            if self._speaks_dav:
                to = {"Destination": self._url(item.name), "Overwrite": "T"}
                moved = self._ask("MOVE", name, headers=to)
                if not moved.is_good:
                    raise Undelivered("{}: it could not be moved to its name: {}".format(item.name, moved.shown))
        except (Undelivered, OSError, http.client.HTTPException):
            self.close()
            if self._speaks_dav:
                with suppress(Undelivered, OSError, http.client.HTTPException):
                    self._ask("DELETE", name)
            raise
        there = self._ask("HEAD", item.name)
        size = there.headers.get("content-length", str(item.size))
        if there.status in (404, 410) or (there.is_good and size != str(item.size)):
            raise Undelivered("{}: it is not there as it was sent".format(item.name))

    def _ask(self, method: str, name: str, item: Optional[Item] = None, headers: Any = ()) -> Answer:
        """Send one request, with a file if given, and read the answer.

        Raises:
            Undelivered, OSError, HTTPException: there was none in time.
        """
        if self._connection is None:
            self._connection = _connection(self.inbox)
        connection, size = self._connection, item.size if item else 0
        sent = dict(self._headers, **dict(headers))
        sent["Content-Length"] = str(size)
        body = blocks(item, self.inbox.kib_per_second) if item else b""
        with _within(connection, limit_s(self.inbox, size)):
            try:
                connection.request(method, self._path(name), body, sent)
            except (BrokenPipeError, ConnectionResetError):
                if item is None:
                    raise
                # It may have said why before it hung up: too large, no room.
            answer = connection.getresponse()
            content = answer.read(MOST_ANSWER)
            if answer.will_close or len(content) == MOST_ANSWER or not _is_good(answer.status):
                self.close()
        named = {key.lower(): value for key, value in answer.getheaders()}
        return Answer(answer.status, answer.reason, named)

    def _path(self, name: str) -> str:
        return "{}/{}".format(self.inbox.path, name)

    def _url(self, name: str) -> str:
        port = ":{}".format(self.inbox.port) if self.inbox.port else ""
        return "{}://{}{}{}".format(self.inbox.scheme, self.inbox.host, port, self._path(name))


def _is_good(status: int) -> bool:
    return 200 <= status < 300 or status in (404, 405)


def _headers(inbox: Inbox) -> Dict[str, str]:
    found = {"User-Agent": "edgeproof-agent", "Accept-Encoding": "identity"}
    if inbox.login:
        with open(inbox.login, encoding="utf-8") as stream:
            line = stream.readline(1000).strip()
        if not re.fullmatch("[!-~]+|[^:]+:.+", line):
            raise ValueError("login: {} has no USER:PASSWORD and no token in its first line".format(inbox.login))
        basic = "Basic " + base64.b64encode(line.encode("utf-8")).decode("ascii")
        found["Authorization"] = basic if re.fullmatch("[^:]+:.+", line) else "Bearer " + line
    return found


def _connection(inbox: Inbox) -> http.client.HTTPConnection:
    host = inbox.host.strip("[]")
    if inbox.scheme == "http":
        return http.client.HTTPConnection(host, inbox.port or 80, timeout=ANSWER_S)
    context = ssl.create_default_context(cafile=inbox.authority)
    return http.client.HTTPSConnection(host, inbox.port or 443, timeout=ANSWER_S, context=context)


@contextmanager
def _within(connection: http.client.HTTPConnection, seconds: float) -> Iterator[None]:
    """Give up what is done on a connection after so long: its time-out begins anew with every byte that comes."""
    done = Bell()
    is_late: List[bool] = []

    def watch() -> None:
        if not done.wait(seconds):
            is_late.append(True)
            with suppress(OSError, AttributeError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    watcher = threading.Thread(target=watch, name="time limit", daemon=True)
    watcher.start()
    try:
        yield
    except (OSError, http.client.HTTPException):
        if is_late:
            raise Undelivered("it takes too long") from None
        raise
    finally:
        done.ring()
        watcher.join()
