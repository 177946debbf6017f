"""The one place where pass and fail are decided: for the cloud, the boards and the release alike.

A limit without a measurement is `not_measured`: never a pass, never a fail, never a zero.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from pipeline.config import Gates
from pipeline.results import Result
from pipeline.targets import Target

Verdict = Literal["pass", "fail", "not_measured"]

EXIT_CODES: dict[Verdict, int] = {"pass": 0, "fail": 1, "not_measured": 3}


@dataclass(frozen=True)
class Check:
    """One limit against one value, in the unit that the name states; `predicted` marks a value nobody measured."""

    name: str
    value: float | None
    limit: float
    verdict: Verdict
    predicted: bool = False


@dataclass(frozen=True)
class Judgement:
    """A result with its checks. A refused candidate has none and takes no part in its target's verdict."""

    result: Result
    checks: tuple[Check, ...]

    @property
    def verdict(self) -> Verdict:
        """Fail if any limit is broken, else not_measured if any value is missing, else pass."""
        return worst(check.verdict for check in self.checks)


def judge(result: Result, gates: Gates, target: Target) -> Judgement:
    """Hold one result against the limits of params.yaml and the target's objective."""
    if result.refused:
        return Judgement(result, ())
    objective = target.objective
    checks = [at_most("accuracy_drop_points", result.accuracy_drop_points, gates.accuracy_drop_points)]
    if result.lane == "device":
        rate = result.measured.regions_per_s if result.measured else None
        power = result.measured.power_w if result.measured else None
        checks.append(at_least("regions_per_s", rate, objective.regions_per_s))
        checks.append(at_most("power_w", power, objective.power_w))
    else:
        rate = result.predicted.inferences_per_s if result.predicted else None
        checks.append(at_least("regions_per_s", rate, objective.regions_per_s, predicted=True))
    return Judgement(result, tuple(checks))


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


def at_most(name: str, value: float | None, limit: float) -> Check:
    """A limit that the value must not exceed."""
    return Check(name, value, limit, "not_measured" if value is None else "pass" if value <= limit else "fail")


def at_least(name: str, value: float | None, limit: float, predicted: bool = False) -> Check:
    """A limit that the value must reach."""
    verdict: Verdict = "not_measured" if value is None else "pass" if value >= limit else "fail"
    return Check(name, value, limit, verdict, predicted)
