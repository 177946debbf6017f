"""The result record: what is written is read back, and what is no record is refused."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.records.board import Fingerprint, Health, Measured, Watts
from pipeline.records.predictions import Prediction
from pipeline.records.results import (
    Accuracies,
    Accuracy,
    Audit,
    Result,
    RoundedLayer,
    SaturatedLayer,
    read_result,
)
from pipeline.system.errors import InputError

SATURATED = SaturatedLayer(
    name="conv", pair_sums=100, saturated=3, channels=8, channels_hit=2, output_error=0.5, share_percent=100.0,
    half_range_error=0.1, fix="half-range weights",
)  # fmt: skip
ROUNDED = RoundedLayer(name="conv", op="Conv", elements=9, overflow=1, subnormal=2, flushed=0, max_abs=7e4)

PREDICTION = Prediction(
    target="t", precision="int8", batch=4, inferences_per_s=99.5, frames_per_s=24.9, latency_ms=40.2, power_w=None,
    power_basis="unknown", error_percent=12, power_error_percent=None, notes=("few layers like it were measured",),
)  # fmt: skip
BOARD = {
    "fingerprint": {
        "board": "UP Squared", "serial": "0042", "soc": "Atom x5-E3940", "kernel": "6.1.0", "os_image": "Debian 12",
        "versions": {"openvino": "2022.3.1"}, "power_mode": "default", "governor": "performance", "microcode": "0x1e",
    },
    "regions_per_frame": 4,
    "latency_ms": [31.5, 32.0],
    "regions_per_s": 126.0,
    "frames_per_s": {0: 90.0, 4: 29.5},
    "frames_dropped": 0,
    "load_ms": 812.0,
    "switch_ms": 33.0,
    "peak_memory_mib": 210,
    "power": {
        "rail": "package-0", "sampler": "rapl", "sample_hz": 10.0, "sustained_w": 8.25, "idle_w": 3.5,
        "by_state_w": {"idle": 3.5, "regions_4": 8.25}, "energy_per_frame_j": 0.28,
    },
    "before": {"clocks_mhz": {"cpu": 1800.0}, "temperatures_c": {"package": 41.0}, "throttled": False},
    "during": {"clocks_mhz": {"cpu": 1800.0}, "temperatures_c": {"package": 63.5}, "fan_percent": 0.0},
    "after": {"throttled": False},
}  # fmt: skip


def measured(**values: object) -> dict[str, object]:
    """What a board showed, as JSON."""
    return {**BOARD, **values}


def watts(**values: object) -> dict[str, object]:
    """The same with another measurement of its power."""
    return measured(power={"rail": "package-0", "sampler": "rapl", "sample_hz": 10.0, **values})


def record(**values: object) -> Result:
    fields = {"model": "m", "method": "int8", "target": "t", "lane": "emulated", "precision": "int8", **values}
    return Result.model_validate(fields)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_percent(counts: tuple[int, int]) -> None:
    correct, n = counts
    assert 0 <= Accuracy(correct=correct, n=n).percent <= 100


def test_round_trip(tmp_path: Path) -> None:
    written = record(
        accuracy=Accuracies(
            fp32=Accuracy(correct=9, n=10), cloud=Accuracy(correct=9, n=10), target=Accuracy(correct=8, n=10)
        ),
        cloud_basis="simulated",
        audit=Audit(emulator="denverton", samples=8, tolerance=0.0, agrees=True),
        bounds={"fp32_sums": Accuracy(correct=9, n=10), "fp16_sums": Accuracy(correct=8, n=10)},
        layers=[SATURATED, ROUNDED],
        predicted=PREDICTION,
        measured=Measured.model_validate(BOARD),
        confusion=[[4, 1], [1, 4]],
        not_measured={"accuracy.host": "no runtime here"},
    )
    path = tmp_path / "deep" / "r.json"
    written.write(path)
    read = read_result(path)
    assert read == written
    assert read.layers == [SATURATED, ROUNDED]
    assert written.accuracy_drop_points == pytest.approx(10.0)
    assert read.measured is not None
    assert read.measured.fingerprint.versions == {"openvino": "2022.3.1"}
    assert read.measured.frames_per_s == {0: 90.0, 4: 29.5}
    assert (read.measured.power_w, read.measured.throttled) == (8.25, False)


def test_a_board_that_shows_little_still_makes_a_record(tmp_path: Path) -> None:
    least = Measured(fingerprint=Fingerprint(board="b"), regions_per_frame=4, latency_ms=[1.0], regions_per_s=100)
    record(lane="device", measured=least).write(tmp_path / "r.json")
    read = read_result(tmp_path / "r.json").measured
    assert read == least
    assert (least.power_w, least.throttled, least.frames_dropped) == (None, None, None)
    unread = Watts(rail="VDD_IN", sampler="ina3221", sample_hz=10)
    assert least.model_copy(update={"power": unread}).power_w is None


@pytest.mark.parametrize(
    ("told", "throttled"),
    [
        ((None, None, None), None),
        ((False, None, None), False),
        ((False, False, False), False),
        ((None, True, None), True),
        ((False, False, True), True),
    ],
)
def test_a_board_was_throttled_if_it_was_at_any_moment(told: tuple[bool | None, ...], throttled: bool | None) -> None:
    before, during, after = (Health(throttled=value) for value in told)
    board = Measured.model_validate(BOARD).model_copy(update={"before": before, "during": during, "after": after})
    assert board.throttled is throttled


def test_a_missing_measurement_is_null_in_the_file_not_zero(tmp_path: Path) -> None:
    record().write(tmp_path / "r.json")
    text = (tmp_path / "r.json").read_text()
    assert '"measured": null' in text
    assert "0.0" not in text
    assert record().accuracy_drop_points is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"model": "m"}', "null"])
def test_what_is_no_record_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "r.json").write_text(content)
    with pytest.raises(InputError, match=r"r\.json") as caught:
        read_result(tmp_path / "r.json")
    assert "\n" not in str(caught.value)


def test_a_missing_record_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="dvc repro"):
        read_result(tmp_path / "none.json")


@pytest.mark.parametrize(
    "values",
    [
        {"accuracy": {"target": {"correct": 11, "n": 10}}},
        {"accuracy": {"target": {"correct": 0, "n": 0}}},
        {"agreement_percent": 101},
        {"measured": measured(latency_ms=[])},
        {"measured": measured(regions_per_s=0)},
        {"measured": measured(regions_per_frame=0)},
        {"measured": measured(frames_dropped=-1)},
        {"measured": measured(load_ms=0)},
        {"measured": measured(switch_ms=0)},
        {"measured": measured(peak_memory_mib=0)},
        {"measured": measured(power_w=8.0)},
        {"measured": measured(fingerprint={"soc": "Atom"})},
        {"measured": measured(during={"fan_percent": 101})},
        {"measured": {name: value for name, value in BOARD.items() if name != "fingerprint"}},
        {"measured": watts(sustained_w=0)},
        {"measured": watts(sustained_w=-1)},
        {"measured": watts(idle_w=0)},
        {"measured": watts(energy_per_frame_j=0)},
        {"measured": watts(by_state_w={"idle": 0})},
        {"measured": watts(sample_hz=0)},
        {"predicted": PREDICTION.model_dump() | {"inferences_per_s": 0}},
        {"predicted": PREDICTION.model_dump() | {"precision": "int4"}},
        {"schema_version": 1},
        {"lane": "cloud"},
        {"accuracy": {"unsaturated": {"correct": 1, "n": 1}}},
        {"cloud_basis": "guessed"},
        {"grade": "estimated"},
        {"layers": [{"name": "conv"}]},
        {"watts": 3},
    ],
)
def test_impossible_values_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        record(**values)
