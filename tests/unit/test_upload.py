"""What a device sends arrives whole, once acknowledged is deleted, and whatever a server does loses nothing."""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runners.agent.upload import delivery, over_http, over_sftp, sender, uploading
from runners.agent.upload.inbox_url import parse
from runners.agent.upload.uploading import Outcome, Uploads
from runners.contract import capture_facts, device_folder
from runners.edge.capture.spool import Spool
from tests import inboxes
from tests.cut_captures import DEVICE, FACTS, PNG, whole
from tests.waiting import until

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def spool(home: Path) -> Iterator[Spool]:
    found = Spool(str(home), 1 << 30, least_room=0)
    yield found
    found.close()


def fill(spool: Spool, count: int, size: int = 5000) -> set[str]:
    return {spool.keep(FACTS, PNG + bytes([number]) * (size + number)) for number in range(count)}


def status(home: Path, name: str = "000001") -> Path:
    file = home / device_folder.OUTBOX / "status" / DEVICE / f"{name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text('{"state": "running"}')
    return file


def send(home: Path, inbox: Any) -> Outcome:
    return Uploads(str(home), DEVICE, parse(inbox)).once()


def arrived(inbox: Path) -> set[str]:
    """The captures in the inbox, all whole; nothing else may be there under a capture's name."""
    folder = inbox / "captures" / DEVICE
    return whole(folder) if folder.exists() else set()


@pytest.fixture(params=["file", "sftp", "webdav", "only-put"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Any, Callable[[], Path]]]:
    """The setting `inbox` for each kind of server, and where its folder is."""
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    if request.param == "file":
        yield f"file://{inbox}", lambda: inbox
    elif request.param == "sftp":
        with inboxes.sftp(tmp_path / "sshd") as sshd:
            yield sshd.settings, lambda: sshd.inbox
    elif request.param == "webdav":
        (tmp_path / "login").write_text("camera-17:secret\n")
        with inboxes.webdav(inbox) as url:
            yield {"url": url, "login": str(tmp_path / "login")}, lambda: inbox
    else:
        with inboxes.only_put(inbox) as (url, _):
            yield url, lambda: inbox


def test_what_waits_arrives_whole_and_is_deleted_when_it_is_acknowledged(
    server: tuple[Any, Callable[[], Path]], home: Path, spool: Spool
) -> None:
    setting, inbox = server
    captures, record = fill(spool, 20), status(home)
    half = record.with_name("000002.json.part")
    half.write_text("{")
    assert send(home, setting) == Outcome(records=1, captures=20)
    assert arrived(inbox()) == captures
    assert not record.exists()
    assert half.exists()
    assert [path.name for path in (inbox() / "status" / DEVICE).iterdir()] == ["000001.json"]
    assert [path.name for path in (inbox() / "captures" / DEVICE).iterdir() if path.name.startswith(".")] == []
    assert len(list(Path(spool.folder).glob("*.png"))) == 20, "they are the camera program's to delete"
    assert send(home, setting) == Outcome(), "nothing is sent twice"
    assert spool.forget() == 20
    assert [path.name for path in Path(spool.folder).iterdir()] == [".lock"]
    more = fill(spool, 1)
    assert send(home, setting) == Outcome(captures=1)
    assert set(uploading.acknowledged(str(home))) == more, "the list has no more than the spool"
    assert not list((home / "agent/outgoing").iterdir())


@pytest.mark.parametrize("server", ["sftp", "webdav"], indirect=True)
def test_what_was_sent_and_never_acknowledged_is_sent_again(
    server: tuple[Any, Callable[[], Path]], home: Path, spool: Spool
) -> None:
    setting, inbox = server
    captures = fill(spool, 2)
    for _ in range(2):
        assert send(home, setting) == Outcome(captures=2)
        (home / device_folder.ACKNOWLEDGED).unlink()  # as if power had gone before it was written
    assert arrived(inbox()) == captures


