"""The inbox where devices send to: a folder, an SFTP server that proves who it is, a WebDAV server with a password."""

import asyncio
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncssh
import pytest
from cheroot import wsgi
from wsgidav.wsgidav_app import WsgiDAVApp

from pipeline.system.errors import BadData, InputError
from pipeline.system.inbox import Inbox, Listed

SECRET = "a password"
CONTENT = bytes(range(256)) * 300


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An inbox with a device's captures, and what else may lie there; nobody's keys and passwords."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home/.ssh").mkdir(parents=True)
    device = tmp_path / "inbox/captures/cam-1"
    (device / "below").mkdir(parents=True)
    (device / "a.png").write_bytes(CONTENT)
    (device / "a.json").write_text("{}")
    (device / "b.png").symlink_to("/etc/passwd")
    os.mkfifo(device / "c.png")
    return tmp_path / "inbox"


def look(inbox: Inbox, links: bool = True) -> None:
    """Everything that an ingest does with it."""
    assert [(entry.name, entry.kind) for entry in inbox.entries("captures")] == [("cam-1", "directory")]
    found = {entry.name: entry for entry in inbox.entries("captures/cam-1")}
    assert (found["a.png"].size, found["a.png"].kind) == (len(CONTENT), "file")
    assert (found["below"].kind, found["a.json"]) == ("directory", Listed("a.json", 2, "file"))
    if links:
        assert "file" not in {found["b.png"].kind, found["c.png"].kind}
    assert inbox.read("captures/cam-1/a.png", 1 << 20) == CONTENT
    assert inbox.read("captures/cam-1/a.png", 1000) == CONTENT[:1000], "no more than was asked for"
    assert inbox.read("captures/cam-1/a.json", 10) == b"{}"
    assert inbox.entries("nothing here") == []
    with pytest.raises(BadData, match="cannot be read"):
        inbox.read("captures/cam-1/gone.png", 10)
    inbox.remove("captures/cam-1/a.json")
    inbox.remove("captures/cam-1/a.json")
    assert "a.json" not in {entry.name for entry in inbox.entries("captures/cam-1")}


def test_a_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    look(Inbox(folder.as_uri()))
    monkeypatch.chdir(folder.parent)
    assert [entry.name for entry in Inbox("inbox").entries("captures")] == ["cam-1"]
    with pytest.raises(InputError, match="there is no such folder"):
        Inbox("nowhere")


@contextmanager
def sftp(root: Path, key: Path) -> Iterator[tuple[int, str]]:
    """An SFTP server that shows `root` as its own root to whoever has the key; its port and its public key."""
    loop = asyncio.new_event_loop()
    host, user = asyncssh.generate_private_key("ssh-ed25519"), asyncssh.generate_private_key("ssh-ed25519")
    user.write_private_key(key)
    user.write_public_key(f"{key}.pub")

    def served(channel: asyncssh.SSHServerChannel) -> asyncssh.SFTPServer:
        return asyncssh.SFTPServer(channel, chroot=os.fsencode(root))

    async def listen() -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            "127.0.0.1", 0, server_host_keys=[host], authorized_client_keys=f"{key}.pub", sftp_factory=served
        )

    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(listen(), loop).result(30)
    try:
        yield server.get_port(), host.export_public_key().decode().strip()
    finally:
        asyncio.run_coroutine_threadsafe(_end(server), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _end(server: asyncssh.SSHAcceptor) -> None:
    server.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def test_an_sftp_server_has_to_be_the_one_that_is_known(folder: Path, tmp_path: Path) -> None:
    logging.getLogger("asyncssh").setLevel(logging.CRITICAL)
    ssh = tmp_path / "home/.ssh"
    with sftp(folder, ssh / "id_ed25519") as (port, host_key):
        place = f"sftp://camera@127.0.0.1:{port}/"
        with pytest.raises(InputError, match=r"[Hh]ost key"):
            Inbox(place)
        (ssh / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}\n")
        with Inbox(place) as inbox:
            look(inbox)
        with pytest.raises(InputError, match="there is no such folder"):
            Inbox(f"{place}nowhere")
    with pytest.raises(InputError, match=r"127\.0\.0\.1"):
        Inbox(f"sftp://camera@127.0.0.1:{port}/inbox")


def test_a_webdav_server_gets_the_password_and_nobody_else_does(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logging.getLogger("wsgidav").setLevel(logging.CRITICAL)
    (folder / "captures/cam-1/c.png").unlink()  # which the server itself would wait for
    users = {"*": {"ingest": {"password": SECRET}}}
    app = WsgiDAVApp(
        {"provider_mapping": {"/inbox": str(folder)}, "simple_dc": {"user_mapping": users}, "verbose": 0,
         "http_authenticator": {"accept_basic": True, "accept_digest": False}, "logging": {"enable": False}}
    )  # fmt: skip
    server = wsgi.Server(("127.0.0.1", 0), app, numthreads=2)
    server.prepare()
    thread = threading.Thread(target=server.serve)
    thread.start()
    place = f"http://ingest@127.0.0.1:{server.bind_addr[1]}/inbox"
    try:
        with pytest.raises(InputError, match="401"):
            Inbox(place)
        monkeypatch.setenv("EDGEPROOF_INBOX_PASSWORD", SECRET)
        with Inbox(place) as inbox:
            look(inbox, links=False)
    finally:
        server.stop()
        thread.join()
    with pytest.raises(InputError, match=r"http://ingest@127\.0\.0\.1") as told:
        Inbox(place.replace("ingest@", f"ingest:{SECRET}@"))
    assert SECRET not in str(told.value)
