"""The inbox that devices send to, wherever it lies: a folder, an SFTP or WebDAV server, a bucket (fsspec).

What is in it is anybody's: only plain files below folders are listed, links and pipes are not followed, and no more of
a file is read than was asked for. Nothing is written; files are removed only where somebody asks for that.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from pipeline.system.errors import BadData, InputError, Missing, plain, shown

PASSWORD = "EDGEPROOF_INBOX_PASSWORD"
PACKAGES = {"sftp": "sshfs", "webdav": "webdav4", "s3": "s3fs"}
CONNECT_S = 30
FIXES = {  # what libraries say, and what to do about it
    "received 401": f"give the user in the address, and the password in {PASSWORD}",
    "Permission denied for user": "the server wants a key in ~/.ssh that it knows",
    "Host key is not trusted": "add the server's key to ~/.ssh/known_hosts",
}
LOST = re.compile(r"broken pipe|connection (lost|not open|reset|closed)", re.IGNORECASE)

# What concerns one file and no other, in words for libraries that have none.
OF_ONE_FILE: dict[type[OSError], str] = {
    FileNotFoundError: "no such file",
    PermissionError: "permission denied",
    IsADirectoryError: "it is a folder",
    NotADirectoryError: "it is no folder",
}


class Listed(NamedTuple):
    """An entry of a folder: its name there, its size in bytes (None where the server does not say), and what it is:
    `file`, `directory` or anything else."""

    name: str
    size: int | None
    kind: str


class Inbox:
    """`place` is a folder, or an URL: sftp://USER@HOST/FOLDER, https://USER@HOST/FOLDER (WebDAV), s3://BUCKET/FOLDER.

    A password is taken from EDGEPROOF_INBOX_PASSWORD, SSH keys and known hosts from where OpenSSH has them, the keys of
    a bucket from where its provider's tools have them.

    Raises:
        InputError: it is no address, there is no such place or nobody answers, or what reaches it is not installed.
    """

    def __init__(self, place: str) -> None:
        try:
            self.place = _without_password(place)
        except ValueError as error:
            raise InputError(f"the inbox's address cannot be read ({error}); name a folder, or a URL") from error
        with self._told():
            self._files, self._root = _opened(place)
        try:
            with self._told():
                if not self._files.isdir(self._root):
                    raise Missing(f"{self.place}: there is no such folder")
        except InputError:
            self.close()
            raise

    def close(self) -> None:
        """Hang up."""
        scheme = urlsplit(self.place).scheme
        if scheme in ("http", "https"):
            self._files.client.http.close()
        elif scheme in ("sftp", "ssh"):
            from fsspec.asyn import sync

            self._files.loop.call_soon_threadsafe(self._files.client.close)
            sync(self._files.loop, self._files.client.wait_closed, timeout=CONNECT_S)

    def __enter__(self) -> "Inbox":
        return self

    def __exit__(self, *about: object) -> None:
        self.close()

    def entries(self, folder: str) -> list[Listed]:
        """What is in a folder below the inbox, sorted by name; nothing where there is no such folder.

        Raises:
            BadData: it may not be listed.
            InputError: the server does not answer.
        """
        with self._told():
            try:
                found = self._files.ls(self._path(folder), detail=True)
            except FileNotFoundError:
                return []
        here = self._path(folder).strip("/")  # which some buckets list too
        return sorted(
            Listed(_last(one["name"]), one.get("size"), "link" if one.get("islink") else str(one["type"]))
            for one in found
            if one["name"].strip("/") != here
        )

    def read(self, file: str, most: int) -> bytes:
        """At most `most` bytes of a file from its start on.

        Raises:
            BadData: it is gone by now, or may not be read.
            InputError: the server does not answer.
        """
        with self._told(), self._files.open(self._path(file), "rb") as stream:
            content = bytearray()
            while len(content) < most and (block := stream.read(most - len(content))):
                content += block
            return bytes(content)

    def remove(self, file: str) -> None:
        """Delete a file; one that is gone already is no error.

        Raises:
            InputError: it may not be deleted, or the server does not answer.
        """
        with self._told():
            try:
                self._files.rm_file(self._path(file))
            except FileNotFoundError:
                return

    def _path(self, below: str) -> str:
        return f"{self._root.rstrip('/')}/{below}" if self._root else below

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn what libraries raise, each in its own way, into one line."""
        try:
            yield
        except InputError:
            raise
        except tuple(OF_ONE_FILE) as error:
            said = error.strerror or next(words for kind, words in OF_ONE_FILE.items() if isinstance(error, kind))
            raise BadData(f"{self.place}: cannot be read ({said})") from error
        except ImportError as error:
            scheme = "webdav" if urlsplit(self.place).scheme.startswith("http") else urlsplit(self.place).scheme
            package = PACKAGES.get(scheme, "fsspec")
            raise Missing(f"{self.place}: this needs the package {package}: `pip install {package}`") from error
        except Exception as error:  # of four libraries and of what they stand on
            said = re.sub(r"^\[Errno \d+\] ", "", plain(str(error))) or type(error).__name__
            if LOST.search(said):
                said = "the connection was lost; try again"
            fix = next((f"; {fix}" for words, fix in FIXES.items() if words in said), "")
            raise InputError(f"{self.place}: {shown(said)[:200]}{fix}") from error


def _opened(place: str) -> tuple[Any, str]:
    """The file system, and the inbox's folder in it."""
    import fsspec

    url, password = urlsplit(place), os.environ.get(PASSWORD)
    if url.scheme in ("http", "https"):
        port = f":{url.port}" if url.port else ""
        if url.scheme == "http" and url.hostname not in ("127.0.0.1", "::1", "localhost"):
            raise InputError(f"{_without_password(place)}: is no https:// address, and would be read in clear")
        user = unquote(url.username or ""), password or unquote(url.password or "")
        address = f"{url.scheme}://{url.hostname}{port}{url.path}"
        auth = user if any(user) else None
        return fsspec.filesystem("webdav", base_url=address, auth=auth, timeout=CONNECT_S, skip_instance_cache=True), ""
    if url.scheme in ("sftp", "ssh"):
        how: dict[str, Any] = {"username": unquote(url.username) if url.username else None, "port": url.port}
        how |= {"password": password or (unquote(url.password) if url.password else None)}
        given = {name: value for name, value in how.items() if value is not None}
        # Without `known_hosts` sshfs would believe every server; () is what OpenSSH believes.
        given |= {"known_hosts": (), "login_timeout": CONNECT_S, "keepalive_interval": CONNECT_S}
        given["sftp_client_kwargs"] = {"path_errors": "surrogateescape"}  # else one bad name hides its whole folder
        return fsspec.filesystem("sftp", host=url.hostname, skip_instance_cache=True, **given), unquote(url.path) or "."
    if url.scheme in ("", "file"):
        return fsspec.filesystem("file"), str(Path(unquote(url.path) if url.scheme else place).absolute())
    if url.scheme in PACKAGES:
        return fsspec.filesystem(url.scheme), f"{url.netloc}{url.path}".rstrip("/")
    raise InputError(f"{place}: name a folder, or an address with sftp://, https://, s3:// or file://")


def _last(path: str) -> str:
    return path.rstrip("/").rsplit("/", 1)[-1]


def _without_password(place: str) -> str:
    url = urlsplit(place)
    return place.replace(f":{url.password}@", "@") if url.password else place
