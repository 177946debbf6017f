"""A rollout goes on by what devices report, and is taken back before it reaches many."""

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.release import fleet_reports, promised, publishing, rollout_step
from pipeline.release.fleet_reports import Fleet, read_fleet
from pipeline.release.release_settings import Phases, load_settings
from pipeline.release.rollout_step import standing
from pipeline.release.tuf_registry import Registry
from pipeline.system import files
from pipeline.system.errors import BadData, InputError, Missing
from pipeline.system.inbox import Inbox, Listed
from runners.contract import device_status, rollout
from runners.contract.bundle import NEXT, Offer
from runners.contract.device_status import DeviceStatus
from runners.contract.rollout import Rollout
from tests.inboxes import sftp, webdav
from tests.update import fleet
from tests.update.conftest import START, TARGET, Signed

PATH, VERSION, NOW = f"stable/{TARGET}", "v1.1.0", START.timestamp()
PHASES = Phases()
OFFER = Offer(TARGET, VERSION, VERSION, "a.tar", 1, "0" * 64, Rollout(10, int(NOW) - 7 * 3600, 6))
IN_STEP = [name for name in map(str, range(1000)) if rollout.place(name, VERSION) < 10]
OUTSIDE = [name for name in map(str, range(1000)) if rollout.place(name, VERSION) >= 10]


def status(device: str, **fields: object) -> DeviceStatus:
    known = {"state": "running", "version": "v1.0.0", "self_test": "pass", "time_s": NOW, **fields}
    return DeviceStatus(device=device, target=TARGET, agent="1", **known)


def passed(device: str, **fields: object) -> DeviceStatus:
    return status(device, **{"version": VERSION, **fields})


def failed(device: str) -> DeviceStatus:
    return status(device, state="rolled_back", failed=VERSION)


def judged(*reports: DeviceStatus, offer: Offer = OFFER, now_s: float = NOW) -> rollout_step.Standing:
    return standing(PATH, offer, Fleet({report.device: report for report in reports}, 0), PHASES, now_s)


def decision(*reports: DeviceStatus, **when: object) -> str:
    return judged(*reports, **when).decision


def test_what_passes_goes_on() -> None:
    assert decision(*map(passed, IN_STEP)) == "promote"
    assert judged(*map(passed, IN_STEP[:20])).sentence == (
        f"{PATH}: {VERSION} at 10 %: promote: the step's time has passed, and its devices run it "
        "(20 pass, 0 fail, 20 due)"
    )


def test_nothing_goes_on_before_the_step_s_time() -> None:
    assert decision(*map(passed, IN_STEP), now_s=NOW - 2 * 3600) == "wait"


def test_what_fails_is_taken_back_at_once() -> None:
    assert decision(*map(failed, IN_STEP[:1]), now_s=NOW - 6.5 * 3600) == "halt"
    assert decision(*map(failed, IN_STEP[:2]), *map(passed, IN_STEP[2:20])) == "halt"
    assert decision(status(IN_STEP[0], version=VERSION, state="trial", self_test="fail")) == "halt"
    assert decision(*map(failed, IN_STEP[:1]), *map(passed, IN_STEP[1:40])) == "promote"  # 2.5 %


@pytest.mark.parametrize(
    "report",
    [
        {"version": "v1.0.0"},
        {"version": VERSION, "state": "trial"},
        {"version": VERSION, "self_test": "not_measured"},
        {"version": VERSION, "state": "no_model"},
    ],
    ids=str,
)
def test_what_is_not_known_to_run_is_no_success(report: dict[str, str]) -> None:
    assert decision(*(status(name, **report) for name in IN_STEP)) == "hold"


def test_silence_holds_a_rollout() -> None:
    quiet = [status(name) for name in IN_STEP[20:]]
    assert decision(*map(passed, IN_STEP[:20]), *quiet) == "hold"
    long_gone = [status(name, time_s=NOW - 3 * 24 * 3600) for name in IN_STEP[20:]]
    assert decision(*map(passed, IN_STEP[:20]), *long_gone) == "promote"
    assert decision() == "hold"


