"""Verdicts: one judge for everybody, for whom a missing measurement is never a pass, never a fail and never a zero."""

from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.records.board import Fingerprint, Health, Measured, Watts
from pipeline.records.gates import (
    AT_LEAST,
    EXIT_CODES,
    Check,
    Gates,
    Judgement,
    Quantity,
    Value,
    judge,
    judge_result,
    target_verdict,
    worst,
)
from pipeline.records.predictions import Prediction
from pipeline.records.results import Accuracies, Accuracy, Result
from pipeline.records.targets import load_target
from pipeline.records.words import broken

TARGET = load_target("atom-x5-e3940")
QUANTITIES: tuple[Quantity, ...] = get_args(Quantity)
LOST_POINTS = 2.0


def predicted(inferences_per_s: float) -> Prediction:
    return Prediction(
        target=TARGET.name, precision="int8", batch=4, inferences_per_s=inferences_per_s,
        frames_per_s=inferences_per_s / 4, frames_range=(0.8 * inferences_per_s / 4, 1.25 * inferences_per_s / 4),
        latency_ms=4000 / inferences_per_s, power_w=None, power_basis="unknown",
        error_percent=15, power_error_percent=None, notes=(),
    )  # fmt: skip


def board(rate: float = 125, watts: float | None = 9.0, **health: Health) -> Measured:
    power = Watts(rail="package-0", sampler="rapl", sample_hz=10, sustained_w=watts)
    return Measured(
        fingerprint=Fingerprint(board="UP Squared"), regions_per_frame=4, latency_ms=[8.0], regions_per_s=rate,
        frames_per_s={0: rate, 4: rate / 4}, power=power, **health,
    )  # fmt: skip


def accuracy(fp32: int | None, target: int | None) -> Accuracies:
    return Accuracies(
        fp32=None if fp32 is None else Accuracy(correct=fp32, n=100),
        target=None if target is None else Accuracy(correct=target, n=100),
    )


def result(**values: Any) -> Result:
    defaults: dict[str, Any] = {
        "model": "m",
        "method": "int8",
        "target": TARGET.name,
        "lane": "emulated",
        "precision": "int8",
        "grade": "exact",
        "accuracy": accuracy(90, 89),
        "predicted": predicted(130),
    }
    return Result(**{**defaults, **values})


def judged(record: Result, lost_points: float = LOST_POINTS) -> Judgement:
    return judge_result(record, TARGET.objective, Gates(accuracy_drop_points=lost_points))


# --- the judge ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", QUANTITIES)
@given(value=st.floats(-1e6, 1e6), limit=st.floats(-1e6, 1e6), predicted=st.booleans())
def test_a_speed_must_reach_its_limit_and_anything_else_must_not_exceed_it(
    name: Quantity, value: float, limit: float, predicted: bool
) -> None:
    kept = value >= limit if name in AT_LEAST else value <= limit
    expected = Check(name, value, limit, "pass" if kept else "fail", predicted)
    assert judge({name: Value(value, predicted)}, {name: limit}) == (expected,)


@pytest.mark.parametrize("name", QUANTITIES)
def test_a_limit_that_is_met_exactly_is_kept(name: Quantity) -> None:
    assert judge({name: Value(3.0)}, {name: 3.0})[0].verdict == "pass"


def test_of_all_quantities_the_proof_and_the_speed_alone_have_to_be_large() -> None:
    assert AT_LEAST == ("proof", "frames_per_s")


@given(st.sampled_from(QUANTITIES), st.floats(-10, 10), st.booleans())
def test_a_limit_without_a_value_is_not_measured_whatever_it_asks(
    name: Quantity, limit: float, predicted: bool
) -> None:
    assert judge({}, {name: limit}) == (Check(name, None, limit, "not_measured"),)
    assert judge({name: Value(None, predicted)}, {name: limit}) == (
        Check(name, None, limit, "not_measured", predicted),
    )


