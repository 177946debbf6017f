"""One sentence on what to do, out of what a check found."""

from collections.abc import Sequence

from pipeline.check.readability import remedy, title_of
from pipeline.formats.runtimes import Reading
from pipeline.records.gates import Check
from pipeline.records.results import RoundedLayer, SaturatedLayer
from pipeline.records.targets import Target

MOST = 80.0  # percent of the error that the layers named should account for


def advise(
    checks: Sequence[Check],
    layers: Sequence[SaturatedLayer | RoundedLayer],
    target: Target,
    reading: Reading | None = None,
) -> str:
    """What would help most; `layers` comes with the costliest first, `reading` is what the runtime makes of it."""
    failed = {check.name for check in checks if check.verdict == "fail"}
    advice = []
    if reading is not None and "unreadable_nodes" in failed:
        advice.append(remedy(reading, target))
    if failed - {"regions_per_s", "unreadable_nodes"}:
        advice.append(_accuracy(layers, target))
    for check in checks:
        if check.name == "regions_per_s" and check.verdict == "fail" and check.value is not None:
            share = check.value / check.limit
            advice.append(
                f"For {check.limit:g} regions/s the network must shrink to about {share:.0%} of its time: "
                "give it smaller images, prune it, or take a smaller one."
            )
    if advice:
        return " ".join(advice)
    missing = {check.name for check in checks if check.verdict == "not_measured"}
    if "unreadable_nodes" in missing:
        return f"What {title_of(target)} reads is not known here: a board has to show whether it loads this file."
    if missing == {"regions_per_s"}:
        return "It keeps its answers; nothing is known of its speed, which a board has to show."
    if missing:
        return "Nothing is known to be wrong, but not all was measured: give --data with labels, or the FP32 original."
    return f"Nothing to mend: it keeps every limit of {target.name}."


def _accuracy(layers: Sequence[SaturatedLayer | RoundedLayer], target: Target) -> str:
    saturated = [layer for layer in layers if isinstance(layer, SaturatedLayer) and layer.saturated]
    if saturated:
        return _half_range(saturated)
    overflowing = [layer for layer in layers if isinstance(layer, RoundedLayer) and layer.overflow]
    if overflowing:
        names = ", ".join(layer.name for layer in overflowing[:3])
        return f"Keep the layers that overflow FP16 in FP32: {names}."
    return f"The loss is not {target.name}'s arithmetic but the model's own: re-train it, or compress it less."


def _half_range(layers: Sequence[SaturatedLayer]) -> str:
    """The fewest layers that make up most of the error, and what their fix would leave."""
    named: list[SaturatedLayer] = []
    for layer in layers:
        if sum(item.share_percent for item in named) >= MOST:
            break
        named.append(layer)
    share = sum(layer.share_percent for layer in named)
    worth = [layer for layer in named if layer.half_range_error < layer.output_error]
    if not worth:
        return (
            f"{share:.0f} % of the error comes from {_names(named)}, where 7-bit weights would cost as much: re-train."
        )
    left = 100 * sum(layer.half_range_error**2 for layer in worth) / sum(layer.output_error**2 for layer in worth)
    channels = sum(layer.channels_hit for layer in worth)
    return (
        f"{share:.0f} % of the error that saturation causes comes from {_names(named)}: 7-bit weights in "
        f"{channels} of their output channels would leave {max(left, 0.1):.1f} % of that."
    )


def _names(layers: Sequence[SaturatedLayer]) -> str:
    names = [layer.name for layer in layers]
    if len(names) > 3:
        return f"{names[0]}, {names[1]} and {len(names) - 2} more layers"
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
