"""One sentence on what to do, out of what a check found."""

from collections.abc import Sequence

from pipeline.check.readability import remedy, title_of
from pipeline.check.record import CheckReport, Losses
from pipeline.records.results import RoundedLayer, SaturatedLayer
from pipeline.records.targets import Precision, Target

MOST = 80.0  # percent of the error that the layers named should account for

Layer = SaturatedLayer | RoundedLayer


def advise(
    report: CheckReport,
    target: Target,
    undecided: str | None = None,
    doubted: str | None = None,
    in_float: str | None = None,
) -> str:
    """What would help most, by all that the report says.

    `undecided` is why the answers got no verdict; `doubted` why neither the file nor the target's arithmetic is known
    to lose what is lost; `in_float` what to say of an INT8 file that the target does not calculate in 8 bits.
    """
    advice = _advice(report, target, undecided, doubted)
    if in_float is None:
        return advice or f"Nothing to mend: it keeps every limit of {target.name}."
    return f"{in_float} {advice or f'It keeps every limit of {target.name} all the same.'}"


def _advice(report: CheckReport, target: Target, undecided: str | None, doubted: str | None) -> str:
    """Empty where there is nothing to mend."""
    failed = {check.name for check in report.checks if check.verdict == "fail"}
    if "proof" in failed and "unreadable_nodes" not in failed:
        return (
            f"It does not run on {target.name}: {report.not_measured.get('accuracy.target', 'it crashes there')}. "
            "Change the layers that cause it, or take another network."
        )
    advice = []
    if report.runtime is not None and "unreadable_nodes" in failed:
        advice.append(remedy(report.runtime, target))
    if failed - {"frames_per_s", "unreadable_nodes", "proof"}:
        advice.append(f"{doubted}." if doubted else _accuracy(report, target))
    for check in report.checks:
        if check.name == "frames_per_s" and check.verdict == "fail" and check.value is not None:
            advice.append(_faster(check.limit, report.prediction.network_share if report.prediction else None))
        elif check.name == "frames_per_s" and check.uncertain:
            advice.append(f"Its speed is within the prediction's errors of {check.limit:g} frames/s: a board decides.")
    missing = {check.name for check in report.checks if check.verdict == "not_measured"}
    if undecided and missing - {"frames_per_s", "unreadable_nodes", "proof"}:
        advice.append(f"No verdict on its answers: {undecided}.")
    if advice:
        return " ".join(advice)
    if "unreadable_nodes" in missing:
        return f"What {title_of(target)} reads is not known here: a board has to show whether it loads this file."
    if missing == {"frames_per_s"}:
        return "It keeps its answers; nothing is known of its speed, which a board has to show."
    if missing == {"proof"} and "accuracy.target" not in report.not_measured:
        return (
            "Nothing is known to be wrong, but no emulated CPU has proven it: "
            f"run `edgeproof emulators install {target.emulation.emulator}`, or give --accept-unaudited."
        )
    if "accuracy.target" in report.not_measured:
        return "Nothing is known to be wrong, but what the target answers could not be found out."
    if missing:
        return "Nothing is known to be wrong, but not all was measured."
    return ""


def _faster(frames_per_s: float, network_share: float | None) -> str:
    if network_share is not None and network_share <= 0:
        return (
            f"At {frames_per_s:g} frames/s the rest of the program leaves no time for a network on these cores: "
            "ask for fewer frames/s, or take a faster target."
        )
    to = f" to about {network_share:.0%} of its time" if network_share is not None and network_share < 1 else ""
    return (
        f"For {frames_per_s:g} frames/s the network must shrink{to}: give it smaller images, prune it, or take a "
        "smaller one."
    )


def _accuracy(report: CheckReport, target: Target) -> str:
    """Advice for the larger part of a loss, and how large both are where there are two."""
    lost = report.losses or Losses(unit="points")
    here, there = max(lost.any_cpu or 0.0, 0.0), max(lost.target or 0.0, 0.0)
    unit = "points" if lost.unit == "points" else "%"
    cause = "quantization" if report.precision == "int8" else "the file itself"
    if here > there:
        more = f", {there:.2f} {unit} more by {target.name}'s arithmetic" if there else ""
        return f"{here:.2f} {unit} are lost by {cause}, on any CPU{more}: {_mend_file(report.precision)}."
    first = f"Of the loss, {here:.2f} {unit} come from {cause}, {there:.2f} from the target. " if here else ""
    amount = f"{there:.2f} {unit}" if there else "the loss"
    return first + _target(report.layers, target, report.precision, amount)


def _mend_file(precision: Precision) -> str:
    if precision == "int8":
        return "calibrate it on more samples of the real data, keep the layers that suffer most in FP32, or re-train it"
    return "re-train it, or compress it less"


def _target(layers: Sequence[Layer], target: Target, precision: Precision, amount: str) -> str:
    """Advice for what is lost by the target's arithmetic."""
    saturated = [layer for layer in layers if isinstance(layer, SaturatedLayer) and layer.saturated]
    if any(layer.output_error for layer in saturated):
        return _half_range([layer for layer in saturated if layer.output_error])
    if saturated:
        return (
            f"8-bit sums saturate in {_names(saturated)}, though not so that the samples analysed show it: "
            "try 7-bit weights there, as `edgeproof compress` sets them."
        )
    overflowing = [layer for layer in layers if isinstance(layer, RoundedLayer) and layer.overflow]
    if overflowing:
        names = ", ".join(layer.name for layer in overflowing[:3])
        return f"Keep the layers that overflow FP16 in FP32: {names}."
    if precision == "fp16":
        fp32 = "run it in FP32, " if target.refusal("fp32") is None else ""
        mend = f"{fp32}keep its last layers in FP32, or re-train it"
        return f"FP16 rounding alone, without an overflow, costs {amount}: {mend}."
    return f"{target.name}'s kernels round and add up in another order, which costs {amount}: re-train it."


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
