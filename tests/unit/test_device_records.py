"""The records that device and cloud exchange: what is written is read again, and what is hostile is one line."""

import copy
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runners.contract import bundle, camera_state, capture_facts, device_status, records, rollout

DIGEST = "0123456789abcdef" * 4

MANIFEST = bundle.Manifest(
    "mobilenet-v2", "int8-atom", "atom-x5-e3940", "1.2.3", "openvino", ["a", "b"], 0.0, 1790000000,
    {"model.tar.xz": DIGEST}, {"data": "v1"},
)  # fmt: skip
OFFER = bundle.Offer(
    "atom-x5-e3940", "1.2.3", "v1.2.3", "a.tar", 1790000000, DIGEST, rollout.Rollout(10, 1790000000, 6)
)
CAMERA = camera_state.CameraState("0123456789ab", "boot", 12.5, 300, 29.9, 1)
STATUS = device_status.DeviceStatus("camera-17", "atom-x5-e3940", "0.1.0", 1790000000.5, "trial", "1.2.3", DIGEST)
CAPTURE = capture_facts.Capture(
    "c1", "camera-17", "0", "b-0-7", 1790000000.5, "unsure", "1.2.3", {"a": 0.4, "b": 0.6}, 100, 200, DIGEST, "0" * 16
)

KINDS: dict[str, tuple[Any, Callable[[Any], dict[str, Any]], Callable[[Any], Any]]] = {
    "manifest": (MANIFEST, bundle.as_json, bundle.from_json),
    "offer": (OFFER, bundle.offer_as_json, bundle.offer_from_json),
    "camera": (CAMERA, camera_state.as_json, camera_state.from_json),
    "status": (STATUS, device_status.as_json, device_status.from_json),
    "capture": (CAPTURE, capture_facts.as_json, capture_facts.from_json),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_read_again(kind: str) -> None:
    record, write, read = KINDS[kind]
    assert read(json.loads(json.dumps(write(record)))) == record


@pytest.mark.parametrize("kind", KINDS)
def test_a_newer_writer_may_say_more(kind: str) -> None:
    record, write, read = KINDS[kind]
    assert read({**write(record), "since": "later"}) == record


HOSTILE = [
    None,
    True,
    -1,
    1.5,
    math.nan,
    math.inf,
    "",
    "../../etc/passwd",
    "a\n",
    "x" * 10_000,
    10**400,
    [],
    [1],
    {},
    {"a": "b"},
]


@given(st.sampled_from(sorted(KINDS)), st.data())
def test_any_value_is_taken_as_what_it_should_be_or_refused_in_one_line(kind: str, data: st.DataObject) -> None:
    record, write, read = KINDS[kind]
    content = copy.deepcopy(write(record))
    name = data.draw(st.sampled_from(sorted(content)))
    content[name] = data.draw(st.sampled_from(HOSTILE) | st.recursive(st.none() | st.floats(), st.lists))
    try:
        found = getattr(read(content), name)
    except ValueError as error:
        told = str(error)
        assert "\n" not in told and len(told) < 200  # noqa: PT018
        return
    assert type(found) in (type(content[name]), type(getattr(record, name)))
    if isinstance(found, float):
        assert math.isfinite(found)


@pytest.mark.parametrize("time_s", [1e306, 1e12, -1.0, 10**400])
def test_a_status_of_no_time_has_no_file(time_s: float) -> None:
    record, write, read = KINDS["status"]
    with pytest.raises(ValueError, match="time_s"):
        read({**write(record), "time_s": time_s})


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_cannot_lead_out_of_a_folder(kind: str) -> None:
    record, write, read = KINDS[kind]
    content = write(record)
    for name in {"target", "version", "release", "name", "device", "id", "camera", "group", "failed"} & content.keys():
        for value in ("../x", "a/b", ".", "..", "", "a b", "ä", "a\n", "-x"):
            if content[name] is not None and (value or name != "version"):
                with pytest.raises(ValueError, match="name"):
                    read({**content, name: value})


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"{", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[]", "object"),
        (b"\xff", "no JSON"),
        (b" " * 2_000_000, "more"),
    ],
    ids=["cut short", "deep", "a list", "no text", "large"],
)
def test_damaged_files_are_refused_in_one_line(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ValueError, match=why) as refused:
        records.load(str(tmp_path / "file"))
    assert "\n" not in str(refused.value)
    with pytest.raises(ValueError, match="No such file"):
        records.load(str(tmp_path / "none"))


def test_a_rollout_reaches_its_share_first_and_everybody_in_the_end() -> None:
    devices = [f"camera-{number}" for number in range(2000)]
    for percent in (0, 1, 10, 50, 100):
        step = rollout.Rollout(percent, 1000, 6)
        due = [rollout.due_s(step, device, "1.2.3") for device in devices]
        now = [time for time in due if math.isfinite(time)]
        assert len(now) == pytest.approx(20 * percent, abs=60)
        assert len(now) in (0, 2000) or 0 < percent < 100
        assert all(1000 <= time <= 1000 + 6 * 3600 for time in now)
    half = sorted(now)[len(now) // 2]
    assert half == pytest.approx(1000 + 3 * 3600, rel=0.1), "they do not come at once"


def test_who_was_in_stays_in_and_the_first_are_others_with_the_next_version() -> None:
    devices = [f"camera-{number}" for number in range(500)]

    def first(version: str, percent: int) -> set[str]:
        return {one for one in devices if rollout.place(one, version) < percent}

    assert first("1.2.3", 10) < first("1.2.3", 50)
    assert len(first("1.2.3", 10) & first("1.2.4", 10)) < 25
