"""The page: one HTML file that holds everything it shows and opens without a network, today and in ten years."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipeline.data import dataset
from pipeline.project import layout
from pipeline.records.results import Result
from pipeline.records.words import GRADES, POWER, VERDICTS, broken, number
from pipeline.report import from_devices, plots, table
from pipeline.report.answer import answer
from pipeline.report.collect import Collected, OnTarget
from pipeline.report.examples import Example, examples
from pipeline.report.training import read_curves
from pipeline.system.templates import template

MOST_CLASSES = 12
SHOWN_MIX_UPS = 10


@dataclass(frozen=True)
class MixUp:
    """How often the target took one class for another."""

    count: int
    label: str
    answer: str


@dataclass(frozen=True)
class Confusion:
    """A candidate's answers by true class: the matrix, or its largest entries where it would not fit a page."""

    name: str
    accuracy: str
    classes: list[str]
    rows: list[list[tuple[int, str]]]
    mix_ups: list[MixUp]


@dataclass(frozen=True)
class Part:
    """What the page shows of one target."""

    section: table.Section
    notes: list[int]
    plot: plots.Plot | None
    confusions: list[Confusion]
    examples: list[Example]


def render(collected: Collected) -> str:
    """The whole file."""
    words, regions = table.build(collected), dataset.open_dataset(layout.DATASET)
    return template(Path(__file__).with_name("page.html.j2")).render(
        answer=answer(collected),
        broken=broken,
        captured=from_devices.read(),
        columns=table.COLUMNS,
        curves=[
            (curves.model, plots.losses(curves), plots.validation_accuracy(curves))
            for curves in map(read_curves, collected.params.models)
            if curves
        ],
        grades=GRADES,
        headline=_headline(collected),
        limit=number(collected.accuracy_limit),
        parts=[
            Part(
                section=section,
                notes=sorted({mark for row in section.rows for cell in row.cells for mark in cell.marks}),
                plot=plots.accuracy_against_speed(collected, section.target),
                confusions=_confusions(section.target, collected.name),
                examples=examples(section.target, regions, collected.name),
            )
            for section in words.sections
        ],
        power=POWER,
        results=[judgement.result for target in collected.targets for judgement in target.tested],
        verdicts=VERDICTS,
        words=words,
    )


def _headline(collected: Collected) -> str:
    verdicts = list(collected.verdicts.values())
    passing = verdicts.count("pass")
    if len(verdicts) == 1:
        return {"pass": "The target passes", "fail": "The target fails", "not_measured": "Not measured"}[verdicts[0]]
    if passing == len(verdicts):
        return f"All {passing} targets pass"
    return f"{passing or 'None'} of {len(verdicts)} targets {'passes' if passing == 1 else 'pass'}"


def _confusions(target: OnTarget, name: Callable[[Result], str]) -> list[Confusion]:
    results = [judgement.result for judgement in target.tested]
    return [_confusion(result, name(result)) for result in results if result.confusion and result.accuracy.target]


def _confusion(result: Result, name: str) -> Confusion:
    fits = len(result.classes) <= MOST_CLASSES
    rows = [[(count, f"{count / max(sum(row), 1):.2f}") for count in row] for row in result.confusion]
    mix_ups = [
        MixUp(count, label, found)
        for label, row in zip(result.classes, result.confusion, strict=False)
        for found, count in zip(result.classes, row, strict=False)
        if count and found != label
    ]
    mix_ups.sort(key=lambda item: (-item.count, item.label, item.answer))
    accuracy = result.accuracy.target
    return Confusion(
        name=name,
        accuracy=number(accuracy.percent) if accuracy else "",
        classes=result.classes,
        rows=rows if fits else [],
        mix_ups=[] if fits else mix_ups[:SHOWN_MIX_UPS],
    )
