"""A target profile in words: every fact with its source."""

from collections.abc import Iterator

from pipeline.records.targets import Target


def explain(target: Target, emulation: str) -> str:
    """What is known of a target, what it is asked for and how the cloud stands in for it, with sources.

    `emulation` says the last in a sentence: `pipeline.arithmetic.kinds` knows it.
    """
    lines = [f"{target.name}: {target.description}", ""]
    for field, texts in [*_facts(target), ("emulation", list(_emulation(target, emulation)))]:
        sources = [text for name, text in target.sources.items() if name.split(".")[0] == field]
        for label, text in zip([field, *[""] * len(texts)], texts, strict=False):
            lines.append(f"  {label:11} {text}")
        lines += [f"  {'':11} source: {source}" for source in sources]
    return "\n".join(lines)


def _facts(target: Target) -> Iterator[tuple[str, list[str]]]:
    cpu, gpu, wanted = target.cpu, target.gpu, target.objective
    if target.family:
        yield "family", [target.family]
    clock = f"{cpu.base_ghz:g} GHz" + (f", burst {cpu.burst_ghz:g}" if cpu.burst_ghz > cpu.base_ghz else "")
    caches = f"{cpu.l1d_kib} KiB L1 data cache a core, {cpu.l2_kib} KiB L2"
    yield "cpu", [f"{cpu.name}, {cpu.cores} cores at {clock}, {cpu.isa}; {caches}"]
    if gpu is not None:
        yield "gpu", [f"{gpu.name}, {gpu.units}"]
    yield "memory", [f"{target.memory.total_mib:,} MiB, {target.memory.bandwidth_gb_s:g} GB/s at most"]
    yield "runtime", [f"{target.runtime.name} {target.runtime.version}"]
    yield (
        "precisions",
        [f"{name} {'yes' if reason is True else f'no: {reason}'}" for name, reason in target.precisions.items()],
    )
    yield (
        "objective",
        [
            f"{wanted.regions_per_frame} regions of each frame at {wanted.frames_per_s:g} frames/s "
            f"within {wanted.power_w:g} W"
        ],
    )
    yield "power", [f"measured by {target.power.sampler} on {', '.join(target.power.rails)}, on the board only"]


def _emulation(target: Target, how: str) -> Iterator[str]:
    emulation = target.emulation
    yield f"{emulation.grade}: {how}"
    if emulation.memory_limit_mib:
        yield f"within {emulation.memory_limit_mib:,} MiB, on {target.cpu.cores} threads"
    if emulation.emulator:
        yield f"proven on QEMU's {emulation.emulator}: `edgeproof emulators`"
