"""Which candidate a target gets: of those that pass, the most accurate, then the faster, then the smaller download.

Speed is a limit that all of them keep, so accuracy is what is left to choose by.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.project.candidate import Candidate, candidate
from pipeline.records.gates import Judgement, Verdict
from pipeline.records.results import Lane, Result
from pipeline.records.targets import Target
from pipeline.records.words import broken
from pipeline.report.collect import Collected, collect
from pipeline.system.errors import InputError, Refused, unknown

if TYPE_CHECKING:
    from pipeline.project.params import Params


@dataclass(frozen=True)
class Chosen:
    """What a target gets, with its judgement in each lane that has one; `allowed` is why a lane may be missing."""

    target: Target
    candidate: Candidate
    judgements: Mapping[Lane, Judgement]
    required: tuple[Lane, ...]
    allowed: str | None

    @property
    def result(self) -> Result:
        """The record of the emulated lane."""
        return self.judgements["emulated"].result

    @property
    def lanes(self) -> dict[Lane, Verdict]:
        """The verdict of each lane that is there or required."""
        return {lane: _verdict(self.judgements, lane) for lane in dict.fromkeys((*self.judgements, *self.required))}


def choose(
    params: "Params",
    required: Sequence[Lane] = ("emulated",),
    *,
    targets: Sequence[str] = (),
    named: str | None = None,
    allowed: str | None = None,
) -> list[Chosen]:
    """A candidate for each of the `targets`, or of all in params.yaml; `named`, as MODEL/METHOD, where one is given.

    `allowed` is the reason for which a required lane may be not measured, as long as another one passes.

    Raises:
        InputError: a name is unknown, or a result is missing or damaged.
        Refused: a gate failed, or a required lane was not measured.
    """
    for target in targets:
        if target not in params.targets:
            raise unknown("target of params.yaml", target, params.targets)
    known = [f"{model}/{method}" for model in params.models for method in params.methods]
    if named is not None and named not in known:
        raise unknown("candidate", named, known)
    collected = collect(params)
    wanted = targets or params.targets
    return [_for_target(name, collected, tuple(required), named, allowed) for name in wanted]


def _for_target(
    name: str, collected: Collected, required: tuple[Lane, ...], named: str | None, allowed: str | None
) -> Chosen:
    lanes = {on.lane: on for on in collected.targets if on.profile.name == name}
    candidates: dict[str, dict[Lane, Judgement]] = {}
    for lane, on in lanes.items():
        for judgement in on.judgements:
            if not judgement.result.refused:
                candidates.setdefault(judgement.result.candidate, {})[lane] = judgement
    if named is not None:
        candidates = {key: found for key, found in candidates.items() if key == named}
        if not candidates:
            raise Refused(f"{name} does not run {named}; take another --candidate, or only other targets (--target)")
    refusals = {key: _refusal(found, required, allowed) for key, found in candidates.items()}
    passing = [key for key, refusal in refusals.items() if refusal is None]
    if not passing:
        why = "; ".join(f"{key}: {refusal}" for key, refusal in refusals.items())
        raise Refused(
            f"{name}: no candidate may be released: {why or 'it runs none'};"
            " mend one, or release for other targets only (--target, or `targets` in params.yaml)"
        )
    best = min(passing, key=lambda key: _order(candidates[key]["emulated"].result))
    model, method = best.split("/", 1)
    profile = lanes["emulated"].profile
    missing = any(_verdict(candidates[best], lane) == "not_measured" for lane in required)
    made = candidate(model, method, collected.params)
    return Chosen(profile, made, candidates[best], required, allowed if missing else None)


def _refusal(found: Mapping[Lane, Judgement], required: Sequence[Lane], allowed: str | None) -> str | None:
    """Why a candidate may not be released; None where it may."""
    for lane, judgement in found.items():
        if judgement.verdict == "fail":
            return f"fails in the {lane} lane ({', '.join(broken(judgement.checks))})"
    missing = [lane for lane in required if _verdict(found, lane) == "not_measured"]
    if missing and allowed is None:
        return f"the {missing[0]} lane is required and not measured; measure it, or give --allow-not-measured REASON"
    if _verdict(found, "emulated") != "pass":
        return "the emulated lane is not measured, and without it nobody knows the right answers"
    return None


def _verdict(found: Mapping[Lane, Judgement], lane: Lane) -> Verdict:
    return found[lane].verdict if lane in found else "not_measured"


def _order(result: Result) -> tuple[float, float, int, str]:
    drop, predicted = result.accuracy_drop_points, result.predicted
    speed = predicted.frames_per_s if predicted and predicted.frames_per_s else 0.0
    if drop is None:  # it would not have passed
        raise InputError(f"{result.candidate}: its record has no accuracy; run `dvc repro`")
    return drop, -speed, result.download_bytes or 0, result.candidate
