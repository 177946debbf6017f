"""INT8 weights that survive a target whose 8-bit sums saturate, at full range wherever they can be.

NNCF's own remedy (`OverflowFix`) gives every layer, or the first, 7-bit weights. Here each output channel gets the
step at which rounding and saturation together cost least, measured on calibration samples with the exact model of the
kernel (arithmetic/saturation/kernel.py); channels that do not saturate keep all 8 bits. What saturation and the
new step do to a channel's mean is taken out of its bias.
"""

import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto
from tqdm import tqdm

from pipeline.arithmetic.saturation.analysis import LayerInputs
from pipeline.arithmetic.saturation.kernel import HIGHEST, convolve, excess
from pipeline.arithmetic.saturation.quantized_layers import Layer, quantized_layers
from pipeline.formats.qdq import QdqGraph, StoredWeights
from pipeline.processes.samples import Inputs

# As multiples of the full-range step. At twice that, weights have 7 bits and cannot saturate at all.
STEPS = (1.0, 1.1, 1.25, 1.5, 2.0)

Floats = NDArray[np.float32]


def fit_to_target(quantized: ModelProto, original: ModelProto, batches: Iterable[Inputs]) -> tuple[ModelProto, int]:
    """The quantized model (QDQ) with steps and biases for a saturating CPU, and how many channels have a new step.

    Layers that could saturate and are not found in the quantized model, or not analysed, stay as they are; a line on
    standard error names them.

    `original` is the graph before quantization, whose weights are not rounded yet; `batches` are calibration inputs
    (N, C, H, W), all of one size.
    """
    changed = ModelProto()
    changed.CopyFrom(quantized)
    graph, source = QdqGraph(changed), QdqGraph(original)
    channels: list[_Channels] = []
    inputs: LayerInputs | None = None
    for batch in batches:
        if inputs is None:
            model = _openvino_model(quantized, batch.shape)
            layers = quantized_layers(model)
            found = [(layer, graph.stored(layer.name, layer.stored_as)) for layer in layers if layer.saturates]
            channels = [_Channels(layer, stored, source.plain(stored.node.name)) for layer, stored in found if stored]
            _tell_of_others(graph, layers, {item.stored.node.name for item in channels})
            inputs = LayerInputs(model, [item.layer for item in channels])
        for item, values in zip(channels, inputs(batch), strict=True):
            item.measure(values)
    count = sum(item.settle() for item in channels)
    graph.drop_unused()
    return changed, count


def _tell_of_others(graph: QdqGraph, layers: list[Layer], fitted: set[str]) -> None:
    """Name the layers in 8 bits that are not among the `fitted`, but for those that are known not to saturate."""
    safe = {layer.name for layer in layers if not layer.saturates}
    safe |= {layer.stored_as for layer in layers if not layer.saturates and layer.stored_as}
    others = []
    for node in graph.in_8_bits():
        stored = graph.stored(node.name)
        known = {node.name, *node.output, *(stored.dequantize.input[:1] if stored else ())}
        if node.name not in fitted and safe.isdisjoint(known) and (stored is None or _risky(stored)):
            others.append(node.name)
    if others:
        names = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
        tqdm.write(f"{len(others)} layers could saturate and were not fitted to the target: {names}", file=sys.stderr)


def _risky(stored: StoredWeights) -> bool:
    """Whether any channel of the layer could saturate, in whatever order its inputs are paired."""
    weights = stored.read()[0]
    groups = next((attribute.i for attribute in stored.node.attribute if attribute.name == "group"), 1)
    if groups == len(weights) > 1 and weights.shape[1] == 1:  # depthwise: widened before it is added up
        return False
    flat = np.sort(weights.reshape(len(weights), -1).astype(np.int32), axis=1)
    return bool(np.maximum(flat[:, -2:].sum(axis=1), -flat[:, :2].sum(axis=1)).max(initial=0) * 255 > HIGHEST)


def _openvino_model(model: ModelProto, shape: tuple[int, ...]) -> Any:
    import openvino

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(model, path)
        converted = openvino.convert_model(path)
    converted.reshape({0: openvino.PartialShape(list(shape))})
    return converted


