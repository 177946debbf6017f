"""A candidate on a board, from its health to the verdict: `make device-test TARGET=...`, or `--board NAME`.

The same on a board over SSH, on this machine, and on an emulated board, whose speed and watts are predicted.
"""

from typing import Any

import pytest

from pipeline.device.plugin import CLOCK, hold
from runners.contract import loop_figures


def test_health(candidate: Any) -> None:
    """The board is the one it is to be, cool, and answers the golden bundle as it always did."""
    assert candidate.health()["board"]


def test_self_test(candidate: Any) -> None:
    """The candidate loads there, on the device that it is for."""
    assert candidate.self_test()["computes"]


def test_accuracy(candidate: Any) -> None:
    """It loses no more than it may on the test split."""
    assert len(candidate.answer().logits) == len(candidate.subject.regions)
    hold(candidate, "accuracy_drop_points")


def test_agreement(candidate: Any) -> None:
    """The board answers what the emulated lane does: in every bit where that is exact."""
    candidate.agree()
    hold(candidate, "proof")


@pytest.mark.benchmark(timer=CLOCK, disable_gc=False, warmup=False)
def test_speed(candidate: Any, benchmark: Any) -> None:
    """The whole program keeps its frames a second, with none to four regions in each."""
    found = candidate.speed()
    full = found.loops[max(found.loops)]
    replay(
        benchmark, candidate, f"a frame of the program, {max(found.loops)} regions", [1 / f for f in full.rounds_fps]
    )
    figures = {str(regions): loop_figures.as_json(loop) for regions, loop in found.loops.items()}
    benchmark.extra_info.update(loop=figures, health=found.health, base_and_head=found.rounds)
    hold(candidate, "frames_per_s")


@pytest.mark.benchmark(timer=CLOCK, disable_gc=False, warmup=False)
def test_network(candidate: Any, benchmark: Any) -> None:
    """The network alone on a batch of four: raw times, memory, and how long it takes to start."""
    full = candidate.speed().loops[max(candidate.speed().loops)]
    times_ms = candidate.found.answers.latency_ms
    replay(benchmark, candidate, "the network alone, a batch of four", [one / 1000 for one in times_ms[1:] or times_ms])
    assert full.classifier_p50_ms is not None
    benchmark.extra_info.update(
        p50_ms=full.classifier_p50_ms, p99_ms=full.classifier_p99_ms, start_s=full.start_seconds
    )
    benchmark.extra_info.update(peak_memory_mib=full.peak_memory_mib, device=full.device)


@pytest.mark.benchmark(timer=CLOCK, disable_gc=False, warmup=False)
def test_power(candidate: Any, power_meter: Any, benchmark: Any) -> None:
    """It stays within the watts of its target, at rest and at work; on an emulated board nobody measures any."""
    found = candidate.power()
    replay(benchmark, candidate, "full work under the power meter", [candidate.power_seconds])
    benchmark.extra_info.update(meter=power_meter.model_dump(), power=found)
    hold(candidate, "power_w")


def test_verdict(candidate: Any) -> None:
    """All limits together, and the record."""
    from pipeline.device import verdicts

    verdicts.write(candidate, verdicts.result(candidate))
    hold(candidate)


def replay(benchmark: Any, candidate: Any, group: str, times_s: list[float]) -> None:
    """Times that the board measured, as pytest-benchmark's own."""
    board = candidate.on.board
    benchmark.group = group if board.measures else f"{group}, on this machine"
    benchmark.extra_info.update(board=board.name, of_the_target=board.measures)
    CLOCK.load(times_s)
    benchmark.pedantic(lambda: None, rounds=len(times_s))
