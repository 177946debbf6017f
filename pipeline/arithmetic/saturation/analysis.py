"""Which layers saturate on a CPU without VNNI, how often, what it costs, and which fix would help.

Two compiled models serve all layers. The first calculates the quantized network without saturation and shows every
layer's input, from which follows what saturation adds to its sums (kernel.py). In the second, each layer has an extra
input that is added to its output: feeding it one layer's excess alone shows what that layer does to the answer.
"""

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.arithmetic.saturation.kernel import convolve, excess
from pipeline.arithmetic.saturation.quantized_layers import Layer, quantized_layers
from pipeline.processes.answers import answer
from pipeline.processes.samples import Inputs
from pipeline.records.results import SaturatedLayer

# Quantized values calculated in floating point, whose sums do not saturate; OpenVINO does not document the property.
UNSATURATED: dict[str, Any] = {"LP_TRANSFORMS_MODE": "NO", "INFERENCE_PRECISION_HINT": "f32"}
# What oneDNN reads once, when it first makes a kernel. It holds nothing but oneDNN: OpenVINO lays data out for what the
# CPU has, and asks for kernels that there are none of.
CAP = "ONEDNN_MAX_CPU_ISA"

Floats = NDArray[np.float32]


@dataclass
class _Tally:
    """Sums over samples that a layer's report is made of."""

    hits: NDArray[np.int64]
    pairs: int = 0
    excess_energy: float = 0.0
    rounding_energy: float = 0.0
    output_energy: float = 0.0
    output_values: int = 0


class SaturationReport:
    """The analysis of one `openvino.Model` of fixed shape, fed batch by batch; memory grows with the batch only.

    Layers that cannot saturate (depthwise ones, and those in floating point) are left out. `floating` are the constants
    with the weights of those that the target was seen to calculate in floating point, although they are quantized.
    """

    def __init__(self, model: Any, outputs: Sequence[int] = (0,), floating: Collection[str] = ()) -> None:
        """`outputs` are the positions of those whose change counts."""
        found = quantized_layers(model)
        self._layers = [layer for layer in found if layer.saturates and layer.stored_as not in floating]
        self._tallies = [_Tally(np.zeros(layer.outputs, np.int64)) for layer in self._layers]
        self._inputs = LayerInputs(model, self._layers) if self._layers else None
        self._network = _Network(model, self._layers, outputs)

    def add(self, batch: Inputs) -> Floats:
        """Analyse one batch; the answer is the network's for it (see `answer`), without saturation."""
        unchanged = self._network.answer(batch)
        inputs = self._inputs(batch) if self._inputs else []
        for index, (layer, tally) in enumerate(zip(self._layers, self._tallies, strict=True)):
            added = _add(tally, layer, inputs[index])
            tally.output_values += unchanged.size
            if added is not None:
                change = self._network.answer(batch, index, added) - unchanged
                tally.output_energy += float(np.square(change, dtype=np.float64).sum())
        return unchanged

    @property
    def stored_as(self) -> list[str | None]:
        """The constants that the layers' weights are."""
        return [layer.stored_as for layer in self._layers]

    def layers(self) -> list[SaturatedLayer]:
        """One report for each layer, in the order of the network."""
        return _reports(self._layers, self._tallies)


class LayerInputs:
    """What each layer of the quantized network multiplies, dequantized, in a run without saturation."""

    def __init__(self, model: Any, layers: list[Layer]) -> None:
        import openvino

        shown = openvino.Model([layer.op.input_value(0) for layer in layers], model.get_parameters())
        self._compiled = _compile(shown)
        self._count = len(layers)

    def __call__(self, batch: Inputs) -> list[Floats]:
        """One array for each layer."""
        answers = self._compiled(batch)
        return [np.asarray(answers[index]) for index in range(self._count)]


