"""Frames a second of the whole camera program on a target: what it does beside the network shares the target's cores.

The parts of a frame were measured on one core of another machine, and so were networks whose speed on the target's
cores has been published (`measured.csv`); their ratio says what a part takes on the target. docs/prediction.md has
the rows, the ratios and what they do not cover.
"""

from dataclasses import dataclass

from pipeline.predict.frame.measured import parts
from pipeline.predict.frame.yardsticks import slowdown
from pipeline.records.targets import Target

__all__ = ["Frame", "Network", "network_share_ms", "predict_frame", "slowdown", "unknown"]

ON_ONE_CORE = (("decode",), ("propose", "track", "crop", "rest"))  # the camera's reader; the program's own thread


@dataclass(frozen=True)
class Network:
    """Milliseconds of one batch with all regions of a frame, and the error of its rate in per cent.

    `regions` of them are cut out of each frame, of so many `values` each (3 channels of height times width).
    """

    batch_ms: float
    error_percent: float
    regions: int
    values: int


@dataclass(frozen=True)
class Frame:
    """Frames a second, and the range that the errors of network and cores leave open together, the worst ends of both.

    `parts_ms` is what each part of a frame takes of one core of the target.
    """

    per_s: float
    range_per_s: tuple[float, float]
    parts_ms: dict[str, float]


def unknown(target: Target) -> str:
    """Why nothing is predicted for a frame on a target whose cores nobody has measured."""
    return f"nobody has published how fast {target.cpu.name} cores are, so no frames/s are predicted for {target.name}"


def predict_frame(target: Target, network: Network) -> Frame | None:
    """What the camera program reaches on a target; None where nobody has published how fast its cores are."""
    cores = slowdown(target.cpu)
    if cores is None:
        return None
    here = parts(network.regions, network.values)
    share = network.error_percent / 100
    likely, slowest, fastest = (
        1000 / _frame_ms(target, network.batch_ms / rate, here, times)
        for rate, times in ((1.0, cores.typical), (max(1 - share, 0.01), cores.most), (1 + share, cores.least))
    )
    return Frame(likely, (slowest, fastest), {name: ms * cores.typical for name, ms in here.items()})


def network_share_ms(target: Target, frames_per_s: float, regions: int, values: int) -> float | None:
    """Milliseconds that a frame leaves for one batch of all its regions, of so many values each.

    Below zero where there is no time for the rest; None where nobody has published how fast the target's cores are.
    """
    cores = slowdown(target.cpu)
    if cores is None:
        return None
    period = 1000 / frames_per_s
    one_core, spread = _rest_ms(target, parts(regions, values), cores.typical)
    if (taken := max(one_core, spread)) > period:
        return period - taken
    return period if target.gpu else period - spread


def _frame_ms(target: Target, network_ms: float, here: dict[str, float], times_longer: float) -> float:
    """Time between two frames, when the next is read, searched and cut while the last is classified.

    A CPU's cores share all work; a GPU works beside them.
    """
    one_core, spread = _rest_ms(target, here, times_longer)
    return max(one_core, spread, network_ms) if target.gpu else max(one_core, spread + network_ms)


def _rest_ms(target: Target, here: dict[str, float], times_longer: float) -> tuple[float, float]:
    """What a frame takes beside the network: of the busiest core, and spread over all cores."""
    threads = [times_longer * sum(here[name] for name in names) for names in ON_ONE_CORE]
    return max(threads), sum(threads) / target.cpu.cores