def test_a_picture_comes_before_its_facts(home: Path, spool: Spool, tmp_path: Path) -> None:
    fill(spool, 3)
    asked: list[str] = []

    def wrapped(app: Any) -> Any:
        def watch(environ: dict[str, Any], start: Any) -> Any:
            if environ["REQUEST_METHOD"] == "MOVE":
                asked.append(environ["HTTP_DESTINATION"].rsplit(".", 1)[1])
            return app(environ, start)

        return watch

    (tmp_path / "login").write_text("camera-17:secret")
    with inboxes.webdav(tmp_path / "inbox", wrapped) as url:
        assert send(home, {"url": url, "login": str(tmp_path / "login")}).captures == 3
    assert asked == ["png", "json"] * 3


def test_a_server_that_refuses_dies_or_is_full_gets_it_later(home: Path, spool: Spool, tmp_path: Path) -> None:
    captures = fill(spool, 5, 50000)
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    with inboxes.only_put(inbox, status=507) as (url, faults):
        for status, words in ((507, "507 Insufficient Storage"), (403, "403 Forbidden"), (302, "302 Found")):
            faults.status = status
            outcome = send(home, url)
            assert (outcome.captures, outcome.left) == (0, 5)
            assert outcome.why is not None
            assert words in outcome.why
            assert "\n" not in outcome.why
        faults.status, faults.dies_after = None, 20000
        outcome = send(home, url)
        assert (outcome.captures, outcome.left) == (0, 5)
        assert arrived(inbox) == set()
        faults.dies_after = None
        assert send(home, url) == Outcome(captures=5)
    assert arrived(inbox) == captures


