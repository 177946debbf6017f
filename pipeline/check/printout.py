"""A check for people to read: what the model answers here and there, where it is lost, and what to do."""

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from pipeline.check.readability import sentences
from pipeline.check.record import CheckReport, Judged
from pipeline.records.gates import Check
from pipeline.records.results import RoundedLayer, SaturatedLayer
from pipeline.records.targets import Target
from pipeline.records.words import LIMITS, NOT_MEASURED, STYLES, UNITS, VERDICTS, give_or_take, number, rate
from pipeline.system.console import Page

WIDEST = 110
BAR = 24
LAYERS = 6
LONGEST_NAME = 32
SUMS = {"fp32_sums": "sums in FP32", "fp16_sums": "sums in FP16"}


def render(report: CheckReport, target: Target) -> str:
    """The whole report as text, coloured where somebody is looking."""
    page = Page(WIDEST)
    console = page.console
    console.print(_head(report, target))
    for title, part in (
        ("What the runtime makes of the file", _runtime(report, target)),
        ("Accuracy" if report.accuracy.target is not None else "Answers", _accuracy(report)),
        ("Where it is lost" if _loses(report) else "Layers", _layers(report)),
        ("On the device, predicted", _device(report, target)),
    ):
        if part is not None:
            console.print(Text(title, style="bold"))
            console.print(Padding(part, (0, 0, 1, 2)))
    console.print(_verdict(report))
    console.print(Text(report.advice))
    for note in report.data.notes:
        console.print(Text(f"note: {note}", style="yellow"))
    if report.unaudited_accepted:
        console.print(Text("No emulated CPU has proven the target's answers; that was accepted.", style="yellow"))
    for name, reason in report.not_measured.items():
        if reason in report.advice:
            continue
        console.print(Text(f"not measured: {name}: {reason}", style="yellow"))
    return page.text


def _head(report: CheckReport, target: Target) -> RenderableType:
    model = report.model
    shape = "x".join("N" if size is None else str(size) for size in model.input_shape)
    facts = f"{report.precision.upper()}, {model.size_bytes / 1e6:.2f} MB, input {shape}; {report.data.description}"
    return Group(
        Text.assemble((model.path, "bold"), " on ", (target.name, "bold")),
        Text(target.description, style="dim"),
        Text(facts + "\n", style="dim"),
    )


def _runtime(report: CheckReport, target: Target) -> RenderableType | None:
    found = sentences(report.runtime, target)
    style = "red" if _failed(report, "unreadable_nodes") else "yellow"
    return Group(*(Text(sentence, style=style) for sentence in found)) if found else None


def _loses(report: CheckReport) -> bool:
    """Whether there is a loss that the layers may explain."""
    lost = report.losses
    return report.worst_layer is not None and (lost is None or (lost.target or 0.0) > 0)


def _judged(judged: Judged) -> RenderableType:
    """What the numbers below are about."""
    names = " and ".join(repr(name) for name in judged.outputs)
    of = "its only output" if judged.of == 1 else f"{len(judged.outputs)} of {judged.of} outputs"
    count = "" if judged.classes is None else f"{judged.classes} "
    words = {
        "classes": f"{count}classes",
        "tags": f"{count}tags",
        "map": f"a map of {count}classes",
        "values": "values",
    }
    line = f"judged by {names}, {of}: {words[judged.task]}"
    if judged.undecided:
        line += f"; {judged.undecided:,} answers are none, since several classes share the highest score"
    return Text(line, style="dim")