@given(st.permutations(QUANTITIES), st.sets(st.sampled_from(QUANTITIES)))
def test_every_limit_is_judged_once_in_its_order_and_nothing_else_is(
    names: list[Quantity], limited: set[Quantity]
) -> None:
    limits: dict[Quantity, float] = {name: 1.0 for name in names if name in limited}
    checks = judge({name: Value(1.0) for name in QUANTITIES}, limits)
    assert [check.name for check in checks] == list(limits)


def test_a_broken_limit_has_a_name_that_people_read() -> None:
    checks = judge(
        {name: Value(0.0 if name in AT_LEAST else 9.0) for name in QUANTITIES},
        dict.fromkeys(QUANTITIES, 1.0),
    )
    assert broken(checks) == [
        *("proof", "accuracy", "changed answers", "difference of the outputs", "speed", "power", "runtime")
    ]


# --- records -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ({}, "pass"),
        ({"accuracy": accuracy(90, 88)}, "pass"),
        ({"accuracy": accuracy(90, 87)}, "fail"),
        ({"accuracy": accuracy(90, None)}, "not_measured"),
        ({"accuracy": accuracy(None, 90)}, "not_measured"),
        ({"predicted": None}, "not_measured"),
        ({"predicted": predicted(119)}, "fail"),
        ({"predicted": predicted(120)}, "pass"),
        ({"accuracy": accuracy(90, 80), "predicted": None}, "fail"),
        ({"grade": "bounded"}, "pass"),
        ({"grade": "unaudited"}, "not_measured"),
        ({"grade": "not_measured"}, "not_measured"),
        ({"grade": None}, "not_measured"),
        ({"grade": "fails"}, "fail"),
        ({"grade": "fails", "accuracy": accuracy(90, None), "predicted": None}, "fail"),
        ({"grade": "unaudited", "accuracy": accuracy(90, 80)}, "fail"),
    ],
)
def test_emulated_lane(values: dict[str, Any], verdict: str) -> None:
    assert judged(result(**values)).verdict == verdict


def test_only_what_was_never_tried_can_be_accepted_without_a_proof() -> None:
    accepting = Gates(accuracy_drop_points=LOST_POINTS, accept_unaudited=True)
    verdicts = {
        grade: judge_result(result(grade=grade), TARGET.objective, accepting).verdict
        for grade in ("exact", "unaudited", "not_measured", "fails", None)
    }
    assert verdicts == {
        "exact": "pass", "unaudited": "pass", "not_measured": "not_measured", "fails": "fail", None: "not_measured",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("measured", "verdict"),
    [
        (board(), "pass"),
        (board(watts=10.0), "pass"),
        (board(watts=None), "not_measured"),
        (board().model_copy(update={"power": None}), "not_measured"),
        (board(watts=10.5), "fail"),
        (board(rate=100), "fail"),
        (board(rate=100, watts=None), "fail"),
        (None, "not_measured"),
    ],
)
def test_on_a_board_only_measurements_count(measured: Measured | None, verdict: str) -> None:
    assert judged(result(lane="device", measured=measured)).verdict == verdict


def test_what_a_board_measured_for_another_objective_says_nothing_of_this_one() -> None:
    fewer = TARGET.objective.model_copy(update={"regions_per_frame": 2})
    four = result(lane="device", measured=board())
    both = result(lane="device", measured=board().model_copy(update={"frames_per_s": {2: 62.5, 4: 31.25}}))
    for record, speed in ((four, "not_measured"), (both, "pass")):
        checks = {check.name: check for check in judge_result(record, fewer, Gates(accuracy_drop_points=2)).checks}
        assert checks["frames_per_s"].verdict == speed
        assert checks["power_w"].verdict == "not_measured", "watts were those of four regions"


