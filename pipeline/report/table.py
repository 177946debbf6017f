"""The table in words, before anybody draws it: one section per target, one row per candidate it can run.

A cell without a measurement says so and points to a note with the reason. The notes are numbered across the whole
table and each reason is told once.
"""

from dataclasses import dataclass, field, replace

import models
from pipeline.records.gates import Check, Judgement, Verdict
from pipeline.records.results import Accuracy, Result
from pipeline.records.words import FIELDS, NOT_MEASURED, POWER, give_or_take, number, rate, reason, uncertain
from pipeline.report import trust
from pipeline.report.collect import Collected, OnTarget
from pipeline.report.worst_layers import Layers, layers
from pipeline.system.console import one_line

Marks = tuple[int, ...]


@dataclass(frozen=True)
class Column:
    """Head, unit, and what it says to somebody who sees it for the first time."""

    head: str
    unit: str
    meaning: str


COLUMNS = (
    Column(
        "FP32 parent", "%", "Top-1 accuracy of the uncompressed network on the test split, calculated in 32-bit floats."
    ),
    Column(
        "cloud",
        "%",
        "Accuracy of the same candidate on a server's CPU, whose 8-bit sums do not saturate: what an ordinary cloud "
        "test reports.",
    ),
    Column(
        "on target",
        "%",
        "Accuracy of the candidate under the target's arithmetic, by emulation on the whole test split. The gate "
        "judges this number.",
    ),
    Column(
        "drop",
        "points",
        "FP32 parent minus on target, in percentage points; negative is a gain. Behind ± stands half the interval that "
        "it lies in, by the answers of the test split that changed.",
    ),
    Column("size", "MB", "The files that the device loads; 1 MB is 1,000,000 bytes."),
    Column("download", "MB", "The same files as the device downloads them: packed without loss."),
    Column(
        "network",
        "regions/s",
        "Regions that the network alone classifies in a second, at the size that it takes: a prediction by a model of "
        "the hardware, fitted to published measurements.",
    ),
    Column(
        "loop",
        "frames/s",
        "Frames in a second of the whole camera program, which shares the target's cores with the network, with all "
        "regions in each: predicted. Behind ± stands half of what the errors of the network's and of the cores' speed "
        "leave open together. The gate judges this number.",
    ),
)


@dataclass(frozen=True)
class Cell:
    """A text, the notes it points to, and the verdict of the limit it is held against, if there is one."""

    text: str
    marks: Marks = ()
    verdict: Verdict | None = None

    @property
    def measured(self) -> bool:
        """Whether the cell holds a number."""
        return self.text != NOT_MEASURED


@dataclass(frozen=True)
class Row:
    """One candidate; `cells` are in the order of COLUMNS."""

    judgement: Judgement
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Section:
    """One target; `layers` are of the candidates that its arithmetic changes."""

    target: OnTarget
    rows: list[Row]
    layers: list[Layers]

    @property
    def objective(self) -> str:
        """What the product asks of it."""
        wanted = self.target.profile.objective
        return (
            f"{wanted.frames_per_s:g} frames/s with {wanted.regions_per_frame} regions each within {wanted.power_w:g} W"
        )

    @property
    def refused(self) -> list[str]:
        """The candidates it cannot run, each with the reason."""
        refused = [judgement.result for judgement in self.target.refused]
        return [f"{result.candidate}: {one_line(result.refused or '')}" for result in refused]

    @property
    def lane(self) -> str:
        """Where the candidates ran, and how sure that is."""
        return f"{self.target.lane}, {trust.grade(self.target)}"

    @property
    def cloud(self) -> str:
        """What stands for the cloud here."""
        return trust.cloud(self.target.judgements)


@dataclass
class _Notes:
    texts: list[str] = field(default_factory=list)

    def mark(self, text: str) -> int:
        if text not in self.texts:
            self.texts.append(text)
        return self.texts.index(text) + 1


