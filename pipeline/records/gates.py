"""The one place where pass and fail are decided: for the pipeline, `check`, the search, boards and the release alike.

They supply what was measured and the limits; the rule is here. A limit without a measurement is `not_measured`: never a
pass, never a fail, never a zero.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from pipeline.records.results import Grade, Lane, Result
from pipeline.records.targets import Objective

Verdict = Literal["pass", "fail", "not_measured"]
Quantity = Literal[
    "proof",
    "accuracy_drop_points",
    "changed_answers_percent",
    "difference_percent",
    "regions_per_s",
    "power_w",
    "unreadable_nodes",
]

EXIT_CODES: dict[Verdict, int] = {"pass": 0, "fail": 1, "not_measured": 3}
AT_LEAST: tuple[Quantity, ...] = ("proof", "regions_per_s")  # the others are limits that a value must not exceed


@dataclass(frozen=True)
class Value:
    """A quantity in the unit that its name states, None where there is none; `predicted` if nobody measured it."""

    value: float | None
    predicted: bool = False


@dataclass(frozen=True)
class Check:
    """One limit against one value, in the unit that the name states; `predicted` marks a value nobody measured."""

    name: Quantity
    value: float | None
    limit: float
    verdict: Verdict
    predicted: bool = False


Limits = Mapping[Quantity, float]
PROVEN = 1.0  # `proof` is 0 for a model that fails on the emulated processor, and None for what is not known
Measurement = Mapping[Quantity, Value]


def judge(measurement: Measurement, limits: Limits) -> tuple[Check, ...]:
    """Hold a measurement against each limit, in the order of the limits."""
    return tuple(_check(name, measurement.get(name, Value(None)), limit) for name, limit in limits.items())


def _check(name: Quantity, found: Value, limit: float) -> Check:
    verdict: Verdict = "not_measured"
    if found.value is not None:
        kept = found.value >= limit if name in AT_LEAST else found.value <= limit
        verdict = "pass" if kept else "fail"
    return Check(name, found.value, limit, verdict, found.predicted)


def measurement_of(result: Result) -> Measurement:
    """What a record holds. In the cloud speed is predicted; power is measured on boards only."""
    found: dict[Quantity, Value] = {"accuracy_drop_points": Value(result.accuracy_drop_points)}
    if result.lane == "device":
        board = result.measured
        # A board that held itself back shows what it does in the heat, not what it can do.
        usable = board if board and not board.throttled else None
        found["regions_per_s"] = Value(usable.regions_per_s if usable else None)
        found["power_w"] = Value(usable.power_w if usable else None)
    else:
        found["proof"] = proof(result.grade)
        found["regions_per_s"] = Value(result.predicted.inferences_per_s if result.predicted else None, predicted=True)
    return found


def proof(grade: Grade | None) -> Value:
    """How far the target's answers are proven: exact ones are, and of an interval its worse end counts."""
    return Value({"exact": PROVEN, "bounded": PROVEN, "fails": 0.0}.get(grade or ""))


def proof_limit(grade: Grade | None, accept_unaudited: bool) -> Limits:
    """The limit that asks for a proof; what nobody has audited goes without it where that is accepted."""
    return {} if accept_unaudited and grade == "unaudited" else {"proof": PROVEN}


def limits_of(objective: Objective, accuracy_drop_points: float, lane: Lane) -> Limits:
    """What a candidate must keep: its accuracy, the target's speed, and on a board the target's watts."""
    limits: dict[Quantity, float] = {
        "accuracy_drop_points": accuracy_drop_points,
        "regions_per_s": objective.regions_per_s,
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


def judge_result(
    result: Result, objective: Objective, accuracy_drop_points: float, *, accept_unaudited: bool = False
) -> Judgement:
    """Hold a record against the target's objective and the accuracy that it may lose.

    In the cloud it has to be proven first, unless what nobody has audited is to be accepted.
    """
    if result.refused:
        return Judgement(result, ())
    proven = {} if result.lane == "device" else proof_limit(result.grade, accept_unaudited)
    limits = {**proven, **limits_of(objective, accuracy_drop_points, result.lane)}
    return Judgement(result, judge(measurement_of(result), limits))


def target_verdict(judgements: Iterable[Judgement]) -> Verdict:
    """A target passes when one of its candidates does; it fails when all of them were measured and none passes."""
    verdicts = {judgement.verdict for judgement in judgements if judgement.checks}
    if "pass" in verdicts:
        return "pass"
    return "fail" if verdicts == {"fail"} else "not_measured"


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Fail before not_measured before pass; nothing at all is not_measured."""
    found = set(verdicts)
    for verdict in ("fail", "not_measured", "pass"):
        if verdict in found:
            return verdict
    return "not_measured"
