"""A run in Markdown, for its summary and for the comment on its pull request; all of it from validated records.

Names stand between backticks, where GitHub sees no link, no mention and no reference in them, whatever they are.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.ci import pareto
from pipeline.ci.quantities import QUANTITIES, Quantity
from pipeline.ci.run_record import Entry, Number, RunRecord
from pipeline.records.gates import AT_LEAST, Verdict
from pipeline.records.words import NOT_MEASURED, VERDICTS, percent

MARKS: dict[Verdict, str] = {"pass": "✅", "fail": "❌", "not_measured": "⚪"}
NO_BREAK = "\u00a0"
MOST_TABLE = 36_000  # characters: GitHub takes 65,536 of a comment
MOST_TARGETS = 12
MOST_CHARTS = 4
MOST_LAYERS = 10


@dataclass(frozen=True)
class Base:
    """What the run is compared with: the record of a commit, whose hash is empty where nobody knows it."""

    record: RunRecord
    commit: str


@dataclass(frozen=True)
class Links:
    """Addresses of GitHub's own pages; empty where there is none."""

    run: str = ""
    page: str = ""


def markdown(record: RunRecord, commit: str, base: Base | None, links: Links) -> str:
    """The whole text; the verdict is its first line."""
    before = {entry.place: entry for entry in base.record.entries} if base else {}
    parts = [
        _headline(record),
        _compared(commit, base, links),
        _table(record, before if base else None),
        _boards(record),
        *_charts(record),
        _layers(record),
        _reading(record),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def headline(verdict: Verdict, rest: str) -> str:
    """The first line."""
    return f"## {MARKS[verdict]} {VERDICTS[verdict]}: {rest}"


def _headline(record: RunRecord) -> str:
    verdicts = list(record.verdicts.items())
    shown = [f"`{target}` {VERDICTS[verdict]}" for target, verdict in verdicts[:MOST_TARGETS]]
    if more := len(verdicts) - len(shown):
        shown.append(f"{more} more")
    return headline(record.verdict, ", ".join(shown) or "nothing was re-tested")


def _compared(commit: str, base: Base | None, links: Links) -> str:
    now = f"`{commit[:10]}`" if commit else "a run outside of Git"
    then = f"`{base.commit[:10]}`" if base and base.commit else "an earlier run"
    against = f"against {then}" if base else "with nothing to compare it with"
    pages = [f"[{text}]({url})" for text, url in (("report", links.page), ("run", links.run)) if url]
    return " · ".join([f"{now} {against}", *pages])


def _table(record: RunRecord, before: dict[str, Entry] | None) -> str:
    tested = [entry for entry in record.entries if entry.verdict]
    columns = [quantity for quantity in QUANTITIES if any(quantity.name in entry.numbers for entry in tested)]
    one_model = len({entry.model for entry in record.entries}) == 1
    lines = [
        f"| candidate | target | lane | verdict |{''.join(f' {one.head}, {one.unit} |' for one in columns)}",
        f"| --- | --- | --- | --- |{' ---: |' * len(columns)}",
    ]
    room = MOST_TABLE
    for index, entry in enumerate(tested):
        cells = [
            f"`{entry.method if one_model else entry.candidate}`", f"`{entry.target}`", entry.lane,
            _together(f"{MARKS[entry.verdict or 'not_measured']} {VERDICTS[entry.verdict or 'not_measured']}"),
            *_cells(entry, columns, before),
        ]  # fmt: skip
        line = f"| {' | '.join(cells)} |"
        room -= len(line)
        if room < 0:
            lines.append(f"\n{len(tested) - index} more rows: in the report.")
            break
        lines.append(line)
    refused = [f"`{entry.candidate}` on `{entry.target}`" for entry in record.entries if not entry.verdict]
    if refused:
        more = f" and {len(refused) - MOST_LAYERS} more" if len(refused) > MOST_LAYERS else ""
        lines.append(f"\n<sub>Refused by the target: {', '.join(refused[:MOST_LAYERS])}{more}.</sub>")
    return "\n".join(lines) if tested else "No candidate was re-tested."


def _cells(entry: Entry, columns: Sequence[Quantity], before: dict[str, Entry] | None) -> Iterator[str]:
    earlier = before.get(entry.place) if before is not None else None
    for quantity in columns:
        found = entry.numbers.get(quantity.name)
        if found is None:
            yield f"*{NOT_MEASURED}*"
            continue
        small = [
            "predicted" if found.predicted else "",
            _limit(quantity, found),
            _change(quantity, entry, found, earlier) if before is not None else "",
        ]
        value = _together(f"{quantity.text(found.value)}{quantity.spread(found)}")
        words = ", ".join(_together(word) for word in small if word)
        yield f"{value}<br><sub>{words}</sub>" if words else value


def _together(words: str) -> str:
    """The same with blanks at which no line breaks."""
    return words.replace(" ", NO_BREAK)


def _limit(quantity: Quantity, found: Number) -> str:
    if found.limit is None or found.verdict == "pass" or found.verdict is None:
        return ""
    least = "at least" if quantity.name in AT_LEAST else "at most"
    return f"{MARKS[found.verdict]} {least} {found.limit:g}"


def _change(quantity: Quantity, entry: Entry, found: Number, earlier: Entry | None) -> str:
    if earlier is None:
        return "new"
    then = earlier.numbers.get(quantity.name)
    if then is None:
        return "new"
    if then.predicted != found.predicted:
        return f"was {quantity.text(then.value)} {'predicted' if then.predicted else 'measured'}"
    if entry.lane == "device" and entry.machine != earlier.machine:
        return "another board before"
    change = quantity.change(then.value, found.value)
    if not change:
        return "="
    better = (found.value > then.value) == quantity.more_is_better
    return change if better else f"**{change}**"


def _boards(record: RunRecord) -> str:
    """What became of each board that was to be asked."""
    lines = [
        f"| `{board.board}` | `{board.target}` | {'required' if board.required else 'advisory'} | "
        f"{_together(f'{MARKS[board.verdict]} {VERDICTS[board.verdict]}')} | {board.words} |"
        for board in record.boards
    ]
    return "\n".join(["| board | target | | verdict | |", "| --- | --- | --- | --- | --- |", *lines]) if lines else ""


def _charts(record: RunRecord) -> Iterator[str]:
    places = dict.fromkeys((entry.target, entry.lane) for entry in record.entries)
    shown = 0
    for target, lane in places:
        entries = [entry for entry in record.entries if (entry.target, entry.lane) == (target, lane)]
        if shown < MOST_CHARTS and (code := pareto.chart(target if lane == "emulated" else f"{target} board", entries)):
            shown += 1
            yield f"```mermaid\n{code}\n```"


def _layers(record: RunRecord) -> str:
    lines = [
        f"- `{entry.candidate}` on `{entry.target}`: `{layer.name}` {percent(abs(layer.share_percent))} of the "
        f"saturation error, {layer.channels_hit} of {layer.channels} channels hit"
        for entry in record.entries
        for layer in entry.layers
    ]
    if not lines:
        return ""
    summary = f"Layers whose 8-bit sums saturate most ({len(lines)})"
    return "\n".join([f"<details><summary>{summary}</summary>", "", *lines[: 3 * MOST_LAYERS], "", "</details>"])


def _reading(record: RunRecord) -> str:
    lines = [
        "Numbers are measured, in the lane that their row names, unless they are said to be predicted; ± is half the "
        "interval that they lie in. Changes are against the base, = is none, for the worse they are bold; those of "
        "a board only where it is the same board with the same software.",
    ]
    if any(pareto.chart("", [entry]) for entry in record.entries):
        lines.append(
            "The cross of a chart are the limits, its axes go by the distance from them, and the larger points are the "
            "Pareto front: nothing is both faster and more accurate."
        )
    return "<sub>" + " ".join(lines) + "</sub>"