@dataclass
class _Channels:
    """One layer's output channels that could saturate, with the moments of their error at each of STEPS.

    `plain` are the weights before quantization, (O, C, kh, kw), None where they are not known.
    """

    layer: Layer
    stored: StoredWeights
    plain: Floats | None
    count: int = 0
    first: NDArray[np.float64] = field(init=False)
    second: NDArray[np.float64] = field(init=False)
    unsaturated: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        shape = self.layer.weights.values.shape
        # As it is stored: where a batch normalisation follows, OpenVINO's scale holds its factors too.
        self._scale = self.stored.read()[1].reshape(*shape[:2], 1, 1, 1).astype(np.float64)
        whole = self.layer.weights.values / 1.0
        if self.plain is not None:
            exact = self.plain.reshape(shape) / self._scale
            # Quantization may have moved weights between layers; then only the rounded ones are known.
            whole = np.where(np.abs(exact - whole).max(axis=(2, 3, 4), keepdims=True) < 0.51, exact, whole)
        self._whole = whole
        self._candidates = [self.layer.weights.values] + [
            np.clip(np.rint(whole / step), -64 if step == 2 else -128, 63 if step == 2 else 127).astype(np.int32)
            for step in STEPS[1:]
        ]
        self._risky = [np.flatnonzero(_can_saturate(weights)) for weights in self.layer.weights.values]
        outputs = shape[:2]
        self.first, self.second = np.zeros((len(STEPS), *outputs)), np.zeros((len(STEPS), *outputs))
        self.unsaturated = np.zeros(outputs)

    def measure(self, values: Floats) -> None:
        """Add one batch of the layer's inputs."""
        layer, channels = self.layer, self.layer.weights.values.shape[2]
        activations = layer.quantized(values)
        for group, risky in enumerate(self._risky):
            part = activations[:, group * channels : (group + 1) * channels]
            for index, step in enumerate(STEPS if len(risky) else ()):
                weights = self._candidates[index][group, risky]
                residual = weights * step - self._whole[group, risky]
                error = convolve(part, residual, layer.geometry, layer.zero_point).astype(np.float64)
                if index == 0:
                    self.unsaturated[group, risky] += error.sum(axis=(0, 2, 3))
                if step < STEPS[-1]:
                    error += excess(part, weights, layer.geometry, layer.zero_point).sums * step
                self.first[index, group, risky] += error.sum(axis=(0, 2, 3))
                self.second[index, group, risky] += np.square(error).sum(axis=(0, 2, 3))
                if index == 0 and group == 0:
                    self.count += error[:, 0].size

    def settle(self) -> int:
        """Write the best steps and the biases that go with them into the graph; how many channels changed."""
        if not self.count:
            return 0
        mean = self.first / self.count
        best = (self.second / self.count - mean**2).argmin(axis=0)
        shift = np.take_along_axis(mean, best[None], 0)[0] - self.unsaturated / self.count
        picked = np.stack(self._candidates)[best, np.arange(best.shape[0])[:, None], np.arange(best.shape[1])]
        self.stored.write(picked, np.asarray(STEPS)[best].ravel())
        worth = (self._scale[..., 0, 0, 0] * self.layer.step).astype(np.float32)  # of one unit of a sum
        self.stored.add_to_bias((-shift * worth).ravel())
        return int(np.count_nonzero(best))


def _can_saturate(weights: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Which output channels of (O, C, kh, kw) have a pair of weights that could overflow 16 bits."""
    padded = np.pad(weights, ((0, 0), (0, weights.shape[1] % 2), (0, 0), (0, 0)))
    most = np.maximum(padded, 0)[:, ::2] + np.maximum(padded, 0)[:, 1::2]
    least = np.minimum(padded, 0)[:, ::2] + np.minimum(padded, 0)[:, 1::2]
    return np.asarray(np.maximum(most, -least).max(axis=(1, 2, 3)) * 255 > HIGHEST)
