"""The inbox where devices send to: a folder, an SFTP server that proves who it is, a WebDAV server with a password."""

import logging
import os
import socket
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import pytest
from fsspec.implementations.local import LocalFileSystem

from pipeline.system.errors import BadData, InputError
from pipeline.system.inbox import Inbox, Listed
from tests import inboxes
from tests.loopback import free_port
from tests.waiting import until

REPOSITORY = Path(__file__).resolve().parents[2]
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
    (device / os.fsdecode(b"\xff.png")).touch()
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


@pytest.mark.parametrize(
    ("error", "words"),
    [(FileNotFoundError("key"), "no such file"), (PermissionError("Forbidden"), "permission denied")],
)
def test_what_a_bucket_s_library_says_without_words(
    folder: Path, error: OSError, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """s3fs raises these with its own text, and none of the system's."""

    def refused(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(LocalFileSystem, "open", refused)
    with Inbox(str(folder)) as inbox, pytest.raises(BadData, match=rf"inbox: cannot be read \({words}\)"):
        inbox.read("captures/cam-1/a.png", 10)


def test_an_sftp_server_has_to_be_the_one_that_is_known(folder: Path, tmp_path: Path) -> None:
    logging.getLogger("asyncssh").setLevel(logging.CRITICAL)
    with inboxes.sftp(tmp_path / "sshd") as sshd:
        place = f"{sshd.address}{folder}"
        with pytest.raises(InputError, match=r"[Hh]ost key.*known_hosts"):
            Inbox(place)
        sshd.known_in(tmp_path / "home")
        with Inbox(place) as inbox:
            look(inbox)
        with pytest.raises(InputError, match="there is no such folder"):
            Inbox(f"{place}/nowhere")
    with pytest.raises(InputError, match=r"127\.0\.0\.1"):
        Inbox(place)


def test_a_webdav_server_gets_the_password_and_nobody_else_does(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "captures/cam-1/c.png").unlink()  # which the server itself would wait for
    (folder / os.fsdecode(b"captures/cam-1/\xff.png")).unlink()  # nor can it tell that name
    with inboxes.webdav(folder) as url:
        place = url.replace("//", "//camera-17@")
        with pytest.raises(InputError, match=r"401.*password in EDGEPROOF_INBOX_PASSWORD"):
            Inbox(place)
        monkeypatch.setenv("EDGEPROOF_INBOX_PASSWORD", "secret")
        with Inbox(place) as inbox:
            look(inbox, links=False)
    with pytest.raises(InputError, match=r"http://camera-17@127\.0\.0\.1") as told:
        Inbox(place.replace("@", ":secret@"))
    assert "secret" not in str(told.value)


@pytest.fixture
def bucket_packages(request: pytest.FixtureRequest) -> Path:
    """s3fs, and a server like S3 (moto): too much to install for everyone; kept from one run to the next."""
    cache = request.config.cache
    assert cache is not None
    wanted = [f"s3fs=={version('fsspec')}", "moto[s3]", "flask", "flask-cors"]
    folder = cache.mkdir("bucket") / "-".join([*wanted[0].split("=="), f"{sys.version_info.minor}"])
    if not folder.is_dir():
        fresh = folder.with_suffix(f".{os.getpid()}")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"--target={fresh}"]
        subprocess.run([*pip, *wanted], check=True)
        fresh.rename(folder)
    return folder


# Behind this environment's own packages.
SERVER = "import sys; sys.path.append(sys.argv[1]); from moto.server import main; main(['-p', sys.argv[2]])"
FILL_AND_LOOK = """
import sys; sys.path.append(sys.argv[1])
import boto3
from pathlib import Path
from pipeline.system.inbox import Inbox
from tests.unit.test_inbox import look
store, inbox = boto3.client("s3"), Path(sys.argv[2])
store.create_bucket(Bucket="bucket")
for path in ("captures/cam-1/a.png", "captures/cam-1/a.json"):
    store.upload_file(str(inbox / path), "bucket", f"inbox/{path}")
store.put_object(Bucket="bucket", Key="inbox/captures/cam-1/below/x", Body=b"")
with Inbox("s3://bucket/inbox") as inbox:
    look(inbox, links=False)
"""


@pytest.mark.nightly
def test_a_bucket(folder: Path, bucket_packages: Path, tmp_path: Path) -> None:
    port = str(free_port())
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(REPOSITORY), "TMPDIR": str(tmp_path),
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }  # fmt: skip
    python = [sys.executable, "-W", "ignore", "-c"]
    server = subprocess.Popen([*python, SERVER, bucket_packages, port], env=environment, stderr=subprocess.DEVNULL)
    try:
        until(lambda: answers(int(port)), 60)
        looked = subprocess.run(
            [*python, FILL_AND_LOOK, bucket_packages, folder], env=environment, capture_output=True, text=True
        )
        assert looked.returncode == 0, looked.stderr
        nowhere = [sys.executable, "-m", "pipeline", "ingest", "pull", "s3://bucket/nowhere"]
        environment["PYTHONPATH"] += f":{bucket_packages}"
        refused = subprocess.run(nowhere, env=environment, cwd=tmp_path, capture_output=True, text=True)
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1), refused.stderr
    finally:
        server.kill()
        server.wait()


def answers(port: int) -> bool:
    with suppress(OSError):
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    return False
