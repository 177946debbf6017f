"""A bundle's samples for the self-test: regions of the test split, and what the emulated lane answers to them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.arithmetic import kinds
from pipeline.data.dataset import open_dataset
from pipeline.data.images import Image
from pipeline.processes.samples import Floats
from pipeline.processes.side_by_side import run
from pipeline.project import layout
from pipeline.project.candidate import Candidate
from pipeline.records.results import Result
from pipeline.records.targets import Target
from pipeline.retest.audit import FP32_TOLERANCE
from pipeline.retest.emulate import PATIENT
from pipeline.retest.proof import Job, replay
from pipeline.system.errors import Missing
from runners.contract import model_input
from runners.edge.loop.regions import normalise

# Regions are as large as the network takes them, and the download stays small. There is room for 16 of 224 pixels:
# fewer say nothing of a camera's drift (runners/edge/capture/drifting.py).
MOST, LEAST, MOST_BYTES = 16, 4, 5 << 19
# Of the largest score. A GPU adds up in an order of its own: what FP32 and FP16 sums of the known network were seen to
# differ by on sound boards (docs/device-tests.md), where the emulation gives no wider interval.
ON_GPU = {"fp32": 1e-4, "fp16": 2e-2, "int8": 2e-2}


@dataclass(frozen=True)
class Expected:
    """`regions` (N, S, S, 3) uint8 RGB, `scores` (N, K) float32, and how far a device's may be, see `Manifest`."""

    regions: Image
    scores: Floats
    tolerance: float
    classes: list[str]


class _Given:
    """Inputs as they are."""

    def __init__(self, inputs: Floats) -> None:
        self._inputs = inputs

    def __len__(self) -> int:
        return len(self._inputs)

    def batches(self, size: int) -> Iterator[Floats]:
        """Batches (n <= size, 3, S, S)."""
        return (self._inputs[start : start + size] for start in range(0, len(self._inputs), size))


def expected(candidate: Candidate, target: Target, result: Result) -> Expected:
    """Answer a few regions of the test split as the re-test does; `result` says how exact that is.

    Raises:
        InputError: the candidate's files or the data set are missing, or the target cannot be emulated here.
    """
    file = candidate.loaded_by(target.runtime.name)
    try:
        wanted = model_input.read(str(file.parent / model_input.NAME))
    except ValueError as error:
        raise Missing(f"{error}; run `dvc repro`") from error
    images, _ = open_dataset(layout.DATASET).load("test", wanted.size)
    if not len(images):
        raise Missing("the data set has no test split, so that there is nothing to test a device by")
    regions = images[_rows(len(images), wanted.size)]
    calculated = candidate.graph if kinds.of(target).refusal(file, target) else file
    shape = (target.objective.regions_per_frame, 3, wanted.size, wanted.size)
    given = _Given(normalise(regions, wanted.mean, wanted.std))
    scores, width = _scores(calculated, given, shape, target, result)
    return Expected(regions, scores, _tolerance(result, target, width), list(wanted.classes))


def _rows(count: int, size: int) -> NDArray[np.int64]:
    """As many rows as there is room for, at even distances."""
    room = max(LEAST, min(MOST, MOST_BYTES // (3 * size * size)))
    return np.unique(np.linspace(0, count - 1, min(room, count)).round().astype(np.int64))


def _scores(model: Path, samples: _Given, shape: Sequence[int], target: Target, result: Result) -> tuple[Floats, float]:
    """The scores (N, K), and how wide the interval around them is as a share of the largest; 0 for exact ones."""
    kind, precision = kinds.of(target), result.precision
    plan = kind.plan(target, precision)
    # Where the re-test found that a cap of the instruction set is not the CPU, it asked the emulated CPU instead.
    disproved = result.grade == "exact" and not (result.audit and result.audit.agrees)
    if kind.replays_everything or disproved:
        emulated = plan.target if kind.replays_everything else plan.audit
        assert emulated is not None
        proof = replay(Job(model, shape, target, precision, samples, emulated, PATIENT))
        if proof.outputs is None:
            raise Missing(f"{target.name}: what a device should answer cannot be calculated here: {proof.reason}")
        return proof.outputs, 0.0
    places = [plan.target] if plan.target else list(plan.bounds.values())
    ends = [found.values for found in run(model, samples.batches(shape[0]), len(samples), shape, places)]
    low, high = np.minimum.reduce(ends).astype(np.float64), np.maximum.reduce(ends).astype(np.float64)
    middle = ((low + high) / 2).astype(np.float32)
    return middle, float((high - low).max() / max(float(np.abs(middle).max()), 1e-30))


def _tolerance(result: Result, target: Target, width: float) -> float:
    """No bit on a CPU in INT8, unless layers are calculated in floating point, whose order of sums is a runtime's.

    Of an interval the device may be as far from its middle as the interval is wide: within it, or outside by half.
    """
    if target.gpu is not None:
        return max(ON_GPU[result.precision], width)
    if result.precision == "int8":
        return result.audit.tolerance if result.audit else 0.0
    return FP32_TOLERANCE
