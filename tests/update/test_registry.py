"""The registry, seen by TUF's own client as a device has it."""

import errno
import json
import multiprocessing
import os
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from tuf.api.exceptions import BadVersionNumberError, ExpiredMetadataError, RepositoryError, UnsignedMetadataError
from tuf.api.metadata import Metadata, MetaFile, Snapshot, Timestamp

from pipeline.release import publishing, signing, verifying
from pipeline.release.metadata_files import LIFETIMES
from pipeline.release.release_settings import Phases
from pipeline.release.tuf_registry import Registry
from pipeline.system.errors import InputError, Refused
from runners.contract.bundle import NEXT
from tests.update.conftest import PATH, START, TARGET, Device, Signed, write_release

PHASES = Phases()


@pytest.fixture
def device(signed: Signed, tmp_path: Path) -> Device:
    return Device(signed.folder, tmp_path / "device")


def verdicts(registry: Registry) -> dict[str, str]:
    return {seen.what: seen.verdict for seen in verifying.verify(registry)}


def test_a_version_goes_from_its_first_step_to_everybody(
    signed: Signed, device: Device, release: Callable[..., Path]
) -> None:
    key = signed.online_key
    assert publishing.publish(signed.at(), key, release("v1.0.0"), PHASES) == [
        f"{PATH}: v1.0.0 for everybody, as the first one"
    ]
    assert device.offers() == {PATH: "v1.0.0"}
    publishing.publish(signed.at(), key, release("v1.1.0"), PHASES)
    assert device.offers() == {PATH: "v1.0.0", PATH + NEXT: "v1.1.0"}
    steps = [signed.at().offers()[PATH + NEXT].rollout.percent]
    for _ in range(3):
        publishing.promote(signed.at(), key, PHASES, [PATH])
        steps.append(signed.at().offers()[PATH + NEXT].rollout.percent)
    assert steps == [1, 10, 50, 100]
    assert publishing.promote(signed.at(), key, PHASES, [PATH]) == [f"{PATH}: v1.1.0 is what everybody runs"]
    assert device.offers() == {PATH: "v1.1.0"}
    assert set(verdicts(signed.at()).values()) == {"pass"}


def test_what_is_taken_back_is_offered_no_more(signed: Signed, device: Device, release: Callable[..., Path]) -> None:
    key = signed.online_key
    for version in ("v1.0.0", "v1.1.0"):
        publishing.publish(signed.at(), key, release(version), PHASES)
    publishing.roll_back(signed.at(), key, [PATH])
    assert device.offers() == {PATH: "v1.0.0"}
    with pytest.raises(InputError, match="nothing is being rolled out"):
        publishing.roll_back(signed.at(), key, [PATH])


def test_everybody_goes_back_to_an_earlier_version(
    signed: Signed, device: Device, release: Callable[..., Path]
) -> None:
    key = signed.online_key
    for version in ("v1.0.0", "v1.1.0"):
        publishing.publish(signed.at(), key, release(version), PHASES)
    publishing.promote(signed.at(), key, PHASES, [PATH], to_all=True)
    assert device.offers() == {PATH: "v1.1.0"}
    publishing.roll_back(signed.at(), key, [PATH], to="v1.0.0")
    assert device.offers() == {PATH: "v1.0.0"}
    with pytest.raises(InputError, match=r"v9 was never offered; there were v1\.0\.0, v1\.1\.0"):
        publishing.roll_back(signed.at(), key, [PATH], to="v9")


def test_the_same_again_changes_nothing_and_other_bytes_are_refused(
    signed: Signed, tmp_path: Path, release: Callable[..., Path]
) -> None:
    folder = release("v1.0.0")
    publishing.publish(signed.at(), signed.online_key, folder, PHASES)
    before = {path: path.read_bytes() for path in signed.folder.rglob("*") if path.is_file()}
    assert "already" in publishing.publish(signed.at(), signed.online_key, folder, PHASES)[0]
    write_release(tmp_path / "other", "v1.0.0", TARGET, "stable", b"other weights")
    for channel in ("stable", "beta"):
        with pytest.raises(Refused, match="published with other bytes"):
            publishing.publish(signed.at(), signed.online_key, tmp_path / "other", PHASES, channel)
    assert {path: path.read_bytes() for path in signed.folder.rglob("*") if path.is_file()} == before


def test_two_rollouts_at_once_are_refused(signed: Signed, release: Callable[..., Path]) -> None:
    for version in ("v1.0.0", "v1.1.0"):
        publishing.publish(signed.at(), signed.online_key, release(version), PHASES)
    with pytest.raises(Refused, match=r"v1\.1\.0 is being rolled out"):
        publishing.publish(signed.at(), signed.online_key, release("v1.2.0"), PHASES)


