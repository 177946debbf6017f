"""Real servers for what devices send, on this machine's loopback: OpenSSH's, WsgiDAV, and one that only knows PUT."""

import logging
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from tests.loopback import listening
from tests.sshd import Sshd


class SftpServer(Sshd):
    """`inbox` is its folder as it is seen from here."""

    def __init__(self, folder: Path, disk: str = "") -> None:
        self._there = folder / "inbox"
        mounts = f"mount -t tmpfs -o size={disk} none {self._there}" if disk else ""
        super().__init__(folder, "PermitRootLogin yes\nForceCommand internal-sftp\n", mounts)
        self._there.mkdir()
        self.start()

    @property
    def inbox(self) -> Path:
        assert self.process is not None
        return Path(f"/proc/{self.process.pid}/root{self._there}")

    @property
    def settings(self) -> dict[str, Any]:
        files = {"key": str(self.folder / "key"), "known_hosts": str(self.folder / "known_hosts")}
        return {"url": f"{self.address}{self._there}", **files}


@contextmanager
def sftp(folder: Path, disk: str = "") -> Iterator[SftpServer]:
    server = SftpServer(folder, disk)
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def webdav(inbox: Path, wrapped: Callable[[Any], Any] = lambda app: app) -> Iterator[str]:
    """WsgiDAV on cheroot, which asks for camera-17's password; its URL. `wrapped` may put something in front of it."""
    from cheroot import wsgi
    from wsgidav.wsgidav_app import WsgiDAVApp

    inbox.mkdir(exist_ok=True)
    users = {"camera-17": {"password": "secret"}}
    app = WsgiDAVApp(
        {
            "provider_mapping": {"/inbox": str(inbox)}, "simple_dc": {"user_mapping": {"*": users}},
            "http_authenticator": {"accept_basic": True, "accept_digest": False}, "verbose": 0,
            "logging": {"enable": False}, "lock_storage": False, "property_manager": False,
        }
    )  # fmt: skip
    logging.getLogger("wsgidav").setLevel(logging.CRITICAL)
    server = wsgi.Server(("127.0.0.1", 0), wrapped(app), numthreads=2)
    server.error_log = lambda *_, **__: None
    server.prepare()
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.bind_addr[1]}/inbox"
    finally:
        server.stop()
        thread.join()


class OnlyPut(BaseHTTPRequestHandler):
    """A server without WebDAV, as object stores and upload modules are: PUT replaces a file when it came whole."""

    protocol_version = "HTTP/1.1"
    inbox: Path
    status: int | None = None  # the answer to every PUT, without taking it
    dies_after: int | None = None  # bytes of a PUT
    says: float | None = None  # one byte of an answer each so many seconds

    def log_message(self, *_: Any) -> None:
        pass

    def _end(self, status: int, length: int = 0) -> None:
        if self.says is not None:
            with suppress(OSError):
                for letter in b"HTTP/1.1 201 Created\r\n" * 1000:
                    self.wfile.write(bytes([letter]))
                    time.sleep(self.says)
            return
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def do_OPTIONS(self) -> None:
        self.send_response(204)
        self.end_headers()

    def do_HEAD(self) -> None:
        file = self.inbox / self.path.lstrip("/")
        self._end(200 if file.is_file() else 404, file.stat().st_size if file.is_file() else 0)

    def do_PUT(self) -> None:
        if self.status is not None:
            self.close_connection = True
            self._end(self.status)
            return
        size = int(self.headers["Content-Length"])
        if self.dies_after is not None and size > self.dies_after:
            self.rfile.read(self.dies_after)
            self.close_connection = True
            return
        content = self.rfile.read(size)
        if len(content) == size:
            file = self.inbox / self.path.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            self._end(201)


@contextmanager
def only_put(inbox: Path, tls: ssl.SSLContext | None = None, **faults: Any) -> Iterator[tuple[str, type[OnlyPut]]]:
    """Its URL, and its class, whose faults may be changed."""
    kind = type("Faulty", (OnlyPut,), {"inbox": inbox, **faults})
    with listening(kind, tls) as port:
        yield f"http{'s' if tls else ''}://127.0.0.1:{port}", kind


def certificate(file: Path) -> ssl.SSLContext:
    """What a server on the loopback shows: a key and a certificate that nobody vouches for, both in a file."""
    if not shutil.which("openssl"):
        pytest.skip("there is no openssl here")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=inbox", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", file, "-out", f"{file}.crt"],
        check=True, capture_output=True,
    )  # fmt: skip
    file.write_text(file.read_text() + Path(f"{file}.crt").read_text())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context
