"""Attacks on a device that runs version 1.0: each is refused with its reason, told and logged, and 1.0 runs on."""

import json
import lzma
import random
import re
import shutil
import struct
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner

from runners.agent import fetching, polling
from runners.agent.updating import Device
from runners.contract import bundle
from runners.edge.update import unpack
from tests.agent import bundles
from tests.agent.conftest import Start, camera_says, release
from tests.agent.hosts import Host, send, serving
from tests.agent.registry import BASE, TARGET, Registry, offer_of


class Scene:
    """A registry, its host, and a device that runs version 1.0 of it."""

    def __init__(self, start: Start, registry: Registry, host: Host, patch: pytest.MonkeyPatch) -> None:
        self.registry, self.host, self.patch, self._start = registry, host, patch, start
        self.device = self.fresh()
        with self.device.alone():
            assert polling.look(self.device).said == "1.0 is on trial"
        for _ in range(2):
            camera_says(self.device)
            with self.device.alone():
                self.device.watch()
        assert self.device.state.trial is None

    def fresh(self) -> Device:
        urls = {"metadata_url": f"{self.host.url}/metadata", "targets_url": f"{self.host.url}/targets"}
        return self._start(trial_minutes=0, **urls)

    def look(self) -> polling.Looked:
        self.device = self.fresh()
        with self.device.alone():
            return polling.look(self.device)

    @property
    def runs(self) -> str:
        manifest = self.device.slots.manifest(self.device.slots.current)
        assert manifest is not None
        return manifest.version

    def offer(self, content: dict[str, bytes], packed: bytes | None = None, **offer: Any) -> None:
        """Sign a bundle of version 1.1, whatever is in it."""
        said = offer_of(content)._replace(**offer)
        self.registry.offer(BASE, packed or bundles.tar(content), said)
        self.registry.publish()

    def later(self, days: float) -> None:
        now = time.time
        self.patch.setattr(time, "time", lambda: now() + days * 24 * 3600)


