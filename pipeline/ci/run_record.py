"""What a run found out, as numbers and names: all that the summary, the comment and the history take from it.

The comment and the history read it in jobs that hold a token, out of an artifact that the code of a pull request wrote.
So it has no text that is not a name of few harmless characters, no number that is not finite, and no more of either
than a page shows.
"""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic import Field, ValidationError

from pipeline.ci.board_outcome import Outcome
from pipeline.ci.harmless import Commit, Finite, LayerName, Machine, Name, Strict
from pipeline.records.gates import Judgement, Verdict, any_passes, worst
from pipeline.records.results import Lane, Result, SaturatedLayer
from pipeline.records.targets import describe
from pipeline.report.collect import Collected
from pipeline.system.errors import BadData, InputError
from pipeline.system.versions import git_commit

LAYERS = 3  # of a candidate
MOST_ENTRIES = 2000
MOST_BOARDS = 100
MOST_BYTES = 5_000_000


class Number(Strict):
    """A quantity in the unit that its name states, with the interval that it lies in and the limit it is held against.

    `predicted` marks a value that nobody measured.
    """

    value: Finite
    low: Finite | None = None
    high: Finite | None = None
    predicted: bool = False
    limit: Finite | None = None
    verdict: Verdict | None = None


class Layer(Strict):
    """A layer whose 8-bit sums saturate: its share of the error, and how many of its output channels are hit."""

    name: LayerName
    share_percent: Finite
    channels_hit: int = Field(ge=0, le=10**9)
    channels: int = Field(ge=0, le=10**9)


class Entry(Strict):
    """A candidate on a target in a lane. `verdict` is null where the target refuses it.

    `machine` is what its numbers may be compared under: the board, or the instruction set of the machine that emulated.
    """

    model: Name
    method: Name
    target: Name
    lane: Lane
    machine: Machine
    verdict: Verdict | None = None
    numbers: dict[Name, Number] = Field(default={}, max_length=16)
    layers: list[Layer] = Field(default=[], max_length=LAYERS)

    @property
    def candidate(self) -> str:
        """Model and method as one name."""
        return f"{self.model}/{self.method}"

    @property
    def place(self) -> str:
        """What it is compared by from commit to commit."""
        return f"{self.candidate} {self.target} {self.lane}"


class RunRecord(Strict):
    """All entries of a run, in the order of params.yaml, and what became of each board that was to be asked.

    `commit` is null where it was made outside of Git.
    """

    schema_version: Literal[1] = 1
    commit: Commit | None = None
    entries: list[Entry] = Field(max_length=MOST_ENTRIES)
    boards: list[Outcome] = Field(default=[], max_length=MOST_BOARDS)

    @property
    def verdicts(self) -> dict[str, Verdict]:
        """Verdict by target; a board's stands beside that of its emulation, and no advisory one has a say."""
        by_target: dict[str, list[Verdict]] = {}
        for entry in self.entries:
            found = by_target.setdefault(entry.target if entry.lane == "emulated" else on_board(entry.target), [])
            found.extend([entry.verdict] if entry.verdict else [])
        verdicts = {target: any_passes(found) for target, found in by_target.items()}
        for board in self.boards:
            if board.required:
                name = on_board(board.target)
                verdicts[name] = worst([board.verdict, *([verdicts[name]] if name in verdicts else [])])
        return verdicts

    @property
    def verdict(self) -> Verdict:
        """That of the worst target."""
        return worst(self.verdicts.values())

    def as_json(self) -> bytes:
        """As a run hands it on; the same results give the same bytes."""
        return json.dumps(self.model_dump(mode="json", exclude_none=True), indent=1, sort_keys=True).encode() + b"\n"


def read(content: bytes) -> RunRecord:
    """A record that anybody may have written.

    Raises:
        BadData: it is none.
    """
    try:
        return RunRecord.model_validate_json(content)
    except ValidationError as error:
        raise BadData(f"no record of a run: {describe(error)}") from error


