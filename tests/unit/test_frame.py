"""The whole program's frames/s: measured here, carried over by yardsticks, and what the gate asks for."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.predict import frame
from pipeline.predict.frame import Network, measured, network_share_ms, predict_frame, slowdown, yardsticks
from pipeline.predict.machine import machine
from pipeline.predict.measurements import published
from pipeline.records.gates import Gates, judge_result
from pipeline.records.predictions import Prediction
from pipeline.records.results import Accuracies, Accuracy, Result
from pipeline.records.targets import Target, load_target, target_names

ATOM, SMALL_ATOM = load_target("atom-x5-e3940"), load_target("atom-x5-e3930")
MAXQ, MAXP = load_target("jetson-tx2-maxq"), load_target("jetson-tx2-maxp")
REGIONS, VALUES = 4, 3 * 224 * 224

milliseconds = st.floats(0.1, 500)
errors = st.floats(0, 60)


def per_s(target: Target, network: Network) -> float:
    found = predict_frame(target, network)
    assert found is not None
    return found.per_s


def network(batch_ms: float = 20, error: float = 5, regions: int = REGIONS, values: int = VALUES) -> Network:
    return Network(batch_ms, error, regions, values)


# --- a frame -------------------------------------------------------------------------------------------------------


@given(milliseconds, milliseconds, errors)
def test_a_slower_network_never_makes_a_faster_program(one: float, other: float, error: float) -> None:
    fast, slow = sorted((one, other))
    for target in (ATOM, MAXQ):
        assert per_s(target, network(fast, error)) >= per_s(target, network(slow, error))


@given(milliseconds)
def test_the_program_is_never_faster_than_the_network_alone(batch_ms: float) -> None:
    for target in (ATOM, SMALL_ATOM, MAXQ, MAXP):
        assert per_s(target, network(batch_ms)) <= 1000 / batch_ms * (1 + 1e-9)


@given(milliseconds, errors)
def test_the_range_holds_the_prediction_and_grows_with_the_error(batch_ms: float, error: float) -> None:
    for target in (ATOM, MAXQ):
        found, wider = (predict_frame(target, network(batch_ms, each)) for each in (error, error + 10))
        assert found is not None
        assert wider is not None
        assert 0 < wider.range_per_s[0] <= found.range_per_s[0] <= found.per_s <= found.range_per_s[1]
        assert found.range_per_s[1] <= wider.range_per_s[1]


@given(milliseconds)
def test_what_shares_its_cores_with_a_network_waits_for_it_and_what_has_a_gpu_does_not(batch_ms: float) -> None:
    found = predict_frame(ATOM, network(batch_ms))
    assert found is not None
    rest_ms = sum(found.parts_ms.values())
    assert 1000 / found.per_s >= batch_ms + rest_ms / ATOM.cpu.cores - 1e-9
    beside = predict_frame(MAXQ, network(batch_ms))
    assert beside is not None
    busiest = max(sum(beside.parts_ms[name] for name in thread) for thread in frame.ON_ONE_CORE)
    assert 1000 / beside.per_s == pytest.approx(max(batch_ms, busiest, sum(beside.parts_ms.values()) / 4))


@given(milliseconds)
def test_half_the_cores_leave_half_the_time(batch_ms: float) -> None:
    assert SMALL_ATOM.cpu.cores * 2 == ATOM.cpu.cores
    assert slowdown(SMALL_ATOM.cpu) == slowdown(ATOM.cpu)  # the same cores at the same clock
    assert per_s(SMALL_ATOM, network(batch_ms)) <= per_s(ATOM, network(batch_ms))


@given(st.integers(1, 16), st.integers(32, 512))
def test_more_regions_and_more_pixels_take_longer(regions: int, pixels: int) -> None:
    few, more = (sum(measured.parts(count, 3 * pixels**2).values()) for count in (regions, regions + 1))
    larger = sum(measured.parts(regions, 3 * (pixels + 16) ** 2).values())
    assert 0 < few < min(more, larger)


@given(st.floats(1, 200), st.sampled_from([ATOM, SMALL_ATOM, MAXQ]))
def test_a_network_that_takes_its_share_just_reaches_what_was_asked_for(wanted: float, target: Target) -> None:
    share_ms = network_share_ms(target, wanted, REGIONS, VALUES)
    assert share_ms is not None
    if share_ms > 0.01:
        assert per_s(target, network(share_ms)) == pytest.approx(wanted)
        assert per_s(target, network(1.01 * share_ms)) < wanted
    if share_ms < 0:
        assert per_s(target, network(1e-6)) < wanted


def test_the_parts_of_a_frame_can_be_measured_on_any_clip(tmp_path: Path) -> None:
    clip = tmp_path / "clip.avi"
    video = cv2.VideoWriter(str(clip), cv2.VideoWriter.fourcc(*"MJPG"), 10, (320, 240))
    for index in range(12):
        image = np.full((240, 320, 3), 90, np.uint8)
        cv2.rectangle(image, (20 + 8 * index, 80), (40 + 8 * index, 130), (250, 250, 250), -1)
        video.write(image)
    video.release()
    command = [sys.executable, "-m", "pipeline.predict.frame", "frames", str(clip), "112"]
    rows = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert {name for name, *_ in rows} == {name for thread in frame.ON_ONE_CORE for name in thread}
    assert all(core_ms > 0 for *_, core_ms, _ in rows)
    assert {pixels for name, _, pixels, *_ in rows if name == "crop"} == {112**2}


# --- the yardsticks ------------------------------------------------------------------------------------------------


@pytest.fixture
def _fresh() -> Iterator[None]:
    """What was calculated from another table is forgotten, before and after."""
    caches = (measured.rows, yardsticks._measured, yardsticks._bridged, yardsticks._single_threaded)
    for cached in caches:
        cached.cache_clear()
    yield
    for cached in caches:
        cached.cache_clear()


@pytest.mark.usefixtures("_fresh")
@pytest.mark.parametrize("target", [ATOM, MAXQ], ids=lambda target: target.name)
def test_only_ratios_of_what_was_measured_here_count(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine that takes three times as long for everything, the same comes out."""
    before = predict_frame(target, network())
    slow = tuple(row._replace(core_ms=3 * row.core_ms) for row in measured.rows())
    measured.rows.cache_clear()
    yardsticks._measured.cache_clear()
    yardsticks._bridged.cache_clear()
    monkeypatch.setattr(measured, "rows", lambda: slow)
    after = predict_frame(target, network())
    assert before is not None
    assert after is not None
    assert after.per_s == pytest.approx(before.per_s)
    assert after.range_per_s == pytest.approx(before.range_per_s)
    assert after.parts_ms == pytest.approx(before.parts_ms)


