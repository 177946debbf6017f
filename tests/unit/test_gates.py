"""Verdicts: a missing measurement is never a pass and never a zero."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import Gates
from pipeline.gates import EXIT_CODES, Judgement, judge, target_verdict, worst
from pipeline.results import Accuracies, Accuracy, Measured, Predicted, Result
from pipeline.targets import load_target

TARGET = load_target("atom-x5-e3940")
GATES = Gates(accuracy_drop_points=2.0)


def result(**values: Any) -> Result:
    defaults: dict[str, Any] = {
        "model": "m",
        "method": "int8",
        "target": TARGET.name,
        "lane": "emulated",
        "precision": "int8",
        "accuracy": Accuracies(fp32=Accuracy(correct=90, n=100), target=Accuracy(correct=89, n=100)),
        "predicted": Predicted(inferences_per_s=130, latency_ms=8, error_percent=15),
    }
    return Result(**{**defaults, **values})


def accuracy(fp32: int | None, target: int | None) -> Accuracies:
    return Accuracies(
        fp32=None if fp32 is None else Accuracy(correct=fp32, n=100),
        target=None if target is None else Accuracy(correct=target, n=100),
    )


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ({}, "pass"),
        ({"accuracy": accuracy(90, 88)}, "pass"),
        ({"accuracy": accuracy(90, 87)}, "fail"),
        ({"accuracy": accuracy(90, None)}, "not_measured"),
        ({"accuracy": accuracy(None, 90)}, "not_measured"),
        ({"predicted": None}, "not_measured"),
        ({"predicted": Predicted(inferences_per_s=119, latency_ms=8, error_percent=15)}, "fail"),
        ({"accuracy": accuracy(90, 80), "predicted": None}, "fail"),
    ],
)
def test_emulated_lane(values: dict[str, Any], verdict: str) -> None:
    assert judge(result(**values), GATES, TARGET).verdict == verdict


@pytest.mark.parametrize(
    ("measured", "verdict"),
    [
        (Measured(latency_ms=[8.0], regions_per_s=125, power_w=9.0), "pass"),
        (Measured(latency_ms=[8.0], regions_per_s=125, power_w=None), "not_measured"),
        (Measured(latency_ms=[8.0], regions_per_s=125, power_w=10.5), "fail"),
        (Measured(latency_ms=[8.0], regions_per_s=100, power_w=9.0), "fail"),
        (None, "not_measured"),
    ],
)
def test_on_a_board_only_measurements_count(measured: Measured | None, verdict: str) -> None:
    assert judge(result(lane="device", measured=measured), GATES, TARGET).verdict == verdict


def test_predicted_values_are_marked_as_such() -> None:
    marked = {check.name: check.predicted for check in judge(result(), GATES, TARGET).checks}
    assert marked == {"accuracy_drop_points": False, "regions_per_s": True}


def test_a_refused_candidate_takes_no_part() -> None:
    refused = judge(result(refused="no INT8"), GATES, TARGET)
    good = judge(result(), GATES, TARGET)
    assert target_verdict([refused]) == "not_measured"
    assert target_verdict([refused, good]) == "pass"


def test_a_target_passes_with_one_good_candidate_and_fails_only_when_all_were_measured() -> None:
    good, bad = judge(result(), GATES, TARGET), judge(result(accuracy=accuracy(90, 50)), GATES, TARGET)
    unknown = judge(result(predicted=None), GATES, TARGET)
    assert target_verdict([bad, good]) == "pass"
    assert target_verdict([bad, bad]) == "fail"
    assert target_verdict([bad, unknown]) == "not_measured"
    assert target_verdict([]) == "not_measured"


@given(st.lists(st.sampled_from(["pass", "fail", "not_measured"])))
def test_the_worst_verdict_wins_and_nothing_is_never_a_pass(verdicts: list[Any]) -> None:
    found = worst(verdicts)
    assert (found == "pass") == (bool(verdicts) and set(verdicts) == {"pass"})
    assert EXIT_CODES[found] == (1 if "fail" in verdicts else 0 if found == "pass" else 3)


@given(st.integers(0, 1000), st.integers(0, 1000), st.floats(0, 100))
def test_the_accuracy_limit_is_exact(parent: int, candidate: int, limit: float) -> None:
    record = result(
        accuracy=Accuracies(fp32=Accuracy(correct=parent, n=1000), target=Accuracy(correct=candidate, n=1000))
    )
    judgement: Judgement = judge(record, Gates(accuracy_drop_points=limit), TARGET)
    drop = record.accuracy_drop_points
    assert drop is not None
    assert (judgement.verdict == "pass") == (drop <= limit)