def _accuracy(report: CheckReport) -> RenderableType | None:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column()
    found = report.accuracy
    before = found.cloud if found.fp32 is None else found.fp32
    cloud = (
        f"this machine, {report.host_isa}"
        if report.cloud_basis == "measured"
        else f"a CPU with VNNI, simulated (this machine, {report.host_isa}, saturates too)"
    )
    rows = [
        ("FP32", found.fp32, "the original"),
        ("cloud", found.cloud, cloud),
        ("target", found.target, _grade(report)),
    ]
    if found.target is not None:
        for name, share, remark in rows:
            if share is not None:
                value = share.percent
                lost = "" if before is None or name == "FP32" else f"{value - before.percent:+.2f} points"
                style = "red" if name == "target" and _failed(report, "accuracy_drop_points") else ""
                _line(grid, name, value, (f"{lost}  " if lost else "") + remark, style)
        for name, share in report.bounds.items():
            _line(grid, f"  {SUMS.get(name, name)}", share.percent, "")
    if report.agreement is not None:
        style = "red" if _failed(report, "changed_answers_percent") else ""
        _line(grid, "same class", report.agreement, f"target and {report.agreement_with}", style)
    lines: list[RenderableType] = [_judged(report.judged)] if report.judged else []
    if grid.row_count:
        lines.append(grid)
    if found.target is None:
        for apart, other in ((report.difference_with_reference, "reference"), (report.difference, "cloud")):
            if apart is not None:
                lines.append(
                    Text(
                        f"Outputs differ by {apart.relative_percent:.3g} % (root mean square), {apart.largest:.3g} at "
                        f"most, between {other} and target."
                    )
                )
        lines.append(Text(_grade(report), style="dim"))
    return Group(*lines) if lines else None


def _line(grid: Table, name: str, percent: float, remark: str, style: str = "") -> None:
    full = round(BAR * percent / 100)
    bar = Text("█" * full, style=style or "cyan") + Text("░" * (BAR - full), style="bright_black")
    grid.add_row(name, Text(f"{percent:.2f} %", style=style), bar, Text(remark, style="dim"))


def _grade(report: CheckReport) -> str:
    audit = report.audit
    if report.grade == "exact" and audit is not None and audit.agrees:
        equal = "bit for bit" if audit.tolerance == 0 else f"within {audit.tolerance:g}"
        return f"exact: {audit.samples} samples equal QEMU's {audit.emulator} {equal}"
    if report.grade == "exact":
        return "exact: every sample calculated in QEMU"
    if report.grade == "bounded":
        return "bounded: the worse end of an interval" if report.bounds else "bounded"
    if report.grade == "unaudited" and audit is not None:
        return f"unaudited: {audit.reason}"
    return report.not_measured.get("accuracy.target", "not measured")


def _layers(report: CheckReport) -> RenderableType | None:
    saturated = [layer for layer in report.layers if isinstance(layer, SaturatedLayer)]
    rounded = [layer for layer in report.layers if isinstance(layer, RoundedLayer)]
    if saturated:
        return _saturated(saturated)
    if rounded:
        return _rounded(rounded)
    return None


def _saturated(layers: list[SaturatedLayer]) -> RenderableType:
    hit = [layer for layer in layers if layer.saturated]
    harmless = "" if any(layer.output_error for layer in hit) else ", which changes no answer in the samples analysed"
    summary = Text(f"{len(hit)} of {len(layers)} quantized layers saturate{harmless if hit else ''}.", style="dim")
    if not hit:
        return summary
    grid = _grid("layer", "of the\nerror", "", "sums\nsaturated", "channels\nhit", "7-bit weights\nwould leave")
    for layer in hit[:LAYERS]:
        if not layer.output_error:  # nothing of the answer to give a share of, or to leave
            grid.add_row(_short(layer.name), "–", "", *_sums(layer), "–")
            continue
        left = layer.half_range_error / layer.output_error
        grid.add_row(
            _short(layer.name),
            f"{layer.share_percent:.1f} %",
            Text("█" * max(1, round(BAR / 2 * layer.share_percent / 100)), style="red"),
            *_sums(layer),
            f"{left**2:.0%}" if left < 1 else "more",
        )
    return Group(grid, summary)


def _sums(layer: SaturatedLayer) -> tuple[str, str]:
    return f"{100 * layer.saturated / layer.pair_sums:.2g} %", f"{layer.channels_hit} of {layer.channels}"