def test_a_small_fleet_needs_all_of_its_few_devices() -> None:
    assert decision(*map(passed, IN_STEP[:2])) == "promote"
    assert decision(*map(passed, IN_STEP[:1]), status(IN_STEP[1])) == "hold"
    assert judged(*map(status, OUTSIDE[:50])).why == "no device that is known is in this step"


def test_only_devices_whose_turn_it_is_have_a_say() -> None:
    assert judged(*map(failed, OUTSIDE), *map(passed, IN_STEP[:9])).failed == 0
    others = [passed(name, channel="beta") for name in IN_STEP]
    assert judged(*others).passed == 0
    assert judged(*[one._replace(target="jetson-tx2-maxq") for one in map(passed, IN_STEP)]).passed == 0


# Frames a second, where somebody set a limit.

SLOW = Phases(slow_percent=10)


def by_speed(*rates: float | None, limit: float | None = 30, phases: Phases = SLOW, **when: float) -> str:
    """What is decided where the devices of the step run the version at these frames a second."""
    reports = {name: passed(name, fps=fps) for name, fps in zip(IN_STEP, rates, strict=False)}
    now_s = when.get("now_s", NOW)
    return standing(PATH, OFFER, Fleet(reports, 0), phases, now_s, limit).decision


def test_a_version_that_is_too_slow_is_taken_back() -> None:
    assert by_speed(*[30.0] * 18, *[26.0] * 2) == "promote"  # 10 %
    assert by_speed(*[30.0] * 17, *[26.0] * 3) == "halt"
    assert by_speed(*[30.0] * 17, *[26.0] * 3, now_s=NOW - 6.5 * 3600) == "halt", "at once"
    assert by_speed(*[27.0] * 20) == "promote", "a tenth less is as promised"
    assert by_speed(*[26.0] * 20, phases=PHASES) == "promote", "nobody asked"
    reports = {name: passed(name, fps=20.0) for name in IN_STEP[:5]}
    assert standing(PATH, OFFER, Fleet(reports, 0), SLOW, NOW, 30).why == (
        "5 of 5 that told have less than 90% of 30 frames/s"
    )


def test_frames_that_nobody_told_count_neither_way() -> None:
    assert by_speed(*[30.0] * 5, *[None] * 15) == "promote"
    assert by_speed(*[30.0] * 4, *[None] * 16) == "hold", "too few to say"
    assert by_speed(*[20.0] * 4, *[None] * 16) == "hold"
    assert by_speed(*[30.0] * 5, *[0.0] * 15) == "promote", "no frames come"
    assert by_speed(*[30.0] * 4, *[0.0] * 16) == "hold"
    assert by_speed(*[None] * 20, now_s=NOW - 6.5 * 3600) == "wait"
    assert by_speed(*[30.0] * 20, limit=None) == "hold"
    assert by_speed(20.0) == "halt", "all of a small fleet"


def test_what_was_promised_is_what_the_gate_asked_for(signed: Signed, release: Callable[..., Path]) -> None:
    folder = release("v1.0.0")
    publishing.publish(signed.at(), signed.online_key, folder, PHASES)
    offer, path = signed.at().offers()[PATH], signed.folder / f"evidence/v1.0.0/{TARGET}.json"
    assert promised.frames_per_s(signed.at(), offer) is None, "its evidence does not say"
    checks = [{"name": "proof", "limit": 1.0}, {"name": "frames_per_s", "limit": 30}]
    path.write_text(json.dumps({"records": [{"checks": checks}]}))
    assert promised.frames_per_s(signed.at(), offer) is None, "it is not what was signed"
    offer = offer._replace(evidence=files.sha256(path))
    assert promised.frames_per_s(signed.at(), offer) == 30
    path.unlink()
    assert promised.frames_per_s(signed.at(), offer) is None


# The inbox is hostile.


def write(inbox: Path, report: DeviceStatus, content: bytes | None = None) -> Path:
    path = inbox / device_status.file_name(report)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(json.dumps(device_status.as_json(report)).encode() if content is None else content)
    return path