class _Network:
    """The quantized network without saturation, with its layers' outputs open to change."""

    def __init__(self, model: Any, layers: list[Layer], outputs: Sequence[int]) -> None:
        import openvino
        from openvino import opset13

        self._additions = []
        for layer in layers:
            output = layer.op.output(0)
            users = output.get_target_inputs()
            addition = opset13.parameter(output.get_shape(), np.float32)
            changed = opset13.add(output, addition)
            for user in users:
                user.replace_source_output(changed.output(0))
            self._additions.append(addition)
        parameters = [*model.get_parameters(), *self._additions]
        results = model.get_results()
        self._outputs = len(outputs)
        self._type = model.input(0).get_element_type().to_dtype()
        open_model = openvino.Model([results[index] for index in outputs], parameters)
        self._request = _compile(open_model).create_infer_request()
        self._nothing = [np.zeros(addition.get_output_shape(0), np.float32) for addition in self._additions]
        for index, zeros in enumerate(self._nothing):
            self._set(index, zeros)

    def answer(self, batch: Inputs, layer: int | None = None, added: Floats | None = None) -> Floats:
        """The network's answer, with `added` on top of one layer's output."""
        import openvino

        self._request.set_input_tensor(0, openvino.Tensor(np.ascontiguousarray(batch, self._type)))
        if layer is not None and added is not None:
            self._set(layer, np.ascontiguousarray(added))
        self._request.infer()
        if layer is not None:
            self._set(layer, self._nothing[layer])
        found = [np.array(self._request.get_output_tensor(index).data) for index in range(self._outputs)]
        return answer(found, len(batch), len(batch))

    def _set(self, layer: int, values: Floats) -> None:
        import openvino

        self._request.set_input_tensor(layer + 1, openvino.Tensor(values, shared_memory=True))


def _compile(model: Any) -> Any:
    """The network without saturation, for this machine as it is: its user's cap is none of the target's."""
    import openvino

    cap = os.environ.pop(CAP, None)
    try:
        return openvino.Core().compile_model(model, "CPU", UNSATURATED)
    finally:
        if cap is not None:
            os.environ[CAP] = cap


def _add(tally: _Tally, layer: Layer, values: Floats) -> Floats | None:
    """Count one batch; what saturation adds to the layer's output, or None where nothing saturates."""
    activations, channels = layer.quantized(values), layer.weights.values.shape[2]
    sums, hits, rounded = [], [], 0.0
    for group, weights in enumerate(layer.weights.values):
        part = activations[:, group * channels : (group + 1) * channels]
        found = excess(part, weights, layer.geometry, layer.zero_point)
        sums.append(found.sums)
        hits.append(found.channels)
        tally.pairs += found.pairs
        hit = np.flatnonzero(found.channels)
        if len(hit):
            rounding = _halved(weights[hit]) - weights[hit]
            error = convolve(part, rounding, layer.geometry, layer.zero_point) * layer.scale[group, hit, None, None]
            rounded += float(np.square(error - error.mean(axis=(0, 2, 3), keepdims=True), dtype=np.float64).sum())
    tally.hits += np.concatenate(hits)
    tally.rounding_energy += rounded
    added = (np.concatenate(sums, axis=1) * layer.scale.reshape(-1, 1, 1)).astype(np.float32)
    if not added.any():
        return None
    tally.excess_energy += float(np.square(added, dtype=np.float64).sum())
    return added.reshape(layer.op.get_output_shape(0))


def _halved(weights: NDArray[np.int32]) -> NDArray[np.int32]:
    """What 7-bit weights of twice the step can hold: no two products of them overflow 16 bits."""
    return 2 * np.clip(np.rint(weights / 2), -64, 63).astype(np.int32)


def _reports(layers: list[Layer], tallies: list[_Tally]) -> list[SaturatedLayer]:
    whole = sum(tally.output_energy for tally in tallies)
    return [_report(layer, tally, whole) for layer, tally in zip(layers, tallies, strict=True)]


def _report(layer: Layer, tally: _Tally, whole: float) -> SaturatedLayer:
    saturated, hit = int(tally.hits.sum()), int(np.count_nonzero(tally.hits))
    error, left, fix = 0.0, 0.0, "none needed"
    if saturated:
        error = (tally.output_energy / tally.output_values) ** 0.5
        left = error * (tally.rounding_energy / tally.excess_energy) ** 0.5
        fix = (
            f"half-range weights in {hit} of {layer.outputs} output channels"
            if left < error
            else "leave it: half-range weights would cost more than the saturation"
        )
    return SaturatedLayer(
        name=layer.name,
        pair_sums=tally.pairs,
        saturated=saturated,
        channels=layer.outputs,
        channels_hit=hit if saturated else 0,
        output_error=error,
        share_percent=100 * tally.output_energy / whole if saturated and whole else 0.0,
        half_range_error=left,
        fix=fix,
    )