@pytest.fixture
def scene(start: Start, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    with serving(registry.folder) as host:
        yield Scene(start, registry, host, monkeypatch)


ATTACKS: dict[str, tuple[Callable[[Scene], Any], str]] = {}


def attack(reason: str) -> Callable[[Callable[[Scene], Any]], Callable[[Scene], Any]]:
    def remember(function: Callable[[Scene], Any]) -> Callable[[Scene], Any]:
        ATTACKS[function.__name__] = function, reason
        return function

    return remember


@attack("its SHA-256 is another")
def other_bytes_in_the_place_of_the_bundle(scene: Scene) -> None:
    release(scene.registry, "1.1")
    other = bundles.tar(bundles.files("1.0", target="jetson-tx2-maxn"))
    scene.host.instead["/targets/"] = lambda to: send(to, other)


@attack("is not the file that was signed|the rest is fetched next time")
def a_shorter_bundle(scene: Scene) -> None:
    release(scene.registry, "1.1")
    scene.host.instead["/targets/"] = lambda to: send(to, bundles.tar(bundles.files("1.1"))[:-512])


def endless(to: BaseHTTPRequestHandler) -> None:
    to.send_response(200)
    to.end_headers()
    while True:
        to.wfile.write(bytes(1 << 16))


@attack("sends more than the .* bytes that were signed")
def endless_data_in_the_place_of_the_bundle(scene: Scene) -> None:
    release(scene.registry, "1.1")
    scene.host.instead["/targets/"] = endless


@attack("sends more than metadata may have")
def endless_metadata(scene: Scene) -> None:
    scene.host.instead["timestamp.json"] = endless


def drop_by_drop(to: BaseHTTPRequestHandler) -> None:
    to.send_response(200)
    to.end_headers()
    while True:
        to.wfile.write(b"{")
        time.sleep(0.02)


@attack("it sends less than 1024 bytes a second")
def a_bundle_drop_by_drop(scene: Scene) -> None:
    release(scene.registry, "1.1")
    scene.patch.setattr(fetching, "SLOW_S", 0.2)
    scene.host.instead["/targets/"] = drop_by_drop


@attack("it sends less than 1024 bytes a second")
def metadata_drop_by_drop(scene: Scene) -> None:
    scene.patch.setattr(fetching, "SLOW_S", 0.2)
    scene.host.instead["timestamp.json"] = drop_by_drop


@attack("was asked for what follows .* and sends")
def another_part_than_was_asked_for(scene: Scene) -> None:
    release(scene.registry, "1.1")
    content = bundles.tar(bundles.files("1.1"))
    scene.host.instead["/targets/"] = lambda to: send(to, content, sent=1000)
    assert "ended after 1000 of" in scene.look().said

    def lie(to: BaseHTTPRequestHandler) -> None:
        to.send_response(206)
        to.send_header("Content-Range", f"bytes 0-{len(content) - 1}/{len(content)}")
        to.end_headers()
        to.wfile.write(content)

    scene.host.instead["/targets/"] = lie


@attack("expired")
def expired_metadata(scene: Scene) -> None:
    for part in scene.registry.signed.values():
        part.expires = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(hours=1)
    release(scene.registry, "1.1")


@attack("expired")
def freeze(scene: Scene) -> None:
    """What was true two weeks ago is all that the device is shown."""
    scene.later(days=15)


@attack("expired")
def an_expired_past_for_a_clock_that_stands_still(scene: Scene) -> None:
    """The device's clock begins in 1970 at each start; what was signed since is a floor."""
    content = bundles.files("1.1", built_s=int(time.time()) + 30 * 24 * 3600)
    scene.registry.signed["timestamp"].expires = scene.registry.in_days(60)
    scene.offer(content)
    scene.later(days=30)
    assert scene.look().said == "1.1 is on trial"
    with scene.device.alone():
        scene.device.roll_back("for the scene")
    scene.later(days=-365 * 50)
    scene.registry.signed["timestamp"].expires = scene.registry.in_days(20)
    release(scene.registry, "1.2")


@attack("version .* must be >=|must be >=")
def rollback(scene: Scene) -> None:
    old = scene.registry.folder / "old"
    shutil.copytree(scene.registry.metadata, old)
    scene.registry.publish()
    scene.registry.publish()
    assert scene.look().said == "1.0 is up to date"
    shutil.rmtree(scene.registry.metadata)
    old.rename(scene.registry.metadata)


@attack("the metadata is refused")
def mix_and_match(scene: Scene) -> None:
    """The newest timestamp, and under the snapshot's new name what was the snapshot before."""
    before = (scene.registry.metadata / "1.snapshot.json").read_bytes()
    release(scene.registry, "1.1")
    (scene.registry.metadata / "2.snapshot.json").write_bytes(before)


@attack("the metadata is refused")
def targets_of_another_time(scene: Scene) -> None:
    before = (scene.registry.metadata / "1.targets.json").read_bytes()
    release(scene.registry, "1.1")
    (scene.registry.metadata / "2.targets.json").write_bytes(before)


@attack("the metadata is refused.*timestamp was signed by 0/1 keys")
def another_key(scene: Scene) -> None:
    release(scene.registry, "1.1")
    scene.registry.publish(signer=CryptoSigner.generate_ed25519())


@attack("the metadata is refused.*timestamp was signed by 0/1 keys")
def the_key_before_the_rotation(scene: Scene) -> None:
    stolen = scene.registry.online
    scene.registry.rotate()
    scene.registry.publish()
    assert scene.look().said == "1.0 is up to date"
    scene.registry.publish(signer=stolen)


@attack("the metadata is refused.*timestamp was signed by 0/1 keys")
def the_key_before_the_rotation_and_the_new_root_withheld(scene: Scene) -> None:
    stolen = scene.registry.online
    scene.registry.rotate(root_key=True)
    scene.registry.publish()
    assert scene.look().said == "1.0 is up to date"
    (scene.registry.metadata / "2.root.json").unlink()
    scene.registry.publish(signer=stolen)


@attack("the metadata is refused.*root was signed by 0/1 keys")
def a_root_of_somebody_else(scene: Scene) -> None:
    scene.registry.root_key = CryptoSigner.generate_ed25519()
    scene.registry.rotate()


@attack("is signed there")
def a_bundle_for_another_target(scene: Scene) -> None:
    scene.offer(bundles.files("1.1", target="jetson-tx2-maxn"))


@attack("the bundle is 1.1 for jetson-tx2-maxn, and 1.1 for atom-x5-e3940 was signed")
def a_bundle_for_another_target_signed_for_this_one(scene: Scene) -> None:
    scene.offer(bundles.files("1.1", target="jetson-tx2-maxn"), target=TARGET)


@attack("what is signed of it is no bundle")
def a_place_outside(scene: Scene) -> None:
    content = bundles.files("1.1")
    scene.registry.offer(BASE, bundles.tar(content), offer_of(content))
    scene.registry.signed["targets"].targets[BASE].unrecognized_fields["custom"]["release"] = "../../etc"
    scene.registry.publish()


def renamed(name: bytes, kind: bytes = b"0", link: bytes = b"") -> bytes:
    """A bundle's tar with one more entry, which no release would write."""
    head = bytearray(unpack.header("zz", 0))
    head[: len(name)] = name
    head[156:157] = kind
    head[157 : 157 + len(link)] = link
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    content = bundles.files("1.1")
    return b"".join(bundles.entry(one, content[one]) for one in sorted(content)) + bytes(head) + unpack.END


for place in (b"../../../etc/cron.d/evil", b"/etc/passwd", b"samples/../../x", b".hidden", b"a\\..\\b"):

    @attack("damaged, or no download")
    def a_path_outside(scene: Scene, place: bytes = place) -> None:
        scene.offer(bundles.files("1.1"), renamed(place))

    ATTACKS[f"a_path_{place.decode()}"] = ATTACKS.pop("a_path_outside")

for kind, what in ((b"1", "hard_link"), (b"2", "symlink"), (b"3", "device"), (b"5", "folder"), (b"L", "long_name")):

    @attack("is no regular file as it is packed")
    def a_kind(scene: Scene, kind: bytes = kind) -> None:
        scene.offer(bundles.files("1.1"), renamed(b"zz", kind, b"/etc/passwd"))

    ATTACKS[f"a_{what}_in_the_bundle"] = ATTACKS.pop("a_kind")


@attack("more than 1000 files or 1048576 bytes")
def a_bomb(scene: Scene) -> None:
    scene.patch.setattr(unpack, "MOST_BYTES", 1 << 20)
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 18}]
    tar = bundles.entry("model.onnx", bytes(8 << 20)) + unpack.END
    bomb = lzma.compress(tar, lzma.FORMAT_XZ, lzma.CHECK_SHA256, filters=filters)
    scene.offer(bundles.described({**bundles.files("1.1"), bundle.PACKED: bomb}, "1.1"))


