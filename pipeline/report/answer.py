"""The question that the whole re-test exists for: what would an ordinary cloud test have let through?

A candidate that keeps the accuracy limit without the target's arithmetic and breaks it with it would be released
on the word of a cloud machine and fail in the field.
"""

from dataclasses import dataclass

from pipeline.report.collect import Collected
from pipeline.report.words import number
from pipeline.results import Accuracy, Result

# Instruction sets that add 8-bit products in 32 bits. Every other x86 CPU saturates at 16, as the Atom does.
VNNI = {"amx_int8", "avx512_vnni", "avx_vnni"}


@dataclass(frozen=True)
class Comparison:
    """A candidate's accuracy with and without the target's arithmetic."""

    candidate: str
    target: str
    uncapped: str
    fp32_percent: float
    uncapped_percent: float
    target_percent: float

    @property
    def uncapped_drop_points(self) -> float:
        """Lost to compression alone."""
        return self.fp32_percent - self.uncapped_percent

    @property
    def target_drop_points(self) -> float:
        """Lost to compression and the target's arithmetic."""
        return self.fp32_percent - self.target_percent

    @property
    def arithmetic_points(self) -> float:
        """Lost to the target's arithmetic alone."""
        return self.uncapped_percent - self.target_percent


@dataclass(frozen=True)
class Answer:
    """The answer in one sentence, the pairs it rests on, and what the reader must know of this machine."""

    sentence: str
    compared: list[Comparison]
    caught: list[Comparison]
    this_machine: str | None

    @property
    def text(self) -> str:
        """Sentence and remark."""
        return f"{self.sentence} {self.this_machine}" if self.this_machine else self.sentence


def answer(collected: Collected) -> Answer:
    """Compare every candidate on every target that could be measured both ways."""
    limit = collected.accuracy_limit
    results = [judgement.result for target in collected.targets for judgement in target.tested]
    compared = [found for result in results if (found := _compare(result, limit))]
    caught = [item for item in compared if item.uncapped_drop_points <= limit < item.target_drop_points]
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
            f"No candidate passes uncapped and breaks the {number(limit)}-point accuracy limit under its target's "
            f"arithmetic ({len(compared)} compared{f', {missing} not measured' if missing else ''}): {loss}."
        )
    else:
        sentence = (
            "Not measured: no candidate has both an uncapped accuracy and one under its target's arithmetic, so "
            "whether a cloud test would have let a failing one through is not known."
        )
    return Answer(sentence, compared, caught, _this_machine(host_isas(collected)))


def host_isas(collected: Collected) -> list[str]:
    """The instruction sets of the machines that gave the uncapped numbers."""
    return sorted({judgement.result.host_isa for judgement in collected.judgements if judgement.result.host_isa})


def _compare(result: Result, limit: float) -> Comparison | None:
    """A VNNI machine's own number is the uncapped one; on any other machine, the simulation of one stands for it."""
    accuracy = result.accuracy
    if accuracy.fp32 is None or accuracy.target is None:
        return None
    host = (f"this machine, {result.host_isa}", accuracy.host)
    unsaturated = ("unsaturated", accuracy.unsaturated)
    ways: list[tuple[str, Accuracy | None]] = [host, unsaturated] if result.host_isa in VNNI else [unsaturated, host]
    comparisons = [
        Comparison(
            result.candidate, result.target, way, accuracy.fp32.percent, uncapped.percent, accuracy.target.percent
        )
        for way, uncapped in ways
        if uncapped
    ]
    passing = (item for item in comparisons if item.uncapped_drop_points <= limit)
    return next(passing, comparisons[0] if comparisons else None)


def _caught(item: Comparison) -> str:
    return (
        f"{item.candidate} passes uncapped with {number(item.uncapped_percent)} % ({item.uncapped}; "
        f"{number(item.uncapped_drop_points)} points below its FP32 parent) but has {number(item.target_percent)} % "
        f"under the arithmetic of {item.target}, {number(item.target_drop_points)} points below"
    )


def _this_machine(isas: list[str]) -> str | None:
    saturating = [isa for isa in isas if isa not in VNNI]
    if not saturating:
        return None
    known = [isa for isa in saturating if isa != "unknown"]
    what = (
        f"This machine's own CPU ({', '.join(known)}) saturates too" if known else "This machine's own CPU is unknown"
    )
    return f"{what}: the unsaturated column stands for a VNNI cloud CPU, simulated in floating point."
