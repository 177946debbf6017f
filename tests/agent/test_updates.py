"""An update from the registry to a model that is called good, or is taken back."""

import json
import os
import time
from pathlib import Path

import pytest

from runners.agent import polling, status_outbox
from runners.agent.__main__ import main
from runners.agent.self_testing import SelfTest, self_test
from runners.agent.troubles import Unavailable
from runners.agent.updating import Device
from runners.contract import bundle, device_folder
from runners.contract.rollout import Rollout
from tests.agent import bundles
from tests.agent.conftest import Start, camera_says, configured, records_of, release
from tests.agent.registry import BASE, NEWER, Registry, offer_of


def looked(device: Device) -> polling.Looked:
    with device.alone():
        return polling.look(device)


def running(device: Device) -> str:
    manifest = device.slots.manifest(device.slots.current)
    assert manifest is not None
    return manifest.version


def good(device: Device) -> None:
    """The trial is over, and the camera program is content."""
    for _ in range(2):
        camera_says(device)
        with device.alone():
            device.watch()


def test_from_nothing_to_a_model_that_is_good(start: Start, registry: Registry) -> None:
    device = start(trial_minutes=0)
    assert device.status().state == "no_model"
    assert looked(device) == polling.Looked(0, "1.0 is on trial")
    slot = Path(device.home, device_folder.CURRENT).resolve()
    assert slot == Path(device.home, "slots", slot.name).resolve()
    assert sorted(file.name for file in slot.iterdir()) == [
        "NOTICE", "evidence.json", "manifest.json", "model", "samples", "sbom.cdx.json",
    ]  # fmt: skip
    assert (slot / "model/model.onnx").is_file()
    assert (device.status().state, device.status().self_test) == ("trial", "pass")
    good(device)
    assert device.status().state == "running"
    assert device.status().sha256 is not None
    assert looked(device) == polling.Looked(0, "1.0 is up to date")
    assert [one.state for one in records_of(device)] == ["trial", "running"]
    assert list(Path(device.home, "agent/spool").iterdir()) == []


def test_the_one_before_stays_and_older_ones_go(start: Start, registry: Registry) -> None:
    device = start(trial_minutes=0)
    for version in ("1.0", "1.1", "1.2"):
        if version != "1.0":
            release(registry, version)
        assert looked(device).said == f"{version} is on trial"
        good(device)
    versions = [device.slots.manifest(slot.name) for slot in Path(device.home, "slots").iterdir()]
    assert sorted(one.version for one in versions if one) == ["1.1", "1.2"]
    assert len(versions) == 2