def _publish(folder: Path, keys: Path, built: Path) -> None:
    publishing.publish(Registry(folder), signing.load(keys, lambda path: ""), built, PHASES)


def test_two_who_publish_at_once_both_succeed(signed: Signed, tmp_path: Path) -> None:
    names = ("atom-x5-e3940", "jetson-tx2-maxq")
    for name in names:
        write_release(tmp_path / "built" / name, "v1.0.0", name, "stable", os.urandom(1 << 16))
    context = multiprocessing.get_context("fork")
    both = [
        context.Process(target=_publish, args=(signed.folder, tmp_path / "keys/online.pem", tmp_path / "built" / name))
        for name in names
    ]
    for process in both:
        process.start()
    for process in both:
        process.join(120)
    assert [process.exitcode for process in both] == [0, 0]
    assert sorted(signed.at().offers()) == [f"stable/{name}" for name in names]
    assert set(verdicts(signed.at()).values()) == {"pass"}


def test_a_signature_for_its_whole_time_again(signed: Signed, tmp_path: Path) -> None:
    def signing_days(*days: int) -> list[list[str]]:
        return [
            Registry(signed.folder, signed.at().now + timedelta(days=day)).resign(signed.online_key) for day in days
        ]

    assert signing_days(7, 60, 270) == [
        ["timestamp"],
        ["snapshot", "timestamp"],
        ["targets", "snapshot", "timestamp"],
    ]
    assert Device(signed.folder, tmp_path / "device").offers() == {}


def test_a_timestamp_past_half_of_its_time_is_an_alarm(signed: Signed) -> None:
    late = signed.at().now + LIFETIMES["timestamp"] / 2 + timedelta(days=1)
    assert verdicts(signed.at())["timestamp"] == "pass"
    assert verdicts(signed.at(late))["timestamp"] == "fail"


def test_expired_metadata_are_refused_by_devices(signed: Signed, device: Device) -> None:
    Registry(signed.folder, START - timedelta(days=400)).resign(signed.online_key)
    with pytest.raises(ExpiredMetadataError):
        device.offers()
    seen = {one.what: (one.verdict, one.found) for one in verifying.verify(signed.at())}
    assert [seen[name][0] for name in ("metadata", "root", "timestamp")] == ["fail", "pass", "fail"]
    assert re.fullmatch(r"expired 37\d\.\d days ago: `edgeproof release resign`", seen["timestamp"][1])


def test_only_the_root_s_online_key_signs(signed: Signed, tmp_path: Path, release: Callable[..., Path]) -> None:
    stranger = signing.make(tmp_path / "stranger.pem")
    with pytest.raises(Refused, match="not the registry's online key"):
        publishing.publish(signed.at(), stranger, release("v1.0.0"), PHASES)
    assert signed.at().offers() == {}


def attacked(signed: Signed) -> None:
    """Whoever stole the online key signs versions that no honest one will reach."""
    registry = signed.at()
    far = 1_000_000
    snapshot = Metadata(Snapshot(far, expires=registry.now + timedelta(days=9), meta={"targets.json": MetaFile(far)}))
    targets = registry.targets()
    targets.signed.version = far
    timestamp = Metadata(Timestamp(far, expires=registry.now + timedelta(days=9), snapshot_meta=MetaFile(far)))
    for name, metadata in (
        (f"{far}.targets.json", targets), (f"{far}.snapshot.json", snapshot), ("timestamp.json", timestamp)
    ):  # fmt: skip
        metadata.signatures.clear()
        metadata.sign(signed.online_key)
        metadata.to_file(str(registry.metadata / name))


def test_after_a_theft_of_the_online_key_another_one_ends_a_fast_forward(
    signed: Signed, device: Device, tmp_path: Path, release: Callable[..., Path]
) -> None:
    publishing.publish(signed.at(), signed.online_key, release("v1.0.0"), PHASES)
    honest = {path.name: path.read_bytes() for path in (signed.folder / "metadata").iterdir()}
    attacked(signed)
    assert device.offers() == {PATH: "v1.0.0"}  # it takes them, and remembers their numbers
    for path in (signed.folder / "metadata").iterdir():
        path.unlink()
    for name, content in honest.items():
        (signed.folder / "metadata" / name).write_bytes(content)
    with pytest.raises(BadVersionNumberError):
        device.offers()
    new = signing.make(tmp_path / "keys/new.pem")
    assert signed.at().rotate([signed.root_key], None, new) == []
    assert device.offers() == {PATH: "v1.0.0"}
    publishing.publish(signed.at(), new, release("v1.1.0"), PHASES)
    assert device.offers() == {PATH: "v1.0.0", PATH + NEXT: "v1.1.0"}
    attacked(signed)
    with pytest.raises((UnsignedMetadataError, RepositoryError)):
        device.offers()


