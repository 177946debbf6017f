"""The question that the whole re-test exists for: what would an ordinary cloud test have let through?

A candidate that keeps the accuracy limit without the target's arithmetic and breaks it with it would be released
on the word of a cloud machine and fail in the field.
"""

from dataclasses import dataclass

from pipeline.records.results import Result
from pipeline.records.words import number
from pipeline.report.collect import Collected


@dataclass(frozen=True)
class Comparison:
    """A candidate's accuracy in the cloud and under the target's arithmetic."""

    candidate: str
    target: str
    simulated: bool
    bounded: bool
    fp32_percent: float
    cloud_percent: float
    target_percent: float
    cloud_drop_points: float  # lost to compression alone
    target_drop_points: float  # lost to compression and the target's arithmetic
    arithmetic_points: float  # lost to the target's arithmetic alone


@dataclass(frozen=True)
class Answer:
    """The answer in one sentence, and the pairs it rests on."""

    sentence: str
    compared: list[Comparison]
    caught: list[Comparison]


def answer(collected: Collected) -> Answer:
    """Compare every candidate on every emulated target that has both numbers; a board has no cloud to compare with."""
    limit = collected.accuracy_limit
    emulated = [target for target in collected.targets if target.lane == "emulated"]
    results = [judgement.result for target in emulated for judgement in target.tested]
    compared = [found for result in results if (found := _compare(result))]
    caught = [item for item in compared if item.cloud_drop_points <= limit < item.target_drop_points]
    missing = len(results) - len(compared)
    if caught:
        sentence = "Caught: " + "; ".join(_caught(item) for item in caught) + f". The limit is {number(limit)} points."
    elif compared:
        most = max(compared, key=lambda item: item.arithmetic_points)
        loss = (
            f"the largest loss to the arithmetic is {number(most.arithmetic_points)} points, "
            f"{most.candidate} on {most.target}"
            if most.arithmetic_points > 0
            else "the arithmetic cost no candidate any accuracy"
        )
        sentence = (
            f"No candidate passes in the cloud and breaks the {number(limit)}-point accuracy limit under its target's "
            f"arithmetic ({len(compared)} compared{f', {missing} not measured' if missing else ''}): {loss}."
        )
    else:
        sentence = (
            "Not measured: no candidate has both an accuracy in the cloud and one under its target's arithmetic, so "
            "whether a cloud test would have let a failing one through is not known."
        )
    return Answer(sentence, compared, caught)


def _compare(result: Result) -> Comparison | None:
    accuracy = result.accuracy
    if accuracy.fp32 is None or accuracy.cloud is None or accuracy.target is None:
        return None
    return Comparison(
        candidate=result.candidate,
        target=result.target,
        simulated=result.cloud_basis == "simulated",
        bounded=bool(result.bounds),
        fp32_percent=accuracy.fp32.percent,
        cloud_percent=accuracy.cloud.percent,
        target_percent=accuracy.target.percent,
        cloud_drop_points=accuracy.fp32.lost_points(accuracy.cloud),
        target_drop_points=accuracy.fp32.lost_points(accuracy.target),
        arithmetic_points=accuracy.cloud.lost_points(accuracy.target),
    )


def _caught(item: Comparison) -> str:
    return (
        f"{item.candidate} passes in the cloud with {number(item.cloud_percent)} % "
        f"({'simulated, ' if item.simulated else ''}{number(item.cloud_drop_points)} points below its FP32 parent) "
        f"but has {number(item.target_percent)} % under the arithmetic of {item.target}"
        f"{' in the worse of two bounds' if item.bounded else ''}, {number(item.target_drop_points)} points below"
    )