@dataclass(frozen=True)
class Table:
    """Sections, notes (number 1 is the first), the refused pairs, all that is missing, and the lines that go below."""

    sections: list[Section]
    notes: list[str]
    refused: list[str]
    missing: list[str]
    caption: list[str]


def build(collected: Collected) -> Table:
    """Lay everything out in words."""
    notes = _Notes()
    sections = [
        Section(
            target,
            [Row(judgement, _cells(judgement, notes, collected.confidence)) for judgement in target.tested],
            [
                found
                for judgement in target.tested
                if (found := layers(judgement.result, collected.name(judgement.result)))
            ],
        )
        for target in collected.targets
    ]
    refused = list(dict.fromkeys(line for section in sections for line in section.refused))  # a board refuses the same
    return Table(sections, notes.texts, refused, _missing(collected), _caption(collected))


def _cells(judgement: Judgement, notes: _Notes, confidence: float) -> tuple[Cell, ...]:
    result, accuracy = judgement.result, judgement.result.accuracy
    checks = {check.name: check for check in judgement.checks}
    drop_check = checks["accuracy_drop_points"]
    missing = "accuracy.fp32" if accuracy.target else "accuracy.target"
    return (
        _accuracy(result, "fp32", accuracy.fp32, notes),
        _accuracy(result, "cloud", accuracy.cloud, notes),
        _on_target(result, notes),
        _drop(result, drop_check, missing, notes, confidence),
        _megabytes(result, "size_bytes", result.size_bytes, notes),
        _megabytes(result, "download_bytes", result.download_bytes, notes),
        _network(result, notes),
        _loop(result, checks["frames_per_s"], notes),
    )


def _cell(result: Result, name: str, text: str | None, notes: _Notes, verdict: Verdict | None = None) -> Cell:
    if text is None:
        return Cell(NOT_MEASURED, (notes.mark(one_line(reason(result, name))),), verdict)
    return Cell(text, (), verdict)


def _accuracy(result: Result, name: str, accuracy: Accuracy | None, notes: _Notes) -> Cell:
    text = None if accuracy is None else number(accuracy.percent)
    return _cell(result, f"accuracy.{name}", text, notes)


def _megabytes(result: Result, name: str, size_bytes: int | None, notes: _Notes) -> Cell:
    return _cell(result, name, None if size_bytes is None else number(size_bytes / 1e6), notes)


def _drop(result: Result, check: Check, missing: str, notes: _Notes, confidence: float) -> Cell:
    text = None if check.value is None else give_or_take(check.value, check.interval)
    cell = _cell(result, missing, text, notes, check.verdict)
    if not check.uncertain:
        return cell
    return replace(cell, marks=(notes.mark(f"the drop: {uncertain(check, result.paired, confidence)}"),))


def _on_target(result: Result, notes: _Notes) -> Cell:
    cell = _accuracy(result, "target", result.accuracy.target, notes)
    texts = [*_smaller(result), *trust.doubts(result)]
    return replace(cell, marks=cell.marks + tuple(notes.mark(text) for text in texts))


def _network(result: Result, notes: _Notes) -> Cell:
    predicted, board = result.predicted, result.on_board
    if result.lane == "device":
        return _cell(result, "measured", rate(board.regions_per_s) if board else None, notes)
    if predicted is None:
        return _cell(result, "predicted", None, notes)
    return Cell(rate(predicted.inferences_per_s), tuple(notes.mark(one_line(note)) for note in predicted.notes))


def _loop(result: Result, check: Check, notes: _Notes) -> Cell:
    if not check.predicted:
        text = None if check.value is None else f"{rate(check.value)} measured"
        return _cell(result, "measured", text, notes, check.verdict)
    if check.value is None and result.predicted is not None:
        return Cell(NOT_MEASURED, tuple(notes.mark(one_line(note)) for note in result.predicted.notes), check.verdict)
    if check.value is None:
        return _cell(result, "predicted", None, notes, check.verdict)
    low, high = check.interval or (check.value, check.value)
    marks: Marks = ()
    if low < check.limit <= high:
        marks = (
            notes.mark(
                f"the objective of {rate(check.limit)} frames/s lies within the prediction's errors: a board decides"
            ),
        )
    return Cell(f"{rate(check.value)} ± {rate((high - low) / 2) if high > low else '0'}", marks, check.verdict)