def on_board(target: str) -> str:
    """What a target goes by in the lane of boards."""
    return f"{target} (board)"


def of(collected: Collected, boards: Sequence[Outcome] = ()) -> RunRecord:
    """The record of results that were judged, and of what became of boards.

    Raises:
        InputError: there are too many, or a name has other characters than a record may hold.
    """
    try:
        entries = [_entry(judgement, collected.confidence) for judgement in collected.judgements]
        return RunRecord(commit=git_commit(), entries=entries, boards=list(boards))
    except ValidationError as error:
        names = "names may have letters, digits, dots, underscores and hyphens"
        raise InputError(f"no record of this run can be written ({names}): {describe(error)}") from error


def _entry(judgement: Judgement, confidence: float) -> Entry:
    result = judgement.result
    return Entry(
        model=result.model,
        method=result.method,
        target=result.target,
        lane=result.lane,
        machine=_machine(result),
        verdict=None if result.refused else judgement.verdict,
        numbers=dict(_numbers(judgement, confidence)),
        layers=[_layer(layer) for layer in _worst_layers(result)],
    )


def _numbers(judgement: Judgement, confidence: float) -> Iterable[tuple[str, Number]]:
    """By the names of quantities.py; what was not measured is absent."""
    result = judgement.result
    if result.accuracy.target:
        low, high = _interval(result.accuracy.target.correct, result.accuracy.target.n, confidence)
        yield "accuracy_percent", Number(value=result.accuracy.target.percent, low=low, high=high)
    for check in judgement.checks:
        if check.value is not None and check.name != "proof":
            low_high = dict(zip(("low", "high"), check.interval or (), strict=False))
            yield (
                check.name,
                Number(
                    value=check.value, predicted=check.predicted, limit=check.limit, verdict=check.verdict, **low_high
                ),
            )
    board, predicted = result.on_board, result.predicted
    if board:
        yield "regions_per_s", Number(value=board.regions_per_s)
    if predicted:
        yield "regions_per_s", _predicted(predicted.inferences_per_s, predicted.error_percent)
    if predicted and predicted.power_w is not None and predicted.power_error_percent is not None:
        yield "power_w", _predicted(predicted.power_w, predicted.power_error_percent)
    if result.download_bytes is not None:
        yield "download_bytes", Number(value=float(result.download_bytes))


def _predicted(value: float, error_percent: float) -> Number:
    share = error_percent / 100
    return Number(value=value, low=value * max(0.0, 1 - share), high=value * (1 + share), predicted=True)


def _interval(correct: int, n: int, confidence: float) -> tuple[float, float]:
    """Where the accuracy is that as many samples as one likes would show, in per cent: Wilson's score interval."""
    from scipy.stats import binomtest

    found = binomtest(correct, n).proportion_ci(confidence, method="wilson")
    return 100 * float(found.low), 100 * float(found.high)


def _machine(result: Result) -> str:
    if result.lane == "emulated":
        return f"emulated on {result.host_isa}" if result.host_isa else "emulated"
    if result.measured is None:
        return "no board"
    board = result.measured.fingerprint
    parts = [board.board, board.serial, board.power_mode, *(f"{n} {v}" for n, v in sorted(board.versions.items()))]
    said = ", ".join(part for part in parts if part)
    return re.sub(r"[^A-Za-z0-9 ._,+-]", "-", said).lstrip(" ._,+-")[:120] or "a board"


def _worst_layers(result: Result) -> list[SaturatedLayer]:
    found = [layer for layer in result.layers if isinstance(layer, SaturatedLayer) and layer.output_error > 0]
    return sorted(found, key=lambda layer: -layer.output_error)[:LAYERS]


def _layer(layer: SaturatedLayer) -> Layer:
    return Layer(
        name=re.sub(r"[^A-Za-z0-9._/:-]", "-", layer.name)[-120:] or "-",  # its end tells most of a layer
        share_percent=layer.share_percent,
        channels_hit=layer.channels_hit,
        channels=layer.channels,
    )