def test_several_networks_in_two_precisions_are_yardsticks_and_their_spread_is_the_error() -> None:
    shared = {
        row.model
        for precision in ("fp32", "int8")
        for row in published("atom-goldmont", precision)  # type: ignore[arg-type]
        if any(name.startswith(row.model.split("_v1")[0]) for name, _ in measured.network_ms())
    }
    assert len(shared) >= 4
    found = slowdown(ATOM.cpu)
    assert found is not None
    assert found.least < found.typical < found.most
    assert 1.2 < found.most / found.typical < 2  # a spread that says something, and of numbers that agree somehow


@given(st.floats(0.5, 4))
def test_a_core_s_time_goes_with_its_clock(ghz: float) -> None:
    for cpu in (ATOM.cpu, MAXQ.cpu):
        found, other = slowdown(cpu), slowdown(cpu.model_copy(update={"burst_ghz": ghz}))
        assert found is not None
        assert other is not None
        assert other.typical == pytest.approx(found.typical * cpu.burst_ghz / ghz)


def test_an_a57_is_carried_over_a_core_that_both_programs_were_measured_on() -> None:
    tremont, a57 = yardsticks._measured(yardsticks.BRIDGE), yardsticks._bridged("Cortex-A57")
    assert tremont is not None
    assert a57 is not None
    per_clock = a57.typical / tremont.typical
    assert 0.6 < per_clock < 1.2  # 25 networks on one thread: an A57 does somewhat more in a cycle
    assert a57.most / a57.least > tremont.most / tremont.least  # two steps, two errors


def test_without_a_published_core_nothing_is_said() -> None:
    cpu = ATOM.cpu.model_copy(update={"name": "a core of our own"})
    stranger = ATOM.model_copy(update={"cpu": cpu})
    assert predict_frame(stranger, network()) is None
    assert network_share_ms(stranger, 30, REGIONS, VALUES) is None
    assert "a core of our own" in frame.unknown(stranger)


@pytest.mark.parametrize("name", target_names())
def test_every_target_s_cores_are_known(name: str) -> None:
    assert slowdown(load_target(name).cpu) is not None
    assert machine(load_target(name), "fp32").clock_ghz > 0


# --- the gate ------------------------------------------------------------------------------------------------------


def judged(prediction: Prediction, **gates: Any) -> str:
    result = Result(
        model="m", method="int8", target=ATOM.name, lane="emulated", precision="int8", grade="exact",
        accuracy=Accuracies(fp32=Accuracy(correct=90, n=100), target=Accuracy(correct=90, n=100)), predicted=prediction,
    )  # fmt: skip
    judgement = judge_result(result, ATOM.objective, Gates(accuracy_drop_points=2, **gates))
    [speed] = [check for check in judgement.checks if check.name == "frames_per_s"]
    assert speed.predicted
    return speed.verdict


def predicted(batch_ms: float) -> Prediction:
    found = predict_frame(ATOM, network(batch_ms))
    assert found is not None
    return Prediction(
        target=ATOM.name, precision="int8", batch=REGIONS, inferences_per_s=1000 * REGIONS / batch_ms,
        frames_per_s=found.per_s, frames_range=found.range_per_s, parts_ms=found.parts_ms, latency_ms=batch_ms,
        power_w=None, power_basis="not predicted", error_percent=5, power_error_percent=None, notes=(),
    )  # fmt: skip


def test_a_network_fast_enough_by_itself_fails_where_the_program_is_too_slow() -> None:
    alone_ms = 1000 / ATOM.objective.frames_per_s
    slow = predicted(0.95 * alone_ms)
    assert slow.inferences_per_s > ATOM.objective.frames_per_s * ATOM.objective.regions_per_frame
    assert judged(slow) == "fail"
    share_ms = network_share_ms(ATOM, ATOM.objective.frames_per_s, REGIONS, VALUES)
    assert share_ms is not None
    assert judged(predicted(0.99 * share_ms)) == "pass"
    assert judged(predicted(1.01 * share_ms)) == "fail"


def test_a_gate_that_asks_for_certainty_holds_the_whole_range_against_the_limit() -> None:
    share_ms = network_share_ms(ATOM, ATOM.objective.frames_per_s, REGIONS, VALUES)
    assert share_ms is not None
    assert judged(predicted(0.9 * share_ms), confidence=0.9) == "not_measured"
    assert judged(predicted(0.3 * share_ms), confidence=0.9) == "pass"


def test_what_nothing_is_known_of_is_not_measured() -> None:
    unknown = predicted(10).model_copy(update={"frames_per_s": None, "frames_range": None})
    assert judged(unknown) == "not_measured"
    without_range = predicted(10).model_copy(update={"frames_range": None})
    assert judged(without_range) == "pass"  # held against the limit as it stands