def test_a_slow_server_is_given_up_in_time(
    home: Path, spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(spool, 1)
    monkeypatch.setattr(over_http, "limit_s", lambda *_: 0.5)
    with inboxes.only_put(tmp_path, says=0.05) as (url, _):
        began_s = time.monotonic()
        outcome = send(home, url)
    assert outcome == Outcome(left=1, why=f"{url}: it takes too long")
    assert time.monotonic() - began_s < 30, "its answer would take 20 minutes"


def test_a_server_by_ssh_that_never_answers_is_given_up_in_time(
    home: Path, spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(spool, 1)
    monkeypatch.setattr(over_sftp, "limit_s", lambda *_: 0.5)
    monkeypatch.setattr(over_sftp, "WAIT_S", 0.1)
    with inboxes.sftp(tmp_path / "sshd") as sshd:
        sshd.freeze()
        outcome = send(home, sshd.settings)
    assert (outcome.captures, outcome.left) == (0, 1)
    assert str(outcome.why).endswith("/inbox: it takes too long")


def test_only_a_server_with_a_certificate_that_is_trusted_gets_anything(
    home: Path, spool: Spool, tmp_path: Path
) -> None:
    captures, inbox = fill(spool, 2), tmp_path / "inbox"
    own, login = inboxes.certificate(tmp_path / "server.pem"), tmp_path / "login"
    login.write_text("a-token")
    with inboxes.only_put(inbox, own) as (url, _):
        outcome = send(home, {"url": url, "login": str(login)})
        assert outcome.left == 2
        assert "CERTIFICATE_VERIFY_FAILED" in str(outcome.why)
        assert not arrived(inbox)
        trusted = {"url": url, "login": str(login), "authority": str(tmp_path / "server.pem.crt")}
        assert send(home, trusted) == Outcome(captures=2)
    assert arrived(inbox) == captures


def test_a_spool_that_the_agent_may_not_read_is_said(
    home: Path, spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(spool, 1)
    listed = os.listdir

    def guarded(path: str) -> list[str]:
        if path == spool.folder:
            raise PermissionError(13, "Permission denied", path)
        return listed(path)

    with monkeypatch.context() as forbidden:
        forbidden.setattr("runners.agent.upload.outgoing.os.listdir", guarded)
        assert send(home, f"file://{tmp_path}") == Outcome(why=f"{spool.folder}: Permission denied")
    assert send(home, f"file://{tmp_path}").captures == 1


@pytest.mark.parametrize("what", ["home", "inbox"])
def test_a_disk_that_is_read_only_is_said_in_one_line(home: Path, spool: Spool, tmp_path: Path, what: str) -> None:
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    fill(spool, 1)
    (tmp_path / "inbox").mkdir()
    (tmp_path / "agent.json").write_text(json.dumps({"device": DEVICE, "inbox": f"file://{tmp_path}/inbox"}))
    command = [sys.executable, "-m", "runners.agent.upload", str(home), f"--config={tmp_path / 'agent.json'}"]
    mount = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", mount, str(tmp_path / what), *command],
        cwd=REPOSITORY, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.endswith("Read-only file system\n")
    assert done.stderr.count("\n") == 1
    assert send(home, f"file://{tmp_path}/inbox") == Outcome(captures=1)


def test_a_login_that_is_wrong_or_readable_on_the_way(home: Path, spool: Spool, tmp_path: Path) -> None:
    fill(spool, 1)
    login = tmp_path / "login"
    login.write_text("camera-17:wrong")
    with inboxes.webdav(tmp_path / "inbox") as url:
        outcome = send(home, {"url": url, "login": str(login)})
    assert outcome.left == 1
    assert str(outcome.why).endswith("401 Not Authorized; see `login` in the configuration")
    assert "wrong" not in str(outcome.why)
    login.write_text("no login at all")
    outcome = send(home, {"url": url, "login": str(login)})
    assert "no USER:PASSWORD and no token" in str(outcome.why)
    assert "at all" not in str(outcome.why)
    with pytest.raises(ValueError, match="the URL must be https://"):
        parse({"url": "http://example.org/inbox", "login": str(login)})


def test_a_server_by_ssh_that_is_a_stranger_or_takes_us_for_one(home: Path, spool: Spool, tmp_path: Path) -> None:
    captures = fill(spool, 2)
    with inboxes.sftp(tmp_path / "sshd") as sshd:
        other = {**sshd.settings, "key": str(sshd.folder / "stranger")}
        outcome = send(home, other)
        assert outcome.left == 2
        assert any(words in str(outcome.why) for words in ("Permission denied", "closed"))
        (tmp_path / "known").write_text((sshd.folder / "known_hosts").read_text().split()[0] + " ")
        with (tmp_path / "known").open("a") as known:
            known.write(" ".join((sshd.folder / "stranger.pub").read_text().split()[:2]) + "\n")
        outcome = send(home, {**sshd.settings, "known_hosts": str(tmp_path / "known")})
        assert (outcome.captures, outcome.left) == (0, 2)
        assert "erification failed" in str(outcome.why)
        assert not arrived(sshd.inbox)
        assert send(home, sshd.settings) == Outcome(captures=2)
        assert arrived(sshd.inbox) == captures
        sshd.stop()
        fill(spool, 1)
        outcome = send(home, sshd.settings)
        assert outcome.left == 1
        assert outcome.why is not None
        assert "\n" not in outcome.why


def test_a_server_by_ssh_whose_disk_is_full_takes_what_it_can_and_nothing_half(
    home: Path, spool: Spool, tmp_path: Path
) -> None:
    captures = fill(spool, 6, 60000)
    with inboxes.sftp(tmp_path / "sshd", disk="200k") as sshd:
        outcome = send(home, sshd.settings)
        assert (outcome.captures, outcome.left) == (3, 3)
        assert "Failure" in str(outcome.why) or "No space" in str(outcome.why)
        assert len(arrived(sshd.inbox)) == 3
        assert spool.forget() == 3
        folder = sshd.inbox / "captures" / DEVICE
        for path in folder.glob("[0-9]*"):  # somebody makes room
            path.unlink()
        assert send(home, sshd.settings) == Outcome(captures=3)
        assert arrived(sshd.inbox) < captures
        assert not list(folder.glob(".*")), "what was brought in part is cleaned up"


@pytest.mark.parametrize("server", ["sftp", "webdav"], indirect=True)
def test_an_upload_that_is_killed_goes_on_where_it_was(
    server: tuple[Any, Callable[[], Path]], home: Path, spool: Spool, tmp_path: Path
) -> None:
    setting, inbox = server
    setting = {**({"url": setting} if isinstance(setting, str) else setting), "kib_per_second": 4000}
    captures = fill(spool, 12, 150000)
    (tmp_path / "agent.json").write_text(json.dumps({"device": DEVICE, "inbox": setting}))
    command = [sys.executable, "-m", "runners.agent.upload", str(home), f"--config={tmp_path / 'agent.json'}"]
    for pause_s in (0.2, 0.4):
        process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(pause_s)
        process.kill()
        process.communicate()
        assert set(uploading.acknowledged(str(home))) <= arrived(inbox())
        spool.forget()
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert arrived(inbox()) == captures


def test_a_camera_program_that_was_taken_over_gets_nothing_of_the_agent_s_sent(
    home: Path, spool: Spool, tmp_path: Path
) -> None:
    good = fill(spool, 1)
    folder, secret = Path(spool.folder), tmp_path / "key"
    secret.write_text("-----BEGIN OPENSSH PRIVATE KEY-----")
    facts = capture_facts.as_json(FACTS._replace(sha256=hashlib.sha256(secret.read_bytes()).hexdigest()))

    def put(number: int, **other: Any) -> str:
        stem = f"{number:010d}-{'a' * 16}"
        (folder / f"{stem}.json").write_text(json.dumps({**facts, "id": stem, **other}))
        return stem

    (folder / f"{put(100)}.png").symlink_to(secret)
    (folder / f"{put(101)}.png").write_bytes(secret.read_bytes())
    (folder / f"{put(102, id='../../status/x')}.png").write_bytes(PNG)
    (folder / f"{put(103)}.png").write_bytes(PNG + b"not that picture")
    (folder / f"{put(104)}.png").mkdir()
    (folder / "..json").write_text("{}")
    (folder / f"{put(105, sha256=hashlib.sha256(PNG).hexdigest(), device='another')}.png").write_bytes(PNG)
    put(106)  # its picture never came
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    outcome = send(home, f"file://{inbox}")
    assert arrived(inbox) == good
    assert secret.read_text() not in "".join(path.read_text("latin-1") for path in inbox.rglob("*") if path.is_file())
    assert (outcome.captures, outcome.damaged) == (1, 5)
    assert "write the same name into both settings" in str(outcome.why)


def test_pauses_grow_after_failures_and_end_with_them(home: Path, spool: Spool, tmp_path: Path) -> None:
    fill(spool, 1)
    uploads = Uploads(str(home), DEVICE, parse(f"file://{tmp_path}/stick"))
    now_s, pauses = 0.0, []
    last_s = 0.0
    while len(pauses) < 9:
        outcome = uploads.step(now_s)
        if outcome is not None:
            assert "is it mounted?" in str(outcome.why)
            pauses.append(now_s - last_s)
            last_s = now_s
        now_s += 1
    assert pauses[0] == 0
    assert 45 <= pauses[1] <= 76
    assert all(3600 * 0.7 < pause < 3600 * 1.3 for pause in pauses[7:])
    (tmp_path / "stick").mkdir()
    now_s += 3600 * 1.3
    assert uploads.step(now_s) == Outcome(captures=1)
    assert uploads.step(now_s + 40) is None
    assert uploads.step(now_s + 80) == Outcome()


def test_beside_the_agent_it_sends_and_tells_each_trouble_once(
    home: Path, spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(spool, 1)
    monkeypatch.setattr(sender, "LOOK_S", 0.01)
    for name in ("FIRST_S", "LONGEST_S", "AGAIN_S"):
        monkeypatch.setattr(uploading, name, 0.01)
    told: list[str] = []
    sending = sender.Sender(Uploads(str(home), DEVICE, parse(f"file://{tmp_path}/stick")), told.append).start()

    until(lambda: told)
    time.sleep(0.2)  # for some more tries
    assert told == [f"upload: file://{tmp_path}/stick: there is no such folder; is it mounted?"]
    (tmp_path / "stick").mkdir()
    until(lambda: len(told) > 1)
    assert told[1:] == ["upload: all is sent"]
    assert len(arrived(tmp_path / "stick")) == 1
    sending.close()
    fill(spool, 2)
    time.sleep(0.1)
    assert len(arrived(tmp_path / "stick")) == 1, "nothing new is begun"


def test_the_line_is_used_no_more_than_allowed(home: Path, spool: Spool, tmp_path: Path) -> None:
    fill(spool, 1, 100 << 10)
    began_s = time.monotonic()
    assert send(home, {"url": f"file://{tmp_path}", "kib_per_second": 200}).captures == 1
    assert time.monotonic() - began_s >= 0.5
    with inboxes.sftp(tmp_path / "sshd") as sshd:
        given = parse({**sshd.settings, "kib_per_second": 100})
        assert "819" in over_sftp.OverSftp(given)._command()


def test_two_uploads_at_once_are_one(home: Path, spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(spool, 1)
    uploads, found = Uploads(str(home), DEVICE, parse(f"file://{tmp_path}")), []
    bring = delivery.blocks

    def again(*given: Any) -> Any:
        found.append(send(home, f"file://{tmp_path}").why)
        return bring(*given)

    monkeypatch.setattr("runners.agent.upload.to_folder.blocks", again)
    assert uploads.once().captures == 1
    assert "another program is uploading" in str(found[0])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (7, "JSON object"), ("ftp://host/inbox", "sftp://, https://"), ("https://host/in box", "letters, digits"),
        ("https://host/../etc", "letters, digits"), ("https://user:pw@host/", "no password"), ("https:///x", "no host"),
        ("file://host/x", "file:///FOLDER"), ("file:///", "file:///FOLDER"), ("sftp://host/x", "`known_hosts`"),
        ("https://host:port/", "port"), ({"url": "https://host", "speed": 1}, "speed is no key"),
        ("sftp://-oProxyCommand=x@host/x", "no host, or no user"), ("https://host/?a=b", "letters, digits"),
        ({"url": "https://host", "login": "/none"}, "/none is missing"),
        ({"url": "https://host", "kib_per_second": 0}, "at least 1"), ({"url": None}, "url is of another kind"),
    ],
)  # fmt: skip
def test_what_is_no_inbox_is_said_in_one_line(given: Any, words: str) -> None:
    with pytest.raises(ValueError, match=r"^inbox: ") as told:
        parse(given)
    assert words in str(told.value)
    assert "\n" not in str(told.value)


def test_nothing_leaves_unless_it_is_configured(home: Path, spool: Spool, tmp_path: Path) -> None:
    fill(spool, 1)
    (tmp_path / "agent.json").write_text(json.dumps({"device": DEVICE}))
    command = [sys.executable, "-m", "runners.agent.upload", str(home), f"--config={tmp_path / 'agent.json'}"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert "names no `inbox`, so nothing is sent" in done.stderr
    (tmp_path / "agent.json").write_text(json.dumps({"device": DEVICE, "inbox": f"file://{tmp_path}"}))
    command[3] = str(home / "mistyped")
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert (done.returncode, done.stdout, Path(command[3]).exists()) == (2, "", False)


@pytest.mark.parametrize(("steps", "moments"), [(8, 8), pytest.param(10000, 500, marks=pytest.mark.nightly)])
def test_a_power_cut_at_any_moment_loses_no_capture_and_brings_no_half_one(
    tmp_path: Path, steps: int, moments: int
) -> None:
    cutting = [sys.executable, "-S", "-m", "tests.cut_captures", str(tmp_path), str(steps), str(moments), "3"]
    done = subprocess.run(cutting, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)
    print(counts)
    assert counts["kills"] >= min(steps, counts["steps"]) + moments
    assert min(counts["kept"], counts["changes lost"]) > 0