def test_a_record_that_is_sent_while_the_oldest_are_dropped_is_no_trouble(
    start: Start, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, listdir = start(trial_minutes=0), os.listdir

    def sent_meanwhile(folder: str) -> list[str]:
        names = sorted(listdir(folder))
        if len(names) > 1:
            Path(folder, names[0]).unlink()
        return names

    monkeypatch.setattr(status_outbox, "MOST", 1)
    with device.alone():
        device.tell()
        monkeypatch.setattr(status_outbox.os, "listdir", sent_meanwhile)
        device.tell()
    assert len(records_of(device)) == 1


def test_a_self_test_that_fails_leaves_what_runs_and_is_not_repeated(start: Start, registry: Registry) -> None:
    device = start(trial_minutes=0)
    looked(device)
    good(device)
    release(registry, "1.1")
    asked = []

    def test(slot: str) -> SelfTest:
        asked.append(slot)
        return SelfTest("fail", "3 of 6 samples have other answers")

    device._test = test
    assert looked(device) == polling.Looked(1, "self-test: 3 of 6 samples have other answers")
    assert running(device) == "1.0"
    told = records_of(device)[-1]
    assert (told.state, told.failed, told.version) == ("running", "1.1", "1.0")
    assert "3 of 6" in (told.reason or "")
    registry.publish()  # the same offer in newer metadata
    again = start(trial_minutes=0)
    assert looked(again).said.startswith("1.1 was tried and given up")
    assert len(asked) == 1
    content = bundles.files("1.1")
    registry.offer(BASE, bundles.tar(content), offer_of(content, "v1-again"))
    registry.publish()
    assert looked(again).said == "1.1 is on trial", "something else was signed"


@pytest.mark.parametrize(
    ("says", "reason"),
    [
        ({"refused": "NEW", "why": "it is torn", "slot": "OLD"}, "the camera program does not take it: it is torn"),
        ({"fps": 3.0}, "3.0 frames a second, and 25.0 before"),
    ],
)
def test_a_trial_that_fails_is_taken_back(
    start: Start, registry: Registry, says: dict[str, object], reason: str
) -> None:
    device = start(trial_minutes=0)
    looked(device)
    good(device)
    old = device.slots.current
    release(registry, "1.1")
    camera_says(device)  # 25 frames a second before
    looked(device)
    names = {"NEW": device.slots.current, "OLD": old}
    assert device.slots.current != old
    for _ in range(2):
        if device.state.trial is not None:
            camera_says(device, **{key: names.get(str(value), value) for key, value in says.items()})  # type: ignore[arg-type]
            with device.alone():
                device.watch()
    assert device.slots.current == old
    assert (device.status().state, device.status().version) == ("rolled_back", "1.0")
    told = records_of(device)[-1]
    assert (told.state, told.failed, told.reason) == ("rolled_back", "1.1", reason)
    assert looked(device).status == 1, "it is not tried again"
    assert device.slots.current == old


def test_a_camera_that_dies_or_restarts_or_never_comes(start: Start, registry: Registry) -> None:
    from runners.agent.agent_state import Trial
    from runners.agent.trial_watch import Judgement, judge
    from runners.contract.camera_state import CameraState

    trial = Trial("a" * 64, "b" * 64, "1", None, "pass", "boot", 1000.0)
    state = CameraState("new", "boot", 1100.0, 5, 25.0, 0)

    def judged(trial: Trial, state: CameraState | None, now_s: float) -> Judgement:
        return judge(trial, "new", state, now_s, 600.0, 0.5)

    assert judged(trial, None, 99999.0).good is None, "it was not there before either"
    assert judged(trial._replace(had_camera=True), None, 1100.0).good is None
    assert judged(trial._replace(had_camera=True), None, 1181.0).good is False
    assert judged(trial, state._replace(slot="old"), 1101.0).good is None
    assert judged(trial, state._replace(slot="old"), 2801.0).good is False
    assert judged(trial._replace(restarts=3), state, 1101.0).good is False
    assert judged(trial._replace(boots=4), state, 1101.0).good is False
    seen = trial._replace(seen_s=1100.0, fps=25.0)
    assert judged(seen, state, 1699.0).good is None
    assert judged(seen, state, 1700.0).good is True
    assert judged(seen, state._replace(fps=0.0), 1700.0).good is None, "nobody knows"
    assert judged(seen, state._replace(frames=0), 1700.0).good is None
    assert judged(seen, state._replace(monotonic_s=999.0), 1700.0).good is None


def test_a_rollout_reaches_a_device_when_it_is_due_and_a_halt_brings_it_back(start: Start, registry: Registry) -> None:
    device = start(trial_minutes=0)
    looked(device)
    good(device)
    content = bundles.files("1.1")

    def rolled_out(percent: int, hours: int = 0) -> None:
        plan = Rollout(percent, int(time.time()) - 1, hours)
        registry.offer(NEWER, bundles.tar(content), offer_of(content, rollout=plan))
        registry.publish()

    rolled_out(0)
    assert looked(device).said == "1.0 is up to date"
    rolled_out(100, hours=1000000)
    assert looked(device).said == "1.0 is up to date", "it waits its time"
    rolled_out(100)
    assert looked(device).said == "1.1 is on trial"
    good(device)
    rolled_out(0)
    assert looked(device).said == "1.1 is up to date", "who has it keeps it while it is signed"
    registry.withdraw(NEWER)
    registry.publish()
    assert looked(device).said == "1.0 is on trial"
    good(device)
    assert running(device) == "1.0"


def test_a_device_that_gave_up_what_is_rolled_out_takes_what_everybody_has(start: Start, registry: Registry) -> None:
    content = bundles.files("1.1")
    registry.offer(NEWER, bundles.tar(content), offer_of(content, rollout=Rollout(100, 0, 0)))
    registry.publish()
    assert looked(start(SelfTest("fail", "it is a drill"))) == polling.Looked(1, "self-test: it is a drill")
    device = start(trial_minutes=0)
    assert device.status().state == "no_model"
    assert looked(device).said == "1.0 is on trial", "a camera with the older model is more than none"
    good(device)
    assert looked(device).said == "1.0 is up to date"
    assert (device.status().version, device.status().failed) == ("1.0", "1.1")


def test_it_waits_for_the_night_and_for_whoever_asks_it_to(start: Start, registry: Registry, tmp_path: Path) -> None:
    hour = time.localtime().tm_hour
    window = f"{(hour + 2) % 24:02d}:00-{(hour + 3) % 24:02d}:00"
    device = start(trial_minutes=0, window=window)
    assert looked(device).said == f"1.0 waits: it is not the time: {window}"
    device = start(trial_minutes=0)
    (tmp_path / "etc/inhibit").touch()
    assert "inhibit is there" in looked(device).said
    assert device.slots.current is None
    (tmp_path / "etc/inhibit").unlink()
    assert looked(device).said == "1.0 is on trial"


def test_offline_everything_goes_on(start: Start, registry: Registry) -> None:
    device = start(trial_minutes=0)
    looked(device)
    good(device)
    registry.metadata.rename(registry.folder / "away")
    found = looked(start(trial_minutes=0))
    assert found.status == 3
    assert "no metadata" in found.said
    assert running(device) == "1.0"


def test_by_hand_from_a_stick_to_confirm_or_take_back(registry: Registry, tmp_path: Path) -> None:
    content = bundles.files("1.1")
    registry.offer(NEWER, bundles.tar(content), offer_of(content, rollout=Rollout(0, 0, 1)))
    registry.publish()
    config = configured(
        tmp_path / "etc", registry, metadata_url="http://127.0.0.1:9/", targets_url="http://127.0.0.1:9/"
    )
    agent = [f"--config={config}", f"--home={tmp_path / 'home'}"]
    assert main([*agent, "status"]) == 2, "no agent has worked there"
    assert not (tmp_path / "home").exists(), "who only looks makes no folder"
    assert main([*agent, "install", str(registry.folder), "--confirm-later"]) == 0
    assert main([*agent, "status"]) == 3
    assert main([*agent, "once"]) == 0, "it is left alone until somebody confirms it"
    assert main([*agent, "confirm"]) == 0
    assert main([*agent, "status"]) == 0
    assert main([*agent, "confirm"]) == 2, "nothing is on trial"
    [file] = registry.targets.rglob(f"{registry.signed['targets'].targets[BASE].hashes['sha256']}.*")
    (tmp_path / "stick").mkdir()
    (tmp_path / "stick/it.tar").write_bytes(file.read_bytes())
    assert main([*agent, "install", str(tmp_path / "stick/it.tar")]) == 3, "no metadata beside it, and no host"
    registry.metadata.rename(tmp_path / "stick/metadata")
    assert main([*agent, "install", str(tmp_path / "stick/it.tar"), "--confirm-later"]) == 0
    assert main([*agent, "roll-back"]) == 0
    assert main([*agent, "status"]) == 1
    device_home = tmp_path / "home"
    assert json.loads((device_home / "current/manifest.json").read_text())["version"] == "1.1"
    (tmp_path / "stick/other.tar").write_bytes(file.read_bytes() + b"x")
    assert main([*agent, "install", str(tmp_path / "stick/other.tar")]) == 1
    assert main([*agent, "install", str(tmp_path / "nowhere")]) == 2


def test_the_real_self_test_takes_a_good_model_and_refuses_one_that_answers_otherwise(
    start: Start, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    device = Device("home", start(trial_minutes=0).config)  # as somebody calls it who stands beside it
    assert looked(device).said == "1.0 is on trial"
    good(device)
    content = bundles.files("1.1")
    scores = bytearray(content[bundle.SCORES])
    scores[-1] ^= 1
    content = bundles.described({**content, bundle.SCORES: bytes(scores)}, "1.1")
    registry.offer(BASE, bundles.tar(content), offer_of(content))
    registry.publish()
    found = looked(device)
    assert found.said.startswith("self-test: 1 of 6 samples have other answers than promised")
    assert running(device) == "1.0"


@pytest.mark.parametrize("said", ["", "pass", "[]", '{"verdict": "pass"}', "[" * 100_000])
def test_a_self_test_that_says_nothing_is_none(tmp_path: Path, said: str) -> None:
    (tmp_path / "answer").write_text(said)
    with pytest.raises(Unavailable, match="ended with 0 and said nothing"):
        self_test(["sh", "-c", f"cat {tmp_path}/answer"], "slot")


def test_numbers_that_change_under_the_same_model_are_told(start: Start, registry: Registry) -> None:
    device = start(trial_minutes=0)
    looked(device)
    good(device)
    with device.alone():
        device._test = lambda _: SelfTest("fail", "never asked: it was tested today")
        device.check_numerics()
        assert device.status().self_test == "pass"
        device._today = lambda: "tomorrow"  # type: ignore[method-assign]
        device._test = lambda _: SelfTest("fail", "another driver")
        device.check_numerics()
    assert records_of(device)[-1].self_test == "fail"
    assert running(device) == "1.0"
