"""Where in the network the target's arithmetic does harm: the worst layers of a candidate, and what would help."""

from dataclasses import dataclass

from pipeline.records.results import Result, RoundedLayer, SaturatedLayer
from pipeline.records.words import percent
from pipeline.system.console import one_line

SHOWN = 8


@dataclass(frozen=True)
class Kind:
    """What is told of each layer: columns behind its name, and what they mean.

    The last one holds words, all others numbers; `bar` has the first drawn as well.
    """

    title: str
    heads: tuple[str, ...]
    meaning: str
    bar: bool = False


SATURATION = Kind(
    title="Layers whose 8-bit sums saturate",
    heads=("share of the output error", "sums saturated", "output channels hit", "left with half-range weights", "fix"),
    meaning="The output error is what a layer's saturation alone does to the network's output; the shares are of the "
    "sum of its squares. Sums are of two neighbouring products, which a CPU without VNNI holds in 16 bits. "
    "Half-range weights have 7 bits in the channels hit, so that no sum overflows; what they leave of the error is an "
    "estimate.",
    bar=True,
)
ROUNDING = Kind(
    title="Layers whose values do not fit FP16",
    heads=("overflow", "flushed to zero", "subnormal", "largest magnitude", "operators"),
    meaning="Shares of a layer's values, with sums in FP16. Overflow: infinite above 65,504. Flushed: too small for "
    "FP16, and zero there. Subnormal: below 0.00006, where FP16 has fewer digits.",
)


@dataclass(frozen=True)
class Row:
    """One layer; `cells` are in the order of the heads, `share_percent` is the length of the bar."""

    name: str
    cells: tuple[str, ...]
    share_percent: float = 0.0


@dataclass(frozen=True)
class Layers:
    """The worst layers of one candidate on one target, worst first.

    `sentence` sums them up, `harmful` says whether they are known to change the answer, `others` counts the layers
    that are not shown.
    """

    candidate: str
    target: str
    kind: Kind
    sentence: str
    harmful: bool
    rows: list[Row]
    others: int


def layers(result: Result, name: str) -> Layers | None:
    """The layers of the candidate called `name` that the target's arithmetic changes; None when there are none."""
    saturated = [layer for layer in result.layers if isinstance(layer, SaturatedLayer) and layer.saturated]
    rounded = [layer for layer in result.layers if isinstance(layer, RoundedLayer) and _misfits(layer) != (0, 0, 0)]
    if saturated:
        saturated.sort(key=lambda layer: (-layer.output_error, -layer.saturated))
        kind, sentence, harmful = SATURATION, _saturation(saturated[0]), saturated[0].output_error > 0
        rows = [_saturated_row(layer) for layer in saturated]
    elif rounded:
        rounded.sort(key=_misfits, reverse=True)
        kind, sentence, harmful = ROUNDING, _rounding(rounded[0]), rounded[0].overflow > 0
        rows = [_rounded_row(layer) for layer in rounded]
    else:
        return None
    return Layers(name, result.target, kind, sentence, harmful, rows[:SHOWN], len(rows[SHOWN:]))


def _saturation(worst: SaturatedLayer) -> str:
    name = one_line(worst.name)
    if not worst.output_error:
        return f"sums saturate, most often in {name}, but the output stays the same"
    helps = worst.half_range_error < worst.output_error
    hope = f"{one_line(worst.fix)} would leave {_left(worst)} of it" if helps else one_line(worst.fix)
    return f"{percent(worst.share_percent)} of the saturation error comes from {name} ({hope})"


def _saturated_row(layer: SaturatedLayer) -> Row:
    cells = (
        percent(layer.share_percent),
        _part(layer.saturated, layer.pair_sums),
        f"{layer.channels_hit} of {layer.channels}",
        _left(layer),
        one_line(layer.fix),
    )
    return Row(one_line(layer.name), cells, min(layer.share_percent, 100.0))


def _left(layer: SaturatedLayer) -> str:
    return percent(100 * layer.half_range_error / layer.output_error) if layer.output_error else "–"


def _misfits(layer: RoundedLayer) -> tuple[int, int, int]:
    """The gravest first: infinite values spread, zeros and subnormals hardly matter."""
    return layer.overflow, layer.flushed, layer.subnormal


def _rounding(worst: RoundedLayer) -> str:
    name = one_line(worst.name)
    overflow, flushed, subnormal = (_part(count, worst.elements) for count in _misfits(worst))
    if worst.overflow:
        return f"most overflow is in {name}: {overflow} of its values become infinite in FP16"
    if worst.flushed:
        return f"nothing overflows FP16; {name} has the most values flushed to zero, {flushed}"
    return f"nothing overflows FP16; {name} has the most subnormal values, {subnormal}"


def _rounded_row(layer: RoundedLayer) -> Row:
    shares = (_part(count, layer.elements) for count in _misfits(layer))
    largest = f"{layer.max_abs:,.0f}" if 100 <= layer.max_abs < 1e9 else f"{layer.max_abs:.3g}"
    return Row(one_line(layer.name), (*shares, largest, one_line(layer.op)))


def _part(count: int, whole: int) -> str:
    return percent(100 * count / max(whole, 1))
