"""Where a device sends to: the key `inbox` of the agent's configuration, a URL or an object.

"inbox": "file:///media/stick/inbox"
"inbox": {"url": "sftp://camera-17@example.org/inbox", "key": "/etc/edgeproof/inbox", "known_hosts": "..."}
"""

import os
import re
from typing import Any, NamedTuple, Optional
from urllib.parse import urlsplit

from runners.contract import records

PATH = re.compile(r"(/[\w.+~-]+)*/?", re.ASCII)  # needs quoting nowhere: not for sftp, not in a URL
HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\]", re.ASCII)
USER = re.compile(r"[\w.+-]*", re.ASCII)
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Inbox(NamedTuple):
    """`scheme` is file, sftp, http or https; `path` is absolute, without a slash at its end.

    For SFTP `key` is the file of the private key and `known_hosts` that of the server's. For HTTP `login` is a file
    with one line `USER:PASSWORD` or a token, `authority` a file of the certificates to trust (default: the system's).
    `kib_per_second` bounds the line's use.
    """

    scheme: str
    host: str
    port: Optional[int]
    user: str
    path: str
    key: Optional[str] = None
    known_hosts: Optional[str] = None
    login: Optional[str] = None
    authority: Optional[str] = None
    kib_per_second: Optional[int] = None

    @property
    def shown(self) -> str:
        """Its URL, without a user."""
        return "{}://{}{}{}".format(self.scheme, self.host, ":{}".format(self.port) if self.port else "", self.path)


def parse(given: Any) -> Inbox:
    """What the configuration says.

    Raises:
        ValueError: it says what cannot be; the message is one line.
    """
    nothing = type(None)
    kinds = {"url": str, "kib_per_second": (int, nothing)}  # type: Any
    kinds.update(dict.fromkeys(("key", "known_hosts", "login", "authority"), (str, nothing)))
    content = {"url": given} if isinstance(given, str) else given
    try:
        unknown = sorted(set(content) - set(kinds)) if isinstance(content, dict) else []
        if unknown:
            raise ValueError("{} is no key of it; there are {}".format(unknown[0], ", ".join(kinds)))
        content = dict(dict.fromkeys(kinds), **content) if isinstance(content, dict) else content
        found = records.checked(content, kinds)
        return _checked(found.pop("url"), found)
    except ValueError as error:
        raise ValueError("inbox: {}".format(error)) from error


def _checked(url: str, others: Any) -> Inbox:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        raise ValueError("the port of its URL is none") from None
    host = parts.netloc.rpartition("@")[2].partition("]")[0] + "]" if "[" in parts.netloc else parts.hostname or ""
    found = Inbox(parts.scheme, host, port, parts.username or "", parts.path.rstrip("/"), **others)
    if found.scheme not in ("file", "sftp", "http", "https"):
        raise ValueError("give a URL that starts with sftp://, https://, http:// or file://")
    if not PATH.fullmatch(found.path) or ".." in found.path.split("/") or parts.query or parts.fragment:
        raise ValueError("the path of its URL may have letters, digits and _.+~- only")
    if parts.password:
        raise ValueError("write no password into its URL; HTTP has `login`, SFTP has `key`")
    if found.scheme == "file":
        if found.host or not found.path:
            raise ValueError("give file:///FOLDER")
    elif not HOST.fullmatch(found.host) or not USER.fullmatch(found.user) or found.user.startswith("-"):
        raise ValueError("its URL names no host, or no user that can be one")
    if found.scheme == "sftp" and not (found.key and found.known_hosts):
        raise ValueError("for sftp:// give `key` and `known_hosts`, two files")
    if found.scheme == "http" and found.login and found.host.strip("[]") not in LOOPBACK:
        raise ValueError("with `login` the URL must be https://: else everybody on the way could read it")
    for name in ("key", "known_hosts", "login", "authority"):
        file = getattr(found, name)
        if file and not os.path.isfile(file):
            raise ValueError("{}: {} is missing".format(name, file))
    if found.kib_per_second is not None and found.kib_per_second < 1:
        raise ValueError("kib_per_second: give at least 1")
    return found
