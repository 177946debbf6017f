"""A release's notes as Markdown: the result of each target, and what changed in data and accuracy since the last one.

Every value that the template prints is escaped, whoever wrote it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.records.results import Result
from pipeline.records.words import NOT_MEASURED, VERDICTS, number
from pipeline.release.bundling import Built
from pipeline.release.choosing import Chosen
from pipeline.release.tuf_registry import Registry
from pipeline.system.console import escape_markdown
from pipeline.system.templates import template
from runners.contract import records


@dataclass(frozen=True)
class Row:
    """One target in one lane, in words."""

    target: str
    candidate: str
    lane: str
    grade: str
    fp32: str
    accuracy: str
    drop: str
    speed: str
    power: str
    download: str
    verdict: str


@dataclass(frozen=True)
class Change:
    """What changed for one target: sentences, and per class the right answers in per cent before and now."""

    target: str
    since: str
    sentences: list[str]
    classes: list[tuple[str, str, str, str]]


def render(built: Sequence[tuple[Chosen, Built]], registry: Registry | None, channel: str) -> str:
    """The notes of what was built; `registry` holds the releases before it."""
    version = built[0][1].offer.version
    chosen = [one for one, _ in built]
    return template(Path(__file__).with_name("notes.md.j2"), finalize=escape_markdown).render(
        version=version,
        channel=channel,
        rows=[row for one in chosen for row in _rows(one)],
        allowed=[(one.target.name, _missing(one), one.allowed) for one in chosen if one.allowed],
        changes=[change for one in chosen if (change := _change(one, registry, channel))],
        bundles=[(made.offer.name, made.sha256, f"{made.length:,}") for _, made in built],
    )


def _rows(chosen: Chosen) -> list[Row]:
    rows = []
    for lane, judgement in chosen.judgements.items():
        result = judgement.result
        accuracy, drop = result.accuracy, result.accuracy_drop_points
        rate = result.predicted.frames_per_s if result.predicted else None
        speed = f"{number(rate, 1)} predicted" if rate else NOT_MEASURED
        board = result.on_board
        if result.measured is not None:
            speed = number(board.loop_per_s, 1) if board and board.loop_per_s else NOT_MEASURED
        power = number(board.power_w) if board and board.power_w else NOT_MEASURED
        rows.append(
            Row(
                target=result.target,
                candidate=result.candidate,
                lane=lane,
                grade=result.grade or NOT_MEASURED,
                fp32=number(accuracy.fp32.percent) if accuracy.fp32 else NOT_MEASURED,
                accuracy=number(accuracy.target.percent) if accuracy.target else NOT_MEASURED,
                drop=NOT_MEASURED if drop is None else number(drop),
                speed=speed,
                power=power,
                download=f"{result.download_bytes:,}" if result.download_bytes else NOT_MEASURED,
                verdict=VERDICTS[judgement.verdict],
            )
        )
    return rows


def _missing(chosen: Chosen) -> str:
    return ", ".join(lane for lane in chosen.required if chosen.lanes[lane] == "not_measured")


def _change(chosen: Chosen, registry: Registry | None, channel: str) -> Change | None:
    """Against what everybody runs in the channel; None where there is nothing yet."""
    path = f"{channel}/{chosen.target.name}"
    offer = registry.offers().get(path) if registry else None
    if offer is None or registry is None:
        return None
    before = _record(registry.evidence(offer))
    if before is None:
        return Change(chosen.target.name, offer.version, ["What it was judged by is not in the registry."], [])
    now, sentences = chosen.result, []
    if before.candidate != now.candidate:
        sentences.append(f"The candidate is {now.candidate}; it was {before.candidate}.")
    same = before.data_sha256 == now.data_sha256
    count = now.accuracy.target.n if now.accuracy.target else 0
    old = before.accuracy.target.n if before.accuracy.target else 0
    sentences.append("The data are the same." if same else f"The data changed: {count:,} test samples, before {old:,}.")
    if now.accuracy.target and before.accuracy.target:
        sentences.append(
            f"Accuracy on the target: {number(now.accuracy.target.percent)} %, "
            f"before {number(before.accuracy.target.percent)} %{'' if same else ' of other samples'}."
        )
    earlier, later = _by_class(before), _by_class(now)
    classes = [_class_row(name, earlier.get(name), later.get(name)) for name in dict.fromkeys([*later, *earlier])]
    return Change(chosen.target.name, offer.version, sentences, classes)


def _record(evidence: Path) -> Result | None:
    try:
        found: list[Any] = records.load(str(evidence))["records"]
        results = [Result.model_validate(one["result"]) for one in found]
        return next((one for one in results if one.lane == "emulated"), None)
    except (ValueError, LookupError, TypeError, ValidationError):
        return None


def _by_class(result: Result) -> dict[str, float | None]:
    """The share of each class's samples that are answered right, in per cent; None for a class without samples."""
    rows = zip(result.classes, result.confusion, strict=False)
    return {name: 100 * row[index] / sum(row) if sum(row) else None for index, (name, row) in enumerate(rows)}


def _class_row(name: str, before: float | None, now: float | None) -> tuple[str, str, str, str]:
    change = NOT_MEASURED if before is None or now is None else f"{now - before:+.2f}"
    words = [NOT_MEASURED if value is None else number(value) for value in (before, now)]
    return name, words[0], words[1], change
