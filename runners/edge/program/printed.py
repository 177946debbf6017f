"""Figures as people read them. Must run on Python 3.6."""

from typing import Iterator, Optional

from runners.contract.loop_figures import PARTS, LoopFigures


def lines(figures: LoopFigures) -> Iterator[str]:
    """A line for each thing to know."""
    device = figures.device
    yield "device      {}, {}, {} threads".format(device.get("runtime"), device.get("device"), figures.threads)
    yield "frames      {} in {:.1f} s, {} a second; {} regions".format(
        figures.frames, figures.seconds, _number(figures.fps), figures.regions
    )
    for name, counts in sorted(figures.cameras.items()):
        yield "camera      {}: {}".format(name, ", ".join("{} {}".format(counts[field], field) for field in counts))
    if figures.regions_per_second is not None:
        text = "classifier  {} regions a second alone; a batch takes {} ms, 99 of 100 at most {} ms"
        yield text.format(
            _number(figures.regions_per_second), _number(figures.classifier_p50_ms), _number(figures.classifier_p99_ms)
        )
    yield "a frame     CPU ms   wall ms   99 of 100"
    for name in PARTS:
        part = figures.parts[name]
        yield "  {:8}{:>8}{:>10}{:>12}".format(
            name, _number(part.cpu_ms), _number(part.wall_p50_ms), _number(part.wall_p99_ms)
        )
    yield "memory      {} MiB, its readers {} MiB; started in {:.1f} s".format(
        _number(figures.peak_memory_mib), _number(figures.readers_memory_mib), figures.start_seconds
    )


def _number(value: Optional[float]) -> str:
    return "-" if value is None else "{:.1f}".format(value)