def test_the_newest_record_of_each_device_counts(tmp_path: Path) -> None:
    write(tmp_path, passed("a", time_s=1))
    write(tmp_path, failed("a"))
    write(tmp_path, passed("b"))
    found = read_fleet(tmp_path)
    assert ({name: one.failed for name, one in found.devices.items()}, found.refused) == ({"a": VERSION, "b": None}, 0)
    assert read_fleet(tmp_path / "status").devices == {}
    with pytest.raises(Missing):
        read_fleet(tmp_path / "nowhere")


def test_a_record_that_is_none_hides_no_older_one(tmp_path: Path) -> None:
    write(tmp_path, failed("a"))
    for more, content in enumerate((b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'{"device": NaN}', b" " * 20_000), 1):
        write(tmp_path, status("a", time_s=NOW + more), content)
    write(tmp_path, status("a", time_s=NOW + 99), json.dumps(device_status.as_json(passed("b"))).encode())
    found = read_fleet(tmp_path)
    assert (found.devices["a"].failed, found.refused) == (VERSION, 8)


def test_links_and_what_is_no_file_are_left_alone(tmp_path: Path) -> None:
    secret = write(tmp_path / "elsewhere", passed("a"))
    inbox = tmp_path / "inbox"
    (inbox / "status").mkdir(parents=True)
    (inbox / "status/linked").symlink_to(secret.parent)
    (inbox / "status/a").mkdir()
    (inbox / "status/a" / secret.name).symlink_to(secret)
    (inbox / "status/b").mkdir()
    os.mkfifo(inbox / "status/b/000000000000001.json")
    (inbox / "status/c/000000000000001.json").mkdir(parents=True)
    (inbox / "status/-- d\n").mkdir()
    found = read_fleet(inbox)
    assert (found.devices, found.refused) == ({}, 1)


@settings(max_examples=40)
@given(content=st.binary(max_size=300) | st.recursive(st.none() | st.floats() | st.text(), st.lists).map(json.dumps))
def test_no_record_whatever_it_holds_ends_the_reading(
    tmp_path_factory: pytest.TempPathFactory, content: bytes | str
) -> None:
    inbox = tmp_path_factory.getbasetemp() / "any-record"  # one folder for all examples: making one takes longer
    write(inbox, passed("a"), content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    assert read_fleet(inbox).devices == {}


# A whole fleet.


@pytest.mark.parametrize("version", ["v1.1.0", "v1.2.0", "v1.3.0"])
def test_a_bad_version_infects_at_most_its_first_step_of_200_devices(
    signed: Signed, release: Callable[..., Path], version: str
) -> None:
    fleet.start(signed, release("v1.0.0"), release(version), PHASES)
    day = fleet.simulate(signed, version, 200, lambda index: False, PHASES, 30)
    assert 1 <= day.ever <= fleet.first_step(200, version, PHASES)
    assert [what.split()[0] for _, what in day.moments][-1] == "halt"
    assert {path: offer.version for path, offer in signed.at().offers().items()} == {PATH: "v1.0.0"}
    assert day.running == 0


def test_a_version_that_kills_devices_never_leaves_its_first_step(signed: Signed, release: Callable[..., Path]) -> None:
    fleet.start(signed, release("v1.0.0"), release(VERSION), PHASES)
    day = fleet.simulate(signed, VERSION, 200, lambda index: None, PHASES, 30)
    assert 1 <= day.ever <= fleet.first_step(200, VERSION, PHASES)
    assert signed.at().offers()[PATH].version == "v1.0.0"


def test_a_good_version_reaches_all(signed: Signed, release: Callable[..., Path]) -> None:
    fleet.start(signed, release("v1.0.0"), release(VERSION), PHASES)
    day = fleet.simulate(signed, VERSION, 200, lambda index: True, PHASES, 30)
    assert (day.ever, day.running) == (200, 200)
    assert [what for _, what in day.moments] == [f"promote {percent}" for percent in PHASES.steps]
    assert {path: offer.version for path, offer in signed.at().offers().items()} == {PATH: VERSION}


@pytest.mark.nightly
@pytest.mark.parametrize("failing_percent", [0, 6, 100])
def test_a_day_of_100_000_devices(
    signed: Signed, release: Callable[..., Path], capsys: pytest.CaptureFixture[str], failing_percent: int
) -> None:
    fleet.start(signed, release("v1.0.0"), release(VERSION, model=os.urandom(4 << 20)), PHASES)
    day = fleet.simulate(signed, VERSION, 100_000, lambda index: index % 100 >= failing_percent, PHASES, 36)
    with capsys.disabled():
        requests, sent = day.first_day
        print(f"\n100,000 devices, {failing_percent} % of which fail: {requests:,} requests in 24 h,", end=" ")
        print(f"{sent / 1e9:.2f} GB, at most {day.busiest_per_s:.0f} requests/s,", end=" ")
        print(f"{day.ever:,} devices took it; all run it after {fleet.hours(day.all_s)};", end=" ")
        print("; ".join(f"{fleet.hours(when)} {what} %" for when, what in day.moments))
    if not failing_percent:
        assert day.running == 100_000
    else:
        assert day.ever <= fleet.first_step(100_000, VERSION, PHASES)


# release.yaml.


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("rollout: {steps: [1, 10]}", "end with 100"),
        ("rollout: {steps: [10, 1, 100]}", "rising"),
        ("rollout: {hours: -1}", "greater than or equal to 0"),
        ("lanes: [moon]", "emulated"),
        ("lanes: []", "at least 1"),
        ("speed: 1", "speed: there is no such key$"),
        ("[", "YAML"),
        ("- 1", "dictionary"),
    ],
)
def test_bad_settings_are_named(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "release.yaml").write_text(text)
    with pytest.raises(InputError, match=why):
        load_settings(tmp_path / "release.yaml")
    assert load_settings(tmp_path / "none.yaml").rollout.steps == [1, 10, 50, 100]