def test_a_new_root_key_needs_the_old_one_and_the_new_one(signed: Signed, device: Device, tmp_path: Path) -> None:
    new = signing.make(tmp_path / "keys/new-root.pem")
    online = signing.make(tmp_path / "keys/new-online.pem")
    assert signed.at().rotate([signed.root_key], new.public_key, online) == [new.public_key.keyid]
    assert device.offers() == {}
    assert signed.at().root().signed.version == 1
    with pytest.raises(InputError, match="give the new online key with it"):
        signed.at().rotate([new], None, None)
    assert signed.at().rotate([new], None, online) == []
    assert signed.at().root().signed.version == 2
    assert device.offers() == {}
    with pytest.raises(InputError, match="no root key"):
        signed.at().rotate([signed.root_key, signing.make(tmp_path / "keys/x.pem")], None, None)
    signed.at().rotate([new], None, None)
    assert device.offers() == {}


def _raise_full(_: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_keys_have_mode_600_are_never_overwritten_and_never_in_a_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signing.make(tmp_path / "root.pem", "secret")
    assert (tmp_path / "root.pem").stat().st_mode & 0o777 == 0o600
    assert signing.load(tmp_path / "root.pem", lambda path: "secret").public_key.keytype == "ed25519"
    with pytest.raises(InputError, match="the password is wrong"):
        signing.load(tmp_path / "root.pem", lambda path: "other")
    with pytest.raises(InputError, match="never overwritten"):
        signing.make(tmp_path / "root.pem")
    with monkeypatch.context() as full:
        full.setattr(os, "fsync", _raise_full)
        with pytest.raises(InputError, match=r"no key can be written there \(No space left"):
            signing.make(tmp_path / "another.pem")
    assert [path.name for path in tmp_path.glob("*.pem*")] == ["root.pem"]
    (tmp_path / "repository/.git").mkdir(parents=True)
    with pytest.raises(InputError, match="keys get committed"):
        signing.make(tmp_path / "repository/keys/root.pem")


@pytest.mark.parametrize("damage", ["cut", "empty", "other", "missing"])
def test_damaged_metadata_are_named(signed: Signed, damage: str) -> None:
    path = signed.folder / "metadata/1.snapshot.json"
    if damage == "missing":
        path.unlink()
    else:
        text = path.read_text()
        path.write_text({"cut": text[:-9], "empty": "", "other": json.dumps({"signed": []})}[damage])
    with pytest.raises(InputError, match=r"1\.snapshot\.json"):
        signed.at().offers()
    assert verifying.verify(signed.at())[0].verdict == "fail"


@pytest.mark.parametrize("part", ["evidence", "bundle", "bundle missing"])
def test_verify_tells_what_a_device_would_refuse(signed: Signed, release: Callable[..., Path], part: str) -> None:
    publishing.publish(signed.at(), signed.online_key, release("v1.0.0"), PHASES)
    [file] = (signed.folder / "targets/v1.0.0").iterdir()
    if part == "evidence":
        (signed.folder / f"evidence/v1.0.0/{TARGET}.json").write_text("{}")
    elif part == "bundle":
        content = bytearray(file.read_bytes())
        content[-2000] ^= 1
        file.write_bytes(content)
    else:
        file.unlink()
    assert verdicts(signed.at())[PATH] == ("not_measured" if part == "bundle missing" else "fail")


@pytest.mark.nightly
def test_a_signature_covers_the_whole_of_more_than_2_gib(signed: Signed, tmp_path: Path) -> None:
    model = tmp_path / "model"
    with model.open("wb") as stream:
        stream.truncate((1 << 31) + 1)  # sparse
    built = write_release(tmp_path / "built/v1.0.0", "v1.0.0", TARGET, "stable", model)
    assert built.length > 1 << 31
    publishing.publish(signed.at(), signed.online_key, tmp_path / "built/v1.0.0", PHASES)
    assert set(verdicts(signed.at()).values()) == {"pass"}
    [file] = (signed.folder / "targets/v1.0.0").iterdir()
    with file.open("r+b") as stream:
        stream.seek(-1600, os.SEEK_END)
        stream.write(b"\1")
    assert verdicts(signed.at())[PATH] == "fail"
    for large in (file, tmp_path / "built/v1.0.0" / built.file_name):
        large.unlink()
