"""What trainings of the same recipe came to: mean, spread, and how often the gate held."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table
from rich.text import Text

from pipeline.records.gates import Verdict, any_passes, worst
from pipeline.records.words import STYLES, VERDICTS, broken, give_or_take, number
from pipeline.repeat.trainings import Training
from pipeline.system.console import Page, escape_markdown

HEADS = ("trained with", "seed", "parent %", "cloud %", "on target %", "drop points", "verdict")
NONE = "–"


@dataclass(frozen=True)
class Spread:
    """All trainings of a method on a target. Numbers are of those that were measured, None where none was.

    `within` of `trainings` lose no more than the limit on the target, `caught` lose no more in the cloud but do there.
    """

    model: str
    method: str
    target: str
    trainings: int
    mean_accuracy_percent: float | None
    deviation_points: float | None
    mean_drop_points: float | None
    least_drop_points: float | None
    most_drop_points: float | None
    within: int
    caught: int
    verdict: Verdict


def spreads(found: Sequence[Training], limit_points: float) -> list[Spread]:
    """One for each model, method and target, in the order of the trainings."""
    groups: dict[tuple[str, str, str], list[Training]] = {}
    for one in found:
        groups.setdefault((one.judgement.result.model, one.method, one.target), []).append(one)
    return [_spread(*names, group, limit_points) for names, group in groups.items()]


def verdict(found: Sequence[Spread]) -> Verdict:
    """That of the worst target; a target passes when one of its methods does in every training."""
    targets = dict.fromkeys(one.target for one in found)
    return worst(any_passes(one.verdict for one in found if one.target == target) for target in targets)


def as_json(found: Sequence[Training], limit_points: float) -> dict[str, Any]:
    """The spreads, and every training with its record."""
    return {
        "accuracy_drop_points": limit_points,
        "spreads": [asdict(one) for one in spreads(found, limit_points)],
        "trainings": [
            {
                "seed": one.seed,
                "method": one.method,
                "arithmetic": one.arithmetic,
                "verdict": one.judgement.verdict,
                "result": one.judgement.result.model_dump(mode="json"),
            }
            for one in found
        ],
    }


def text(found: Sequence[Training], limit_points: float) -> str:
    """A table for each method on a target, and what it comes to."""
    page = Page()
    for one in spreads(found, limit_points):
        page.console.print(Text(f"{one.model}/{one.method} on {one.target}", style="bold"))
        grid = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
        for head in HEADS:
            grid.add_column(head, justify="left" if head in (HEADS[0], HEADS[-1]) else "right", no_wrap=True)
        for training in _of(one, found):
            *cells, last = _cells(training)
            grid.add_row(*cells, Text(last, style=STYLES[training.judgement.verdict]))
        page.console.print(grid)
        page.console.print(Text(sentence(one, limit_points) + "\n"))
    return page.text


def markdown(found: Sequence[Training], limit_points: float) -> str:
    """The same for a page."""
    lines = []
    for one in spreads(found, limit_points):
        lines += [f"**{escape_markdown(f'{one.model}/{one.method} on {one.target}')}**", ""]
        lines += [f"| {' | '.join(HEADS)} |", "|---|" + "---:|" * 5 + "---|"]
        lines += [f"| {' | '.join(escape_markdown(cell) for cell in _cells(item))} |" for item in _of(one, found)]
        lines += ["", sentence(one, limit_points), ""]
    return "\n".join(lines)


def sentence(one: Spread, limit_points: float) -> str:
    """What a method's trainings come to."""
    if one.mean_accuracy_percent is None or one.mean_drop_points is None:
        return f"{_counted(one)}, of which none was measured."
    spread = "" if one.deviation_points is None else f" (standard deviation {number(one.deviation_points)})"
    caught = f"; {one.caught} pass in the cloud and break it under the target's arithmetic" if one.caught else ""
    return (
        f"{_counted(one)}: {number(one.mean_accuracy_percent)} % on target{spread}, {_points(one)} lost; "
        f"{one.within} of {one.trainings} keep the limit of {limit_points:g} points{caught}."
    )


def _counted(one: Spread) -> str:
    return f"{one.trainings} training{'s' if one.trainings != 1 else ''}"


def _points(one: Spread) -> str:
    least, most, mean = one.least_drop_points, one.most_drop_points, one.mean_drop_points
    assert least is not None
    assert most is not None
    assert mean is not None
    return f"{number(mean)} points ({number(least)} to {number(most)})"


def _spread(model: str, method: str, target: str, group: list[Training], limit: float) -> Spread:
    results = [one.judgement.result for one in group]
    accuracies = [result.accuracy.target.percent for result in results if result.accuracy.target]
    drops = [drop for result in results if (drop := result.accuracy_drop_points) is not None]
    caught = 0
    for result in results:
        drop, accuracy = result.accuracy_drop_points, result.accuracy
        if drop is not None and accuracy.fp32 and accuracy.cloud:
            caught += accuracy.fp32.lost_points(accuracy.cloud) <= limit < drop
    verdicts = {one.judgement.verdict for one in group}
    return Spread(
        model=model,
        method=method,
        target=target,
        trainings=len(group),
        mean_accuracy_percent=statistics.fmean(accuracies) if accuracies else None,
        deviation_points=statistics.stdev(accuracies) if len(accuracies) > 1 else None,
        mean_drop_points=statistics.fmean(drops) if drops else None,
        least_drop_points=min(drops, default=None),
        most_drop_points=max(drops, default=None),
        within=sum(drop <= limit for drop in drops),
        caught=caught,
        verdict=worst(verdicts),
    )


def _of(one: Spread, found: Sequence[Training]) -> list[Training]:
    names = (one.model, one.method, one.target)
    return [item for item in found if (item.judgement.result.model, item.method, item.target) == names]


def _cells(training: Training) -> list[str]:
    judgement = training.judgement
    accuracy = judgement.result.accuracy
    drop = next((check for check in judgement.checks if check.name == "accuracy_drop_points"), None)
    reasons = ", ".join(broken(judgement.checks))
    return [
        training.arithmetic,
        str(training.seed),
        *(number(found.percent) if found else NONE for found in (accuracy.fp32, accuracy.cloud, accuracy.target)),
        NONE if drop is None or drop.value is None else give_or_take(drop.value, drop.interval),
        f"{VERDICTS[judgement.verdict]} {reasons}".strip(),
    ]
