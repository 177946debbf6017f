"""INT8 post-training quantization with NNCF, on the exported graph, fitted to the arithmetic of a target."""

import logging
from collections.abc import Iterator

import nncf
import numpy as np
import onnx
from nncf.quantization.range_estimator import RangeEstimatorParametersSet
from numpy.typing import NDArray

from pipeline.compress.target_aware import fit_to_target
from pipeline.retest.emulate import Samples
from pipeline.targets import Target

FITTED = 24  # samples that steps and biases are fitted on; more change nothing that can be seen
BATCH = 4


def quantize(graph: onnx.ModelProto, samples: Samples, target: Target | None, preset: str = "mixed") -> onnx.ModelProto:
    """The graph with weights and activations in 8 bits (QDQ), calibrated on `samples`.

    For a `target` whose 8-bit sums saturate, weights and biases are fitted to that. Ranges come from histograms and
    biases are corrected layer by layer, which takes a minute more than NNCF's defaults and keeps more accuracy.
    """
    nncf.set_log_level(logging.ERROR)  # its warnings are about choices made here on purpose
    calibration = _OneByOne(samples, graph.graph.input[0].name)
    quantized: onnx.ModelProto = nncf.quantize(
        graph,
        nncf.Dataset(calibration),
        preset=nncf.QuantizationPreset(preset),
        subset_size=len(samples),
        fast_bias_correction=False,
        advanced_parameters=nncf.AdvancedQuantizationParameters(
            overflow_fix=nncf.OverflowFix.DISABLE,
            activations_range_estimator_params=RangeEstimatorParametersSet.HISTOGRAM,
        ),
    )
    if target is None or target.emulation.kind != "capped-isa":
        return quantized
    return fit_to_target(quantized, graph, _full_batches(samples))[0]


class _OneByOne:
    """Samples as NNCF takes them: one at a time, by the input's name, as often as it asks."""

    def __init__(self, samples: Samples, name: str) -> None:
        self._samples, self._name = samples, name

    def __iter__(self) -> Iterator[dict[str, NDArray[np.float32]]]:
        for batch in self._samples.batches(1):
            yield {self._name: batch}

    def __len__(self) -> int:
        return len(self._samples)


def _full_batches(samples: Samples) -> Iterator[NDArray[np.float32]]:
    """Enough batches to fit on, all of one size."""
    size = min(BATCH, len(samples))
    for index, batch in enumerate(samples.batches(size)):
        if index * size >= FITTED or len(batch) < size:
            return
        yield batch