def _rounded(layers: list[RoundedLayer]) -> RenderableType:
    touched = [layer for layer in layers if layer.overflow or layer.flushed]
    summary = Text(f"{len(touched)} of {len(layers)} layers leave FP16's range.", style="dim")
    if not touched:
        return summary
    grid = _grid("layer", "overflow", "to zero", "subnormal", "largest")
    for layer in touched[:LAYERS]:
        counts = (f"{100 * count / layer.elements:.2g} %" for count in (layer.overflow, layer.flushed, layer.subnormal))
        grid.add_row(_short(layer.name), *counts, f"{layer.max_abs:.3g}")
    return Group(grid, summary)


def _short(name: str) -> str:
    """The end of a layer's name, which tells more than its beginning."""
    return name if len(name) <= LONGEST_NAME else "…" + name[1 - LONGEST_NAME :]


def _grid(*heads: str) -> Table:
    grid = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for index, head in enumerate(heads):
        left = index == 0 or not head
        narrowest = None if index == 0 else max(map(len, head.split("\n"))) if head else BAR // 2
        grid.add_column(head, justify="left" if left else "right", no_wrap=True, min_width=narrowest)
    return grid


def _device(report: CheckReport, target: Target) -> RenderableType | None:
    grid = Table.grid(padding=(0, 2, 0, 0))
    found, wanted = report.prediction, target.objective
    if found is not None:
        speed = NOT_MEASURED
        if found.frames_per_s is not None and found.frames_range is not None:
            low, high = found.frames_range
            speed = f"{rate(found.frames_per_s)} frames/s ({rate(low)} to {rate(high)})"
        style = "red" if _failed(report, "frames_per_s") else "green"
        objective = f"objective {rate(wanted.frames_per_s)}, {wanted.regions_per_frame} regions each"
        grid.add_row("speed", Text(speed, style=style), Text(objective, style="dim"))
        network = f"{rate(found.inferences_per_s)} regions/s ± {number(found.error_percent, 0)} %"
        latency = f"the network alone; {found.latency_ms:.1f} ms for a batch of {found.batch}"
        grid.add_row("", network, Text(latency, style="dim"))
        if found.power_w is not None:
            grid.add_row("power", f"{found.power_w:.1f} W", Text(found.power_basis, style="dim"))
    if report.peak_memory_mib is not None:
        limit = target.emulation.memory_limit_mib
        of = f"of {limit:,} MiB, in emulation" if limit else "in emulation"
        grid.add_row("memory", f"{report.peak_memory_mib:,} MiB", Text(of, style="dim"))
    return grid if grid.row_count else None


def _verdict(report: CheckReport) -> RenderableType:
    parts = [Text(f" {VERDICTS[report.verdict]} ", style=f"{STYLES[report.verdict]} reverse"), Text("  ")]
    return Text.assemble(*parts, Text("; ".join(told(report.checks))))


def told(checks: Iterable[Check]) -> Iterable[str]:
    """Each limit in a few words; a runtime that reads all nodes goes without saying."""
    for check in checks:
        name = LIMITS.get(check.name, check.name)
        if check.name == "unreadable_nodes":
            if check.verdict != "pass":
                yield f"{name} {VERDICTS[check.verdict].lower()}: " + (
                    "not known what it reads"
                    if check.value is None
                    else f"does not read {check.value:.0f} node{'s' if check.value != 1 else ''}"
                )
            continue
        if check.value is None:
            yield f"{name} not measured"
            continue
        if check.name == "proof":
            yield f"{name} {VERDICTS[check.verdict].lower()}"
            continue
        value, unit = check.value, UNITS.get(check.name, "%")
        if check.name == "accuracy_drop_points":
            value, unit = abs(value), f"{unit} {'gained' if value < 0 else 'lost'}"
        amount = f"{give_or_take(value, check.interval, 2 if value < 10 else 0)} {unit}"
        limit = f"limit {check.limit:g}" + (", predicted" if check.predicted else "")
        yield f"{name} {VERDICTS[check.verdict].lower()}: {amount} ({limit})"


def _failed(report: CheckReport, name: str) -> bool:
    return any(check.name == name and check.verdict == "fail" for check in report.checks)
