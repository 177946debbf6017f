"""The history as a static page: a chart for each candidate and quantity, a line for each machine, changes marked.

The drawing is SVG that takes its colours from the page. A small script shows the commit under the pointer, or the one
that the arrow keys have reached; without it the page has all but that.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from pipeline.ci import history_log
from pipeline.ci.change_points import change_points
from pipeline.ci.history_log import Line
from pipeline.ci.quantities import QUANTITIES, Quantity
from pipeline.ci.run_record import Entry
from pipeline.records.gates import Verdict
from pipeline.records.results import Lane
from pipeline.records.words import VERDICTS
from pipeline.system import files
from pipeline.system.templates import template

SHOWN = 200  # commits, the newest ones
WIDTH, HEIGHT, EDGE = 240.0, 72.0, 6.0
FLAG = 45.0  # how wide the text of a change may be
COLOURS = 6  # that the page has for lines


@dataclass(frozen=True)
class Series:
    """The numbers of one machine, by the index of the commit; `path` and `dots` draw them."""

    machine: str
    colour: int
    points: list[tuple[int, float]]
    path: str
    dots: str


@dataclass(frozen=True)
class Change:
    """A new level: where it begins, and by how much; the flag has no text where one beside it says the same."""

    x: float
    text: str
    worse: bool
    row: int = 0


@dataclass(frozen=True)
class Chart:
    """A quantity of a candidate; `data` is what the script shows of each commit."""

    quantity: Quantity
    series: list[Series]
    changes: list[Change]
    lowest: str
    highest: str
    newest: str
    predicted: bool
    limit_y: float | None
    data: list[dict[str, Any]]


@dataclass(frozen=True)
class Candidate:
    """A row of charts, and the verdict by the index of the commit."""

    name: str
    verdicts: list[tuple[int, Verdict]]
    charts: list[Chart]


@dataclass(frozen=True)
class Section:
    """A target in a lane, with the machines in the order of their colours."""

    target: str
    lane: Lane
    verdict: Verdict
    machines: list[str]
    candidates: list[Candidate]


def write(folder: Path, lines: Sequence[Line], address: str) -> None:
    """Write index.html and the history beside it; `address` is the repository's, for links to its commits.

    Raises:
        InputError: the folder cannot be written.
    """
    files.check_writable(folder / "index.html", "page")
    files.write_bytes(folder / "index.html", html(lines[-SHOWN:], address).encode())
    files.write_bytes(folder / history_log.FILE, history_log.text(lines).encode())


def html(lines: Sequence[Line], address: str) -> str:
    """The page. Values of the template are escaped, and what the script gets is JSON."""
    sections = _sections(lines)
    commits = [{"commit": line.commit, "time": line.time[:16].replace("T", " "), "title": line.title} for line in lines]
    return template(Path(__file__).with_name("history.html.j2")).render(
        sections=sections,
        commits=commits,
        address=address,
        verdicts=VERDICTS,
        width=WIDTH,
        height=HEIGHT,
        step=_step(len(lines)),
        newest=lines[-1] if lines else None,
        changes=sum(len(chart.changes) for part in sections for row in part.candidates for chart in row.charts),
    )


def _sections(lines: Sequence[Line]) -> list[Section]:
    """In the order of the newest commit; what it no longer has comes after."""
    newest_first = [entry for line in reversed(lines) for entry in line.record.entries]
    places = dict.fromkeys((entry.target, entry.lane) for entry in newest_first)
    return [_section(lines, target, lane) for target, lane in places]


def _section(lines: Sequence[Line], target: str, lane: Lane) -> Section:
    found: dict[str, list[tuple[int, Entry]]] = {}
    for index, line in reversed(list(enumerate(lines))):
        for entry in line.record.entries:
            if (entry.target, entry.lane) == (target, lane) and entry.verdict:
                found.setdefault(entry.candidate, []).insert(0, (index, entry))
    machines = list(dict.fromkeys(entry.machine for entries in found.values() for _, entry in entries))
    newest = next((line.record for line in reversed(lines) if _name(target, lane) in line.record.verdicts), None)
    return Section(
        target,
        lane,
        newest.verdicts[_name(target, lane)] if newest else "not_measured",
        machines,
        [_candidate(name, entries, machines, len(lines)) for name, entries in found.items()],
    )


def _name(target: str, lane: Lane) -> str:
    return target if lane == "emulated" else f"{target} (board)"


def _candidate(name: str, entries: list[tuple[int, Entry]], machines: list[str], commits: int) -> Candidate:
    charts = [chart for quantity in QUANTITIES if (chart := _chart(quantity, entries, machines, commits))]
    return Candidate(name, [(index, entry.verdict or "not_measured") for index, entry in entries], charts)


def _chart(quantity: Quantity, entries: list[tuple[int, Entry]], machines: list[str], commits: int) -> Chart | None:
    numbers = [
        (index, entry, entry.numbers[quantity.name]) for index, entry in entries if quantity.name in entry.numbers
    ]
    if not numbers:
        return None
    newest = numbers[-1][2]
    values = [found.value for _, _, found in numbers]
    low, high = _range([*values, *([newest.limit] if newest.limit is not None else [])])

    def y(value: float) -> float:
        return HEIGHT - EDGE - (HEIGHT - 2 * EDGE) * (value - low) / (high - low)

    series, changes = [], []
    for colour, machine in enumerate(machines):
        points = [(index, found.value) for index, entry, found in numbers if entry.machine == machine]
        if not points:
            continue
        places = [f"{_x(index, commits):.1f} {y(value):.1f}" for index, value in points]
        series.append(
            Series(machine, colour % COLOURS, points, f"M{'L'.join(places)}", "".join(f"M{at}h0" for at in places))
        )
        for change in change_points([value for _, value in points]):
            (_, before), (index, now) = points[change - 1 : change + 1]
            text = quantity.change(before, now)
            worse = (now > before) != quantity.more_is_better
            if text:  # else it is less than anybody is shown
                changes.append(Change(_x(index, commits), text, worse))
    return Chart(
        quantity,
        series,
        _apart(changes),
        quantity.text(min(values)),
        quantity.text(max(values)),
        f"{quantity.text(newest.value)}{quantity.spread(newest)}",
        newest.predicted,
        y(newest.limit) if newest.limit is not None and low <= newest.limit <= high else None,
        [
            {"at": index, "x": _x(index, commits), "y": y(found.value), "machine": entry.machine,
             "text": f"{quantity.text(found.value)}{quantity.spread(found)} {quantity.unit}"}
            for index, entry, found in numbers
        ],
    )  # fmt: skip


def _apart(changes: list[Change]) -> list[Change]:
    """From left to right, with flags that would lie on each other in rows of their own, or told once."""
    placed: list[Change] = []
    for change in sorted(changes, key=lambda change: change.x):
        near = [other for other in placed if change.x - other.x < FLAG and other.text]
        if any(other.text == change.text for other in near):
            placed.append(replace(change, text=""))
        else:
            placed.append(replace(change, row=next(row for row in count() if row not in {one.row for one in near})))
    return placed


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - max(abs(low), 1.0) / 100, high + max(abs(high), 1.0) / 100)


def _step(commits: int) -> float:
    return (WIDTH - 2 * EDGE) / max(commits - 1, 1)


def _x(index: int, commits: int) -> float:
    return EDGE + _step(commits) * index if commits > 1 else WIDTH / 2
