"""Accuracy against the loop's speed as a quadrant chart of Mermaid, which GitHub draws in comments and summaries.

The limits are the cross in the middle, so that what keeps both is in the upper right quarter. From there speed goes
by its logarithm, and the drop in proportion on either side by itself: one candidate that loses everything does not
push all others together. The points of the Pareto front are larger.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log

from pipeline.ci.run_record import Entry
from pipeline.records.words import number, rate

REACH = 0.38  # from the middle; further out are the names of the quarters
SIZE = '%%{init: {"quadrantChart": {"chartWidth": 440, "chartHeight": 330}}}%%'
FRONT, OTHERS = "radius: 7, color: #0072b2", "radius: 4, color: #8a9299"
MOST_POINTS = 12


@dataclass(frozen=True)
class _Point:
    name: str
    speed: float
    drop: float
    front: bool = False


def chart(title: str, entries: Sequence[Entry]) -> str:
    """The code of the chart for candidates of one target, without a fence; empty where none has both numbers."""
    limits, points = _points(entries)
    if not points:
        return ""
    slow, fast = _reach([log(point.speed / limits[0]) for point in points], least=log(2))
    worse, better = _reach([limits[1] - point.drop for point in points], least=max(limits[1], 1.0))
    lines = [
        SIZE,
        "quadrantChart",
        f"    title {title}: accuracy against speed",
        f'    x-axis "under {rate(limits[0])} frames/s" --> "over {rate(limits[0])} frames/s"',
        f'    y-axis "drop over {number(limits[1], 1)}" --> "drop under {number(limits[1], 1)}"',
        '    quadrant-1 "keeps both limits"',
        '    quadrant-2 "too slow"',
        '    quadrant-3 "neither"',
        '    quadrant-4 "loses too much"',
    ]
    for point in points:
        x = _place(log(point.speed / limits[0]), slow, fast)
        y = _place(limits[1] - point.drop, worse, better)
        lines.append(f'    "{point.name}": [{x:.3f}, {y:.3f}] {FRONT if point.front else OTHERS}')
    return "\n".join(lines)


def _points(entries: Sequence[Entry]) -> tuple[tuple[float, float], list[_Point]]:
    """The limits on speed and drop, and the candidates that have both numbers."""
    limits, found = (1.0, 0.0), []
    one_model = len({entry.model for entry in entries}) == 1
    for entry in entries:
        speed, drop = entry.numbers.get("frames_per_s"), entry.numbers.get("accuracy_drop_points")
        if not speed or not drop or not speed.limit or drop.limit is None or min(speed.value, speed.limit) <= 0:
            continue
        limits = speed.limit, drop.limit
        found.append(_Point(entry.method if one_model else entry.candidate, speed.value, drop.value))
    return limits, [replace(point, front=_on_front(point, found)) for point in found[:MOST_POINTS]]


def _on_front(point: _Point, points: Sequence[_Point]) -> bool:
    """Whether nothing is at least as good in both and better in one."""
    return not any(
        other.speed >= point.speed
        and other.drop <= point.drop
        and (other.speed, other.drop) != (point.speed, point.drop)
        for other in points
    )


def _reach(values: Sequence[float], least: float) -> tuple[float, float]:
    """How far the axis goes below and above zero."""
    return max(least, -min(values)), max(least, max(values))


def _place(value: float, below: float, above: float) -> float:
    return 0.5 + REACH * value / (above if value > 0 else below)
