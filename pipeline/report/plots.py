"""Plots as inline SVG that takes its colours and its font from the page, so that it is right in light and in dark.

matplotlib writes stand-in colours, which are replaced by the page's CSS variables. Identifiers come from a fixed
salt and there is no date, so that the same numbers give the same bytes.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from pipeline.records.gates import Judgement, Verdict
from pipeline.report.collect import Collected, OnTarget
from pipeline.report.training import Curves

INK, FAINT, RULE, PASS, FAIL, UNKNOWN, ONE, TWO = (f"#0102{index:02x}" for index in range(8))
VARIABLES = {
    INK: "ink", FAINT: "faint", RULE: "rule", PASS: "pass", FAIL: "fail", UNKNOWN: "unknown", ONE: "one", TWO: "two",
}  # fmt: skip
MARKERS: dict[Verdict, tuple[str, str]] = {"pass": ("o", PASS), "fail": ("X", FAIL), "not_measured": ("D", UNKNOWN)}
SIZE_INCHES = (4.4, 2.9)
LOG_RATIO = 20


@dataclass(frozen=True)
class Plot:
    """The drawing, and the names of its points where it shows numbers (1 is the first) for want of room."""

    svg: Markup
    numbered: list[str]


@dataclass(frozen=True)
class Point:
    """A candidate in the plot; `speeds` is what the prediction's errors leave open, `cloud` its accuracy there.

    `accuracies` is what its parent's accuracy and the interval of the drop leave open.
    """

    name: str
    speed: float
    speeds: tuple[float, float]
    accuracy: float
    cloud: float | None
    accuracies: tuple[float, float]
    verdict: Verdict


def accuracy_against_speed(collected: Collected, target: OnTarget) -> Plot | None:
    """Every candidate with both numbers, the Pareto front and the objective; None when there is no candidate."""
    points = _points(collected, target)
    if not points:
        return None
    objective = target.profile.objective.frames_per_s
    with _figure(f"speed {target.name}") as (axes, svg):
        speeds = [objective, *(point.speed for point in points)]
        if max(speeds) > LOG_RATIO * min(speeds):
            axes.set_xscale("log")
        else:
            axes.set_xlim(0, 1.12 * max(speeds + [point.speeds[1] for point in points]))
        axes.axvline(objective, color=INK, linewidth=1, linestyle=(0, (4, 3)))
        axes.text(
            objective, 1.02, "objective", transform=axes.get_xaxis_transform(), color=INK, ha="center", fontsize=9
        )
        for lowest in _lowest_accuracies(collected, target):
            axes.axhline(lowest, color=FAINT, linewidth=1, linestyle=(0, (1, 2)))
        front = _pareto_front(points)
        axes.plot([point.speed for point in front], [point.accuracy for point in front], color=ONE, linewidth=1.2,
                  drawstyle="steps-pre", zorder=1)  # fmt: skip
        for point in points:
            _draw(axes, point)
        axes.margins(y=0.18)
        axes.set_xlabel("predicted frames/s of the whole program")
        axes.set_ylabel("accuracy on target, %")
        numbered = len(collected.params.models) > 1
        _label(axes, points, [str(place) if numbered else point.name for place, point in enumerate(points, 1)])
        drawn = svg(f"Accuracy against predicted speed of the candidates on {target.name}")
        return Plot(drawn, [point.name for point in points] if numbered else [])


def losses(curves: Curves) -> Markup:
    """Training and validation loss by epoch."""
    lines = [("training", curves.train_loss, ONE), ("validation", curves.val_loss, TWO)]
    return _curve(curves, "loss", lines)


def validation_accuracy(curves: Curves) -> Markup:
    """Validation accuracy by epoch."""
    return _curve(curves, "validation accuracy, %", [("", curves.val_accuracy_percent, TWO)])


def _curve(curves: Curves, what: str, lines: list[tuple[str, list[float], str]]) -> Markup:
    from matplotlib.ticker import MaxNLocator

    with _figure(f"{what} {curves.model}") as (axes, svg):
        for name, values, colour in lines:
            axes.plot(curves.epochs, values, color=colour, linewidth=1.8, marker="o", markersize=4)
            axes.annotate(name, (curves.epochs[-1], values[-1]), (7, 0), textcoords="offset points", color=colour,
                          va="center", fontsize=10, annotation_clip=False)  # fmt: skip
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        axes.margins(x=0.04 if not lines[0][0] else 0.16, y=0.15)
        axes.set_xlabel("epoch")
        axes.set_ylabel(what)
        return svg(f"{what} of {curves.model} by epoch")


def _points(collected: Collected, target: OnTarget) -> list[Point]:
    points = []
    for judgement in target.tested:
        result = judgement.result
        accuracy, cloud, predicted = result.accuracy.target, result.accuracy.cloud, result.predicted
        if accuracy and predicted and predicted.frames_per_s and predicted.frames_range:
            points.append(
                Point(
                    name=collected.name(result),
                    speed=predicted.frames_per_s,
                    speeds=predicted.frames_range,
                    accuracy=accuracy.percent,
                    cloud=cloud.percent if cloud else None,
                    accuracies=_accuracies(judgement, accuracy.percent),
                    verdict=judgement.verdict,
                )
            )
    return points


def _accuracies(judgement: Judgement, accuracy: float) -> tuple[float, float]:
    """The accuracy less and more by what the interval leaves open; itself where there is none."""
    drop = next(check for check in judgement.checks if check.name == "accuracy_drop_points")
    if drop.value is None or drop.interval is None:
        return accuracy, accuracy
    low, high = drop.interval
    return max(0.0, accuracy + drop.value - high), min(100.0, accuracy + drop.value - low)


def _lowest_accuracies(collected: Collected, target: OnTarget) -> list[float]:
    """The limit as an accuracy; every model has its own, and more than one line would only confuse."""
    parents = {judgement.result.accuracy.fp32 for judgement in target.tested} - {None}
    found = {parent.percent - collected.accuracy_limit for parent in parents if parent}
    return sorted(found) if len(found) == 1 else []


def _pareto_front(points: list[Point]) -> list[Point]:
    """The points that no other beats in both speed and accuracy, slowest first."""
    front: list[Point] = []
    for point in sorted(points, key=lambda point: (-point.speed, -point.accuracy)):
        if not front or point.accuracy > front[-1].accuracy:
            front.append(point)
    return front[::-1]


def _draw(axes: Any, point: Point) -> None:
    marker, colour = MARKERS[point.verdict]
    for speeds, accuracies in (
        (point.speeds, (point.accuracy, point.accuracy)),
        ((point.speed, point.speed), point.accuracies),
    ):
        axes.plot(speeds, accuracies, color=colour, linewidth=3.5, alpha=0.25, solid_capstyle="round")
    if point.cloud is not None and abs(point.cloud - point.accuracy) >= 0.005:
        axes.plot([point.speed] * 2, [point.cloud, point.accuracy], color=FAINT, linewidth=1, zorder=1)
        axes.plot([point.speed], [point.cloud], marker="o", markersize=6, markerfacecolor="none",
                  markeredgecolor=FAINT, markeredgewidth=1.2, linestyle="none")  # fmt: skip
    axes.plot([point.speed], [point.accuracy], marker=marker, markersize=8, color=colour, linestyle="none", zorder=3,
              markeredgewidth=0)  # fmt: skip


def _label(axes: Any, points: list[Point], names: list[str]) -> None:
    """Put each name at the first of eight places around its point that is free, or at the first inside if none is."""
    axes.figure.draw_without_rendering()  # settles the layout, which the places below are reckoned in
    renderer = axes.figure.canvas.get_renderer()
    across = [line for line in axes.lines if line.get_transform() != axes.transData]  # objective and accuracy limit
    taken = [line.get_window_extent(renderer).padded(1) for line in across]
    for point in points:
        accuracies = (*point.accuracies, point.accuracy if point.cloud is None else point.cloud)
        low, high = min(accuracies), max(accuracies)
        slowest, fastest = point.speeds
        taken.append(_around(axes, (point.speed, low), (point.speed, high), 5))
        taken.append(_around(axes, (slowest, point.accuracy), (fastest, point.accuracy), 2))
    frame = axes.get_window_extent(renderer)
    for point, name in zip(points, names, strict=True):
        places = []
        for right, up in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1)):
            text = axes.annotate(
                name, (point.speed, point.accuracy), (9 * right, 9 * up), textcoords="offset points", color=INK,
                ha=("center", "left", "right")[right], va=("center", "bottom", "top")[up], fontsize=10,
            )  # fmt: skip
            box = text.get_window_extent(renderer)
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
            free = not any(box.overlaps(other) for other in taken)
            places.append((inside and free, inside, text, box))
        *_, best, place = max(places, key=lambda found: found[:2])  # of equals, max gives the first
        taken.append(place)
        for *_, text, _ in places:
            if text is not best:
                text.remove()


def _around(axes: Any, start: tuple[float, float], end: tuple[float, float], margin: float) -> Any:
    """The box on the paper that a stroke from one point of the plot to another takes up."""
    from matplotlib.transforms import Bbox

    (left, bottom), (right, top) = axes.transData.transform([start, end])
    return Bbox.from_extents(left - margin, bottom - margin, right + margin, top + margin)


@contextmanager
def _figure(name: str) -> Iterator[tuple[Any, Callable[[str], Markup]]]:
    """Axes to draw on, and the function that gives the finished SVG. No pyplot: it would keep state of its own."""
    import io

    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    settings: dict[Any, Any] = {
        "svg.hashsalt": name, "svg.fonttype": "none", "font.family": ["DejaVu Sans"], "font.size": 10,
        "axes.edgecolor": RULE, "axes.labelcolor": FAINT, "text.color": INK, "xtick.color": FAINT, "ytick.color": FAINT,
        "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": RULE,
        "grid.linewidth": 0.6, "axes.axisbelow": True, "xtick.major.size": 0, "xtick.minor.size": 0,
        "ytick.major.size": 0, "text.parse_math": False, "axes.formatter.useoffset": False,
    }  # fmt: skip
    with rc_context(settings):
        figure = Figure(figsize=SIZE_INCHES, layout="tight")
        FigureCanvasAgg(figure)

        def svg(title: str) -> Markup:
            out = io.StringIO()
            figure.savefig(
                out, format="svg", transparent=True, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type"))
            )
            return _for_the_page(out.getvalue(), title)

        yield figure.add_subplot(), svg


def _for_the_page(drawn: str, title: str) -> Markup:
    """Without the XML head, with the page's colours and font, named for screen readers, as wide as there is room."""
    drawn = drawn[drawn.index("<svg") :]
    drawn = re.sub(r'<g id="[^"]*"', "<g", drawn)
    drawn = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", drawn)
    for colour, variable in VARIABLES.items():
        drawn = drawn.replace(colour, f"var(--{variable})")
    view = re.search(r'viewBox="[^"]*"', drawn)
    head = Markup('<svg {} role="img" aria-label="{}" xmlns:xlink="http://www.w3.org/1999/xlink">').format(
        Markup(view.group() if view else ""), title
    )
    return head + Markup(drawn[drawn.index(">") + 1 :])