def test_a_rollout_by_the_inbox_of_a_folder(signed: Signed, release: Callable[..., Path], tmp_path: Path) -> None:
    fleet.start(signed, release("v1.0.0"), release(VERSION), PHASES)
    publishing.promote(Registry(signed.folder, START), signed.online_key, PHASES, [PATH])
    for name in IN_STEP[:1]:
        write(tmp_path / "inbox", failed(name))
    registry = Registry(signed.folder, START)
    assert rollout_step.decide(registry, None, read_fleet(tmp_path / "inbox"), PHASES)[0].decision == "halt"
    assert PATH + NEXT in registry.offers()  # a dry run
    found = rollout_step.decide(registry, signed.online_key, read_fleet(tmp_path / "inbox"), PHASES)
    assert (rollout_step.verdict(found), list(registry.offers())) == ("fail", [PATH])
    assert rollout_step.verdict(rollout_step.decide(registry, None, Fleet({}, 0), PHASES)) == "pass"


def test_the_inbox_is_copied_from_where_it_is(tmp_path: Path) -> None:
    for report in (passed("a", time_s=1), failed("a"), passed("b")):
        write(tmp_path / "inbox", report)
    write(tmp_path / "inbox", status("a", time_s=NOW + 9), b"{")
    write(tmp_path / "inbox", status("a b"), b"{}")
    assert fleet_reports.fetch((tmp_path / "inbox").as_uri(), tmp_path / "copy") == 2
    assert read_fleet(tmp_path / "copy").devices == read_fleet(tmp_path / "inbox").devices
    (tmp_path / "nothing").mkdir()
    assert fleet_reports.fetch(str(tmp_path / "nothing"), tmp_path / "none") == 0
    with pytest.raises(InputError, match="there is no such folder"):
        fleet_reports.fetch(str(tmp_path / "nowhere"), tmp_path / "more")
    with pytest.raises(InputError, match="exists already"):
        fleet_reports.fetch(str(tmp_path / "inbox"), tmp_path / "copy")
    with pytest.raises(InputError) as told:
        fleet_reports.fetch("sftp://fleet:secret@127.0.0.1:9/inbox", tmp_path / "more")
    assert "secret" not in str(told.value)
    with webdav(tmp_path / "inbox") as address:
        place = address.replace("//", "//camera-17:secret@")
        assert fleet_reports.fetch(place, tmp_path / "from webdav") == 2
    assert read_fleet(tmp_path / "from webdav").devices == read_fleet(tmp_path / "inbox").devices
    assert not (tmp_path / "more").exists()