@pytest.mark.parametrize("moment", ["before", "during", "after"])
@pytest.mark.parametrize("rate", [100, 125])
def test_a_board_that_held_itself_back_has_measured_nothing(moment: str, rate: float) -> None:
    cool = dict.fromkeys(("before", "during", "after"), Health(throttled=False))
    assert judged(result(lane="device", measured=board(**cool))).verdict == "pass"
    hot = board(rate, **{**cool, moment: Health(throttled=True)})
    judgement = judged(result(lane="device", measured=hot))
    assert judgement.verdict == "not_measured"
    assert [(check.name, check.value) for check in judgement.checks[2:]] == [("frames_per_s", None), ("power_w", None)]
    assert judged(result(lane="device", measured=hot, accuracy=accuracy(90, 80))).verdict == "fail", "its answers count"


def test_the_emulated_lane_has_no_watts_to_be_judged() -> None:
    names = [[check.name for check in judged(result(lane=lane)).checks] for lane in ("emulated", "device")]
    assert names == [
        ["proof", "accuracy_drop_points", "frames_per_s"],
        ["proof", "accuracy_drop_points", "frames_per_s", "power_w"],
    ]


def test_predicted_values_are_marked_as_such_and_never_stand_for_measured_ones() -> None:
    marked = {check.name: check.predicted for check in judged(result()).checks}
    assert marked == {"proof": False, "accuracy_drop_points": False, "frames_per_s": True}
    checks = judged(result(lane="device", measured=board(rate=121))).checks
    assert {check.name: check.predicted for check in checks} == {
        "proof": False, "accuracy_drop_points": False, "frames_per_s": False, "power_w": False,
    }  # fmt: skip
    assert checks[2].value == 121 / 4
    assert judged(result(measured=board(rate=1))).checks == judged(result()).checks


def test_a_refused_candidate_takes_no_part() -> None:
    refused, good = judged(result(refused="no INT8")), judged(result())
    assert refused.checks == ()
    assert target_verdict([refused]) == "not_measured"
    assert target_verdict([refused, good]) == "pass"


def test_a_target_passes_with_one_good_candidate_and_fails_only_when_all_were_measured() -> None:
    good, bad = judged(result()), judged(result(accuracy=accuracy(90, 50)))
    unknown = judged(result(predicted=None))
    assert target_verdict([bad, good]) == "pass"
    assert target_verdict([bad, bad]) == "fail"
    assert target_verdict([bad, unknown]) == "not_measured"
    assert target_verdict([]) == "not_measured"


@given(st.lists(st.sampled_from(["pass", "fail", "not_measured"])))
def test_the_worst_verdict_wins_and_nothing_is_never_a_pass(verdicts: list[Any]) -> None:
    found = worst(verdicts)
    assert (found == "pass") == (bool(verdicts) and set(verdicts) == {"pass"})
    assert EXIT_CODES[found] == (1 if "fail" in verdicts else 0 if found == "pass" else 3)


@given(st.lists(st.sampled_from(["pass", "fail", "not_measured"]), min_size=1))
def test_a_judgement_is_as_good_as_its_worst_check(verdicts: list[Any]) -> None:
    check = judged(result()).checks[0]
    assert Judgement(result(), tuple(replace(check, verdict=found) for found in verdicts)).verdict == worst(verdicts)


@given(st.integers(0, 1000), st.integers(0, 1000), st.floats(0, 100))
def test_the_accuracy_limit_is_exact(parent: int, candidate: int, limit: float) -> None:
    record = result(
        accuracy=Accuracies(fp32=Accuracy(correct=parent, n=1000), target=Accuracy(correct=candidate, n=1000))
    )
    drop = record.accuracy_drop_points
    assert drop is not None
    assert (judged(record, limit).verdict == "pass") == (drop <= limit)


@pytest.mark.parametrize(("limit", "lost"), [(0.7, 7), (1.0, 10), (2.0, 20)])
def test_who_loses_just_the_limit_keeps_it_wherever_the_parent_is(limit: float, lost: int) -> None:
    for parent in range(lost, 1001):
        found = Accuracies(fp32=Accuracy(correct=parent, n=1000), target=Accuracy(correct=parent - lost, n=1000))
        assert judged(result(accuracy=found), limit).verdict == "pass", parent
