"""The result record: what is written is read back, and what is no record is refused."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import InputError
from pipeline.results import (
    Accuracies,
    Accuracy,
    Audit,
    Measured,
    Predicted,
    Result,
    RoundedLayer,
    SaturatedLayer,
    read_result,
)

SATURATED = SaturatedLayer(
    name="conv", pair_sums=100, saturated=3, channels=8, channels_hit=2, output_error=0.5, share_percent=100.0,
    half_range_error=0.1, fix="half-range weights",
)  # fmt: skip
ROUNDED = RoundedLayer(name="conv", op="Conv", elements=9, overflow=1, subnormal=2, flushed=0, max_abs=7e4)


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
        predicted=Predicted(inferences_per_s=99.5, latency_ms=10, error_percent=12),
        measured=Measured(latency_ms=[1.0, 2.0], regions_per_s=100),
        confusion=[[4, 1], [1, 4]],
        not_measured={"measured.power_w": "no rail"},
    )
    path = tmp_path / "deep" / "r.json"
    written.write(path)
    read = read_result(path)
    assert read == written
    assert read.layers == [SATURATED, ROUNDED]
    assert written.accuracy_drop_points == pytest.approx(10.0)


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
        {"measured": {"latency_ms": [], "regions_per_s": 1}},
        {"measured": {"latency_ms": [1], "regions_per_s": 1, "power_w": 0}},
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
