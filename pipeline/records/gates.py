"""The one place where pass and fail are decided: for the pipeline, `check`, the search, boards and the release alike.

They supply what was measured and the limits; the rule is here. A limit without a measurement is `not_measured`: never a
pass, never a fail, never a zero. So is one that its interval lies on both sides of, where a confidence is asked for.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from pipeline.records.paired import CONFIDENCE, Interval
from pipeline.records.predictions import Prediction
from pipeline.records.results import Grade, Lane, Result
from pipeline.records.targets import Objective

Verdict = Literal["pass", "fail", "not_measured"]
Quantity = Literal[
    "proof",
    "accuracy_drop_points",
    "changed_answers_percent",
    "difference_percent",
    "frames_per_s",
    "power_w",
    "unreadable_nodes",
]

EXIT_CODES: dict[Verdict, int] = {"pass": 0, "fail": 1, "not_measured": 3}
AT_LEAST: tuple[Quantity, ...] = ("proof", "frames_per_s")  # the others are limits that a value must not exceed


@dataclass(frozen=True)
class Value:
    """A quantity in the unit that its name states, None where there is none; `predicted` if nobody measured it."""

    value: float | None
    predicted: bool = False
    interval: Interval | None = None  # that the true value lies in, as far as one is known


@dataclass(frozen=True)
class Check:
    """One limit against one value, in the unit that the name states; `predicted` marks a value nobody measured.

    `interval` is where the true value may lie. `uncertain` says that it lies on both sides of the limit, which leaves
    it open, where a confidence was asked for.
    """

    name: Quantity
    value: float | None
    limit: float
    verdict: Verdict
    predicted: bool = False
    interval: Interval | None = None
    uncertain: bool = False


class Gates(BaseModel):
    """Limits every candidate must keep, besides the target's own objective (rate and power).

    A candidate that no emulated processor has audited passes only if `accept_unaudited`. With a `confidence`, such as
    0.9, the whole interval of that confidence must lie on one side of a limit, or nothing is said.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    accuracy_drop_points: float = Field(ge=0)
    accept_unaudited: bool = False
    confidence: float | None = Field(default=None, gt=0, lt=1)


Limits = Mapping[Quantity, float]
PROVEN = 1.0  # `proof` is 0 for a model that fails on the emulated processor, and None for what is not known
Measurement = Mapping[Quantity, Value]


def judge(measurement: Measurement, limits: Limits, *, certain: bool = False) -> tuple[Check, ...]:
    """Hold a measurement against each limit, in the order of the limits; if `certain`, with its whole interval."""
    return tuple(_check(name, measurement.get(name, Value(None)), limit, certain) for name, limit in limits.items())


def _check(name: Quantity, found: Value, limit: float, certain: bool) -> Check:
    if found.value is None:
        return Check(name, None, limit, "not_measured", found.predicted)
    ends = found.interval if certain and found.interval else (found.value,)
    kept = {end >= limit if name in AT_LEAST else end <= limit for end in ends}
    verdict: Verdict = "not_measured" if len(kept) > 1 else "pass" if True in kept else "fail"
    return Check(name, found.value, limit, verdict, found.predicted, found.interval, uncertain=len(kept) > 1)


def measurement_of(result: Result, objective: Objective, confidence: float | None = None) -> Measurement:
    """What a record holds of what is asked for, with intervals. In the cloud speed is predicted; power is measured on
    boards only.

    A board's record may be older than the objective: a speed counts with so many regions of a frame alone.
    """
    drop = result.accuracy_drop_points
    found: dict[Quantity, Value] = {
        "accuracy_drop_points": Value(
            drop, interval=result.paired.interval(confidence or CONFIDENCE) if result.paired else None
        ),
        "proof": proof(result.grade),
    }
    if result.lane == "device":
        board, regions = result.on_board, objective.regions_per_frame
        found["frames_per_s"] = Value(board.frames_per_s.get(regions) if board else None)
        found["power_w"] = Value(board.power_w if board and board.regions_per_frame == regions else None)
    else:
        found["frames_per_s"] = predicted_speed(result.predicted)
    return found


def predicted_speed(prediction: Prediction | None) -> Value:
    """Frames a second of the whole program, and the interval that the prediction's errors leave open."""
    if prediction is None:
        return Value(None, predicted=True)
    return Value(prediction.frames_per_s, predicted=True, interval=prediction.frames_range)


def proof(grade: Grade | None) -> Value:
    """How far the target's answers are proven: exact ones are, and of an interval its worse end counts.

    On a board they are where it gives the answers that the emulated lane gave.
    """
    return Value({"exact": PROVEN, "bounded": PROVEN, "fails": 0.0}.get(grade or ""))


def proof_limit(grade: Grade | None, accept_unaudited: bool) -> Limits:
    """The limit that asks for a proof; what nobody has audited goes without it where that is accepted."""
    return {} if accept_unaudited and grade == "unaudited" else {"proof": PROVEN}


def limits_of(objective: Objective, accuracy_drop_points: float, lane: Lane) -> Limits:
    """What a candidate must keep: its accuracy, the target's speed, and on a board the target's watts."""
    limits: dict[Quantity, float] = {
        "accuracy_drop_points": accuracy_drop_points,
        "frames_per_s": objective.frames_per_s,
    }
    if lane == "device":
        limits["power_w"] = objective.power_w
    return limits


@dataclass(frozen=True)
class Judgement:
    """A result with its checks. A refused candidate has none and takes no part in its target's verdict."""

    result: Result
    checks: tuple[Check, ...]

    @property
    def verdict(self) -> Verdict:
        """Fail if any limit is broken, else not_measured if any value is missing, else pass."""
        return worst(check.verdict for check in self.checks)


def judge_result(result: Result, objective: Objective, gates: Gates) -> Judgement:
    """Hold a record against the target's objective and the limits of params.yaml.

    It has to be proven first, unless what nobody has audited is to be accepted.
    """
    if result.refused:
        return Judgement(result, ())
    proven = proof_limit(result.grade, gates.accept_unaudited)
    limits = {**proven, **limits_of(objective, gates.accuracy_drop_points, result.lane)}
    measured = measurement_of(result, objective, gates.confidence)
    return Judgement(result, judge(measured, limits, certain=gates.confidence is not None))


def judge_change(check: Check, rounds: Sequence[tuple[float, float]]) -> Verdict:
    """A limit held against a change: `rounds` are (base, head) measured by turns, on one board, in one job.

    It fails where the limit is broken and head is the worse one in every round. Where it is broken otherwise, the
    board may have drifted, or the base breaks it as well: nothing is said of the change.
    """
    if check.verdict != "fail":
        return check.verdict
    at_least = check.name in AT_LEAST
    worse = [head < base if at_least else head > base for base, head in rounds]
    return "fail" if worse and all(worse) else "not_measured"


def target_verdict(judgements: Iterable[Judgement]) -> Verdict:
    """A target passes when one of its candidates does; it fails when all of them were measured and none passes."""
    return any_passes(judgement.verdict for judgement in judgements if judgement.checks)


def any_passes(verdicts: Iterable[Verdict]) -> Verdict:
    """Pass if one does, fail if all do."""
    found = set(verdicts)
    if "pass" in found:
        return "pass"
    return "fail" if found == {"fail"} else "not_measured"


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Fail before not_measured before pass; nothing at all is not_measured."""
    found = set(verdicts)
    for verdict in ("fail", "not_measured", "pass"):
        if verdict in found:
            return verdict
    return "not_measured"
