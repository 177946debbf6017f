"""`edgeproof release` as somebody calls it who has made a mistake, or changes keys on two machines."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from pipeline.cli import cli
from pipeline.release import signing
from tests.update.conftest import write_release


def release(*arguments: object, given: str | None = None) -> Result:
    return CliRunner().invoke(cli, ["release", *map(str, arguments)], input=given, catch_exceptions=False)


def refused(*arguments: object) -> str:
    """The one line by which bad input is refused."""
    done = release(*arguments)
    assert (done.exit_code, done.output.count("\n")) == (2, 1), done.output
    return done.output


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A registry in this folder, and where its keys are; the root key is encrypted."""
    folder = tmp_path / "stick"
    folder.mkdir()
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.delenv(signing.ONLINE_KEY, raising=False)
    asked = f"{folder}/root.pem\n{folder}/online.pem\nsecret\nsecret\n"
    assert release("init", "--encrypt", given=asked).exit_code == 0
    return folder


def test_a_registry_is_made_once(keys: Path) -> None:
    before = sorted(Path("releases").rglob("*"))
    assert "is a registry already" in refused("init", "--root-key", keys / "a", "--online-key", keys / "b")
    assert not (keys / "a").exists()
    assert "exists already" in refused(
        "init", "--registry", "other", "--root-key", keys / "root.pem", "--online-key", keys / "b"
    )
    assert "a file of its own" in refused(
        "init", "--registry", "other", "--root-key", keys / "a", "--online-key", keys / "a"
    )
    away = keys / "no stick/root.pem"
    assert "mount what it is on" in refused(
        "init", "--registry", "other", "--root-key", away, "--online-key", keys / "a"
    )
    assert sorted(Path("releases").rglob("*")) == before
    assert not Path("other").exists()
    unanswered = release("init", "--registry", "other", given="")
    assert (unanswered.exit_code, Path("other").exists()) == (2, False)
    assert "give the answer as an option" in unanswered.output


def test_what_is_missing_is_said(keys: Path, tmp_path: Path) -> None:
    key = ("--online-key", keys / "online.pem")
    assert "give --online-key FILE" in refused("resign")
    assert "no such" in refused("rollout", *key, "--inbox", tmp_path / "none")
    assert "no release that was built" in refused("publish", *key, "v1.0.0")
    assert "nothing is being rolled out" in refused("promote", *key)
    assert "nothing is being rolled out" in refused("rollback", *key)
    assert "nothing is offered" in refused("drill", *key, "--target", "atom-x5-e3940")
    assert "is no registry" in refused("verify", "--registry", tmp_path / "none")
    assert "cannot be read" in refused("verify", "--root", tmp_path / "none")
    assert "no root metadata" in refused("verify", "--root", keys / "online.pem")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    assert "no root metadata" in refused("verify", "--root", tmp_path / "deep.json")
    assert release("verify", "--root", "releases/metadata/1.root.json").exit_code == 0
    assert "EDGEPROOF_INBOX" in release("reports", tmp_path / "none").output


def test_other_keys_are_refused(keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pem = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "ec.pem").write_bytes(pem)
    (tmp_path / "none.pem").write_text("hello")
    assert "no ed25519 key" in refused("resign", "--online-key", tmp_path / "ec.pem")
    assert "no private key" in refused("resign", "--online-key", tmp_path / "none.pem")
    monkeypatch.setenv(signing.ONLINE_KEY, "no UTF-8: \udcff")
    assert "no private key" in refused("resign")
    assert "no key can be read" in refused("resign", "--online-key", tmp_path / "absent.pem")
    signing.make(tmp_path / "stranger.pem")
    assert "not the registry's online key" in refused("resign", "--online-key", tmp_path / "stranger.pem")
    monkeypatch.setenv("EDGEPROOF_KEY_PASSWORD", "secret")
    assert "the registry's root key" in refused("resign", "--online-key", keys / "root.pem")


def test_the_online_key_is_replaced(keys: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EDGEPROOF_KEY_PASSWORD", "secret")
    write_release(tmp_path / "built", "v1.0.0", "atom-x5-e3940", "stable", b"weights")
    assert release("publish", tmp_path / "built", "--online-key", keys / "online.pem").exit_code == 0
    assert release("rotate", "--root-key", keys / "root.pem", "--new-online", keys / "new.pem").exit_code == 0
    assert "not the registry's online key" in refused("resign", "--online-key", keys / "online.pem")
    assert release("resign", "--online-key", keys / "new.pem").exit_code == 0
    assert release("verify").exit_code == 0


def test_keys_may_lie_beside_the_repository_and_a_new_root_key_be_encrypted(
    keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(".git").mkdir()
    monkeypatch.setenv("EDGEPROOF_KEY_PASSWORD", "secret")
    assert "where keys get committed" in refused("rotate", "--root-key", "../stick/root.pem", "--new-root", "root.pem")
    new = Path("../stick/new.pem")
    assert release("rotate", "--root-key", "../stick/root.pem", "--new-root", new, "--encrypt").exit_code == 0
    assert b"ENCRYPTED" in new.read_bytes()
    assert release("rotate", "--root-key", new).output == "releases: root 3 is signed\n"
    assert release("verify").exit_code == 0


def test_a_root_key_is_replaced_on_two_machines(keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = signing.make(tmp_path / "elsewhere.pem")
    public = elsewhere._private_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "public.pem").write_bytes(public)
    done = release("rotate", "--root-key", keys / "root.pem", "--new-root", tmp_path / "public.pem", given="secret\n")
    assert f"waits for {elsewhere.public_key.keyid[:12]}" in done.output
    assert release("verify").exit_code == 0
    assert release("rotate", "--root-key", tmp_path / "elsewhere.pem").output == "releases: root 2 is signed\n"
    assert release("verify").exit_code == 0
    monkeypatch.setenv("EDGEPROOF_KEY_PASSWORD", "wrong")
    assert "the password is wrong" in refused("rotate", "--root-key", keys / "root.pem")
    monkeypatch.setenv("EDGEPROOF_KEY_PASSWORD", "secret")
    assert "no root key" in refused("rotate", "--root-key", keys / "root.pem")


def test_a_damaged_release_is_not_published(keys: Path, tmp_path: Path) -> None:
    built = write_release(tmp_path / "built", "v1.0.0", "atom-x5-e3940", "stable", b"weights")
    file = tmp_path / "built" / built.file_name
    file.write_bytes(file.read_bytes()[:-1])
    assert "is not what was built" in refused("publish", tmp_path / "built", "--online-key", keys / "online.pem")
    (tmp_path / "built/release.json").write_text('{"channel": "stable", "bundles": [{}]}')
    assert "damaged" in refused("publish", tmp_path / "built", "--online-key", keys / "online.pem")
    assert not Path("releases/targets").exists()