def test_a_record_of_a_clock_that_was_ahead_hides_none_of_when_it_is_right(tmp_path: Path) -> None:
    ahead = passed("a", time_s=time.time() + 9e7)
    for inbox, reports in ((tmp_path / "both", (ahead, failed("a"))), (tmp_path / "one", (ahead,))):
        for one in reports:
            write(inbox, one)
    assert read_fleet(tmp_path / "both").devices["a"].failed == VERSION
    assert fleet_reports.fetch(str(tmp_path / "both"), tmp_path / "copy") == 1
    assert read_fleet(tmp_path / "copy").devices["a"].failed == VERSION
    assert read_fleet(tmp_path / "one").devices["a"] == ahead, "what is all that there is counts"


def test_hostile_reports_on_an_sftp_server_hide_no_other_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox, newer = tmp_path / "inbox", passed("", time_s=NOW + 50)
    for number in range(6):
        write(inbox, passed(f"cam-{number}"))
    write(inbox, newer._replace(device="cam-0"), b"{")
    os.truncate(write(inbox, newer._replace(device="cam-1"), b"{}"), 1 << 40)
    write(inbox, newer._replace(device="cam-2")).chmod(0)
    for device, odd in (
        ("cam-3", os.mkfifo),
        ("cam-4", os.mkdir),
        ("cam-5", lambda path: path.symlink_to("/etc/passwd")),
    ):
        odd(inbox / device_status.file_name(newer._replace(device=device)))
    (inbox / os.fsdecode(b"status/cam-0/\xff")).touch()
    (inbox / os.fsdecode(b"status/\xff")).mkdir()
    for folder in ("evil", "..x", "a b", "x" * 200, "-rf"):
        content = json.dumps(device_status.as_json(newer._replace(device="../x"))).encode()
        write(inbox, newer._replace(device=folder), content)
    with sftp(tmp_path / "sshd") as sshd:
        monkeypatch.setenv("HOME", str(sshd.known_in(tmp_path / "home")))
        address = f"{sshd.address}{inbox}"
        found = 5 if os.geteuid() else 6  # root may read all
        assert fleet_reports.fetch(address, tmp_path / "copy") == found
        devices = read_fleet(tmp_path / "copy").devices
        assert set(devices) >= {f"cam-{number}" for number in (0, 1, 3, 4, 5)}
        assert set(devices) <= {f"cam-{number}" for number in range(6)}

        read = Inbox.read

        def last(inbox: Inbox, file: str, most: int) -> bytes:
            sshd.hang_up()
            return read(inbox, file, most)

        monkeypatch.setattr(Inbox, "read", last)
        with pytest.raises(InputError, match="the connection was lost; try again"):
            fleet_reports.fetch(address, tmp_path / "half")
    assert {path.name for path in tmp_path.iterdir()} == {"inbox", "sshd", "home", "copy"}


def test_a_far_server_is_asked_for_several_devices_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(16):
        write(tmp_path / "inbox", passed(f"cam-{number}"))
    read, together = Inbox.read, threading.Barrier(8, timeout=20)

    def with_others(inbox: Inbox, file: str, most: int) -> bytes:
        together.wait()
        return read(inbox, file, most)

    monkeypatch.setattr(Inbox, "read", with_others)
    assert fleet_reports.fetch(str(tmp_path / "inbox"), tmp_path / "copy") == 16
    assert len(read_fleet(tmp_path / "copy").devices) == 16


def test_a_folder_that_nobody_may_list_hides_no_other_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for report in (passed("a"), passed("b")):
        write(tmp_path / "inbox", report)
    listed = Inbox.entries

    def entries(inbox: Inbox, folder: str) -> list[Listed]:
        if folder == "status/a":
            raise BadData("inbox: cannot be read (Permission denied)")
        return listed(inbox, folder)

    monkeypatch.setattr(Inbox, "entries", entries)
    assert fleet_reports.fetch(str(tmp_path / "inbox"), tmp_path / "copy") == 1
    assert list(read_fleet(tmp_path / "copy").devices) == ["b"]