@attack("damaged, or no download")
def a_header_that_promises_what_does_not_come(scene: Scene) -> None:
    tar = unpack.header("manifest.json", 7 << 30) + bytes(1024)
    scene.offer(bundles.files("1.1"), tar)


@attack("the bundle has no evidence.json")
def no_evidence(scene: Scene) -> None:
    content = bundles.files("1.1")
    offer = offer_of(content)
    del content[bundle.EVIDENCE]
    scene.registry.offer(BASE, bundles.tar(bundles.described(content, "1.1")), offer)
    scene.registry.publish()


@attack("evidence.json is not the one that was signed")
def other_evidence_than_was_signed(scene: Scene) -> None:
    scene.offer(bundles.files("1.1"), evidence="0" * 64)


@attack("evidence.json says fail, and not pass")
def evidence_that_failed(scene: Scene) -> None:
    scene.offer(bundles.files("1.1", verdict="fail"))


@attack("evidence.json says not_measured, and not pass")
def evidence_that_was_never_measured(scene: Scene) -> None:
    scene.offer(bundles.files("1.1", verdict="not_measured"))


@attack("evidence.json is for jetson-tx2-maxn")
def evidence_of_another_target(scene: Scene) -> None:
    evidence = json.dumps({"target": "jetson-tx2-maxn", "verdict": "pass"}).encode()
    scene.offer(bundles.described({**bundles.files("1.1"), bundle.EVIDENCE: evidence}, "1.1"))


@attack("evidence.json is no evidence")
def evidence_that_says_nothing(scene: Scene) -> None:
    scene.offer(bundles.described({**bundles.files("1.1"), bundle.EVIDENCE: b"[" * 100000}, "1.1"))


@attack("is not what the bundle's manifest says")
def a_file_that_the_manifest_does_not_name(scene: Scene) -> None:
    content = bundles.files("1.1")
    scene.offer({**content, "setup.py": b"import os"})


@attack("no manifest of a bundle")
def a_manifest_that_is_none(scene: Scene) -> None:
    content = bundles.files("1.1")
    scene.offer(content, bundles.tar({**content, bundle.MANIFEST: b'{"files": 7}'}))


