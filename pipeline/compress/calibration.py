"""INT8 post-training quantization with NNCF, on the exported graph, fitted to the arithmetic of a target."""

import logging
import sys
from collections.abc import Iterator
from typing import Any

import nncf
import numpy as np
import onnx
from nncf.quantization.range_estimator import RangeEstimatorParametersSet
from numpy.typing import NDArray
from onnx import helper
from tqdm import tqdm

from pipeline.arithmetic import kinds
from pipeline.compress.target_aware import fit_to_target
from pipeline.processes.samples import Inputs, Samples
from pipeline.records.targets import Target
from pipeline.system.errors import InputError, Refused, reason

FITTED = 24  # samples that steps and biases are fitted on; more change nothing that can be seen
BATCH = 4


def quantize(graph: onnx.ModelProto, samples: Samples, target: Target | None, preset: str = "mixed") -> onnx.ModelProto:
    """The graph with weights and activations in 8 bits (QDQ), calibrated on `samples` and fitted to the target.

    Raises:
        InputError: NNCF cannot quantize it.
    """
    return fitted(calibrated(graph, samples, preset), graph, samples, target)


def calibrated(graph: onnx.ModelProto, samples: Samples, preset: str = "mixed") -> onnx.ModelProto:
    """The graph with weights and activations in 8 bits (QDQ), for no target in particular.

    Ranges come from histograms and biases are corrected layer by layer, which takes a minute more than NNCF's defaults
    and keeps more accuracy; where NNCF cannot do either on this network, its defaults are used and a line on standard
    error says so.

    Raises:
        InputError: NNCF cannot quantize it.
    """
    nncf.set_log_level(logging.ERROR)  # its warnings are about choices made here on purpose
    calibration = _Calibration(samples, graph)
    try:
        return _by_nncf(graph, calibration, preset, finer=True)
    except (InputError, OSError):  # the samples or a full disk, which the coarser way would not take either
        raise
    except Exception:
        # Its bias correction cuts some branched networks (SqueezeNet) into parts that ONNX Runtime refuses, or looks
        # for nodes that it has renamed; there is no histogram of an activation that is always the same. The errors of
        # NNCF and of ONNX Runtime have no base of their own.
        tqdm.write("NNCF cannot calibrate this network finely; its defaults may cost accuracy", file=sys.stderr)
        try:
            return _by_nncf(graph, calibration, preset, finer=False)
        except (InputError, OSError):
            raise
        except Exception as error:
            raise Refused(
                f"NNCF cannot quantize this network{reason(error)}; simplify its graph (onnxslim), or export it again "
                "with another opset"
            ) from error


def fitted(
    quantized: onnx.ModelProto, graph: onnx.ModelProto, samples: Samples, target: Target | None
) -> onnx.ModelProto:
    """What `calibrated` made of a graph, with weights and biases fitted to a target whose 8-bit sums saturate."""
    if target is None or not kinds.of(target).saturates:
        return quantized
    return fit_to_target(quantized, graph, _full_batches(samples, _Calibration(samples, graph).fixed))[0]


def _by_nncf(graph: onnx.ModelProto, calibration: "_Calibration", preset: str, finer: bool) -> onnx.ModelProto:
    settings = nncf.AdvancedQuantizationParameters(overflow_fix=nncf.OverflowFix.DISABLE)
    if finer:
        settings.activations_range_estimator_params = RangeEstimatorParametersSet.HISTOGRAM
    quantized: onnx.ModelProto = nncf.quantize(
        graph,
        nncf.Dataset(calibration),
        preset=nncf.QuantizationPreset(preset),
        subset_size=len(calibration),
        fast_bias_correction=not finer,
        advanced_parameters=settings,
    )
    return quantized


class _Calibration:
    """Samples as NNCF takes them: one at a time, by the input's name, as often as it asks.

    A network of a fixed batch gets as many at a time, some of the last ones twice.
    """

    def __init__(self, samples: Samples, graph: onnx.ModelProto) -> None:
        constants = {tensor.name for tensor in graph.graph.initializer}
        source = next(value for value in graph.graph.input if value.name not in constants)
        self._samples, self._name = samples, source.name
        self._type = helper.tensor_dtype_to_np_dtype(source.type.tensor_type.elem_type)
        self.fixed = max(source.type.tensor_type.shape.dim[0].dim_value, 0)

    def __iter__(self) -> Iterator[dict[str, NDArray[Any]]]:
        size = self.fixed or 1
        for batch in self._samples.batches(size):
            yield {self._name: _filled(batch, size).astype(self._type, copy=False)}

    def __len__(self) -> int:
        return -(-len(self._samples) // (self.fixed or 1))


def _filled(batch: Inputs, size: int) -> Inputs:
    return np.resize(batch, (size, *batch.shape[1:]))


def _full_batches(samples: Samples, fixed: int) -> Iterator[Inputs]:
    """Enough batches to fit on, all of one size."""
    size = fixed or min(BATCH, len(samples))
    for index, batch in enumerate(samples.batches(size)):
        if index and (index * size >= FITTED or len(batch) < size):
            return
        yield _filled(batch, size)