def _smaller(result: Result) -> list[str]:
    """That the candidate looks at fewer pixels than its parent, if it does."""
    whole, given = models.spec(result.model).input_size, result.input_size
    if given is None or given == whole:
        return []
    return [f"regions are resized to {given}x{given} pixels for it, where its FP32 parent takes {whole}x{whole}"]


def _missing(collected: Collected) -> list[str]:
    """Every reason in the records, told once, with what it stands for and where."""
    places: dict[tuple[str, str], dict[str, list[str]]] = {}
    for target in collected.targets:
        for result in (judgement.result for judgement in target.tested):
            for name, text in result.not_measured.items():
                by_target = places.setdefault((FIELDS.get(name, name), one_line(text)), {})
                by_target.setdefault(target.name, []).append(result.candidate)
    missing = []
    for (what, text), by_target in places.items():
        where = "; ".join(f"{', '.join(names)} on {target}" for target, names in by_target.items())
        missing.append(f"{what}: {text} ({where})")
    return missing


def _caption(collected: Collected) -> list[str]:
    results = [judgement.result for target in collected.targets for judgement in target.tested]
    sizes = sorted({result.accuracy.target.n for result in results if result.accuracy.target})
    regions = f" on {' or '.join(f'{n:,}' for n in sizes)} test regions" if sizes else ""
    power = [
        f"{result.candidate} on {result.target} {number(result.on_board.power_w)} W"
        for result in results
        if result.on_board and result.on_board.power_w is not None
    ]
    accepted = "Candidates that no emulated processor has audited may pass: gates.accept_unaudited is set."
    return [
        f"Accuracy is measured by emulation{regions}; a candidate may lose "
        f"{number(collected.accuracy_limit)} points against its FP32 parent.",
        trust.cloud(collected.judgements),
        _certainty(collected),
        "Regions/s and frames/s are predicted, not measured; ± is what the prediction's errors leave open.",
        *_predicted_against_measured(collected),
        f"Power: {', '.join(power)}." if power else f"{POWER.capitalize()}.",
        *([accepted] if collected.params.gates.accept_unaudited else []),
    ]


def _predicted_against_measured(collected: Collected) -> list[str]:
    """How far off the prediction was, wherever a board has measured what was predicted."""
    predicted = {
        (judgement.result.candidate, target.profile.name): judgement.result.predicted
        for target in collected.targets
        if target.lane == "emulated"
        for judgement in target.tested
    }
    lines = []
    for target in collected.targets:
        for result in (judgement.result for judgement in target.tested):
            before, board = predicted.get((result.candidate, target.profile.name)), result.on_board
            if target.lane != "device" or before is None or board is None:
                continue
            network = _against("regions/s", before.inferences_per_s, board.regions_per_s)
            program = _against("frames/s", before.frames_per_s, board.loop_per_s)
            lines.append(f"{result.candidate} on {target.name} {', '.join(network + program)}")
    return [f"Predicted against measured: {'; '.join(lines)}."] if lines else []


def _against(unit: str, predicted: float | None, measured: float | None) -> list[str]:
    if predicted is None or measured is None:
        return []
    return [f"{rate(predicted)} for {rate(measured)} {unit} ({100 * (predicted / measured - 1):+.0f} %)"]


def _certainty(collected: Collected) -> str:
    share = f"{collected.confidence:.0%}"
    if collected.params.gates.confidence is None:
        return f"The drop's ± is half its interval at {share} confidence; the verdict is by the drop alone."
    return f"A verdict needs the whole interval of the drop at {share} confidence on one side of the limit."