@attack("damaged, or no download")
def a_model_that_is_torn(scene: Scene) -> None:
    content = bundles.files("1.1")
    torn = content[bundle.PACKED][: len(content[bundle.PACKED]) // 2]
    scene.offer(bundles.described({**content, bundle.PACKED: torn}, "1.1"))


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_refused(scene: Scene, name: str) -> None:
    attacked, reason = ATTACKS[name]
    attacked(scene)
    found = scene.look()
    assert found.status in (polling.REFUSED, polling.NOT_NOW)
    assert_refused(scene, found.said, reason)


def assert_refused(scene: Scene, said: str, reason: str) -> None:
    """With its reason, which is also remembered and told, while what ran before runs on."""
    assert re.search(reason, said), said
    assert scene.runs == "1.0"
    status = scene.device.status()
    assert status.state in ("running", "rolled_back")
    remembered = f"{status.trouble} {status.reason}"
    assert re.search(reason, remembered), remembered
    slots = list(Path(scene.device.home, "slots").iterdir())
    assert not [slot for slot in slots if slot.name.startswith(".")], "nothing is left of what was refused"
    assert not list(Path(scene.device.home).rglob("passwd"))


@pytest.mark.parametrize("times", [12, pytest.param(500, marks=pytest.mark.nightly)])
def test_a_flipped_byte_anywhere_is_refused(scene: Scene, times: int) -> None:
    chance, home = random.Random(times), Path(scene.device.home)
    before = home.with_name("before")
    shutil.copytree(home, before, symlinks=True)
    release(scene.registry, "1.1")
    served = [*scene.registry.metadata.glob("*.json"), *scene.registry.targets.rglob("*.tar")]
    # What is fetched: the device knows root and the metadata of 1.0 already.
    wanted = ("2.targets.json", "2.snapshot.json", "timestamp.json", "3.root.json")
    newest = scene.registry.signed["targets"].targets[BASE].hashes["sha256"]
    files = [file for file in served if file.name in wanted or file.name.startswith(newest)]
    refused = dict.fromkeys((file.name[-14:] for file in files), 0)
    for _ in range(times):
        file = chance.choice(files)
        content = bytearray(file.read_bytes())
        place = chance.randrange(len(content))
        content[place] ^= 1 << chance.randrange(8)
        scene.host.instead.clear()
        scene.host.instead[file.name + "$"] = lambda to, content=bytes(content): send(to, content)  # type: ignore[misc]
        if says_the_same(file, bytes(content)):
            continue
        found = scene.look()
        assert found.status, (file.name, place, found.said)
        assert scene.runs == "1.0"
        refused[file.name[-14:]] += 1
        shutil.rmtree(home)
        shutil.copytree(before, home, symlinks=True)
    print("flipped bytes refused:", refused)
    assert sum(refused.values()) > times / 2


def says_the_same(file: Path, content: bytes) -> bool:
    """White space, and whether a signature's hexadecimal digits are small letters."""

    def meaning(text: bytes) -> Any:
        found = json.loads(text)
        for signature in found["signatures"]:
            signature["sig"] = signature["sig"].lower()
        return found

    try:
        return file.suffix == ".json" and bool(meaning(content) == meaning(file.read_bytes()))
    except (ValueError, KeyError, TypeError, AttributeError):
        return False


def test_a_rotated_key_is_taken(scene: Scene) -> None:
    scene.registry.rotate(root_key=True)
    release(scene.registry, "1.1")
    assert scene.look().said == "1.1 is on trial"


def test_after_a_fast_forward_attack_rotated_keys_bring_the_fleet_back(scene: Scene) -> None:
    """Whoever had the online key made every version enormous, so that nothing newer can follow; then it was rotated."""
    versions = {role: part.version for role, part in scene.registry.signed.items()}
    for part in scene.registry.signed.values():
        part.version = 1 << 30
    scene.registry.publish()
    assert scene.look().said == "1.0 is up to date"
    assert scene.device.trusted.versions["timestamp"] == (1 << 30) + 1
    for role, part in scene.registry.signed.items():
        part.version = versions[role]
    release(scene.registry, "1.1")
    assert "must be >=" in scene.look().said
    scene.registry.rotate()
    scene.registry.publish()
    assert scene.look().said == "1.1 is on trial"
    assert scene.device.trusted.versions["timestamp"] < 100


def test_what_came_before_the_line_broke_is_not_fetched_again(scene: Scene) -> None:
    release(scene.registry, "1.1")
    content = bundles.tar(bundles.files("1.1"))
    scene.host.instead["/targets/"] = lambda to: send(to, content, sent=10000)
    assert "the rest is fetched next time" in scene.look().said
    scene.host.instead.clear()
    scene.host.asked.clear()
    assert scene.look().said == "1.1 is on trial"
    assert [asked for path, asked in scene.host.asked if "/targets/" in path] == ["bytes=10000-"]


def test_a_part_that_power_garbled_is_fetched_anew(scene: Scene) -> None:
    release(scene.registry, "1.1")
    content = bundles.tar(bundles.files("1.1"))
    scene.host.instead["/targets/"] = lambda to: send(to, content, sent=10000)
    scene.look()
    scene.host.instead.clear()
    [part] = Path(scene.device.home, "agent/spool").iterdir()
    part.write_bytes(bytes(10000))
    assert scene.look().said == "1.1 is on trial"


def test_a_bandwidth_cap_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the time that is slept, not of a clock: the machine may be busy."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    monkeypatch.setattr(time, "monotonic", lambda: 100.0 + sum(slept))
    pace = fetching.Pace(8 << 10)
    for _ in range(100):
        pace.took(pace.block)
    assert sum(slept) == pytest.approx(100 * pace.block / (8 << 10), rel=0.01)


def test_lengths_around_two_to_the_31_are_counted_as_they_are() -> None:
    size = (1 << 31) + 5
    assert struct.unpack("12s", unpack.header("a", size)[124:136])[0] == b"%011o\0" % size
