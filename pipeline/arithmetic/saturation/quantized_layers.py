"""The quantized layers of an OpenVINO model: where an 8-bit activation meets 8-bit weights."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.arithmetic.saturation.kernel import Geometry
from pipeline.formats.layer_names import clean_name, weights_name

# What may stand between the quantizer of an activation and the layer that takes it without changing the scale.
MOVES = {"Reshape", "Squeeze", "Unsqueeze", "Transpose", "MaxPool", "Split", "VariadicSplit", "StridedSlice", "Pad"}


@dataclass(frozen=True)
class Weights:
    """8-bit weights and what turns them back: (values - zero_point) * scale."""

    values: NDArray[np.int32]
    scale: NDArray[np.float32]
    zero_point: NDArray[np.int32]

    def changed(self, change: Callable[[NDArray[Any]], NDArray[Any]]) -> "Weights":
        """The same weights with another arrangement of their dimensions."""
        return Weights(change(self.values), change(self.scale), change(self.zero_point))


@dataclass(frozen=True)
class Layer:
    """A quantized convolution or matrix product.

    `weights.values` is (G, O, C, kh, kw): G groups of O output and C input channels; a matrix product has one group
    and a 1x1 kernel. `step` and `zero_point` turn the layer's input x into what the kernel multiplies:
    x / step + zero_point, 0 to 255. `saturates` is false where the kernel widens before it adds (depthwise).
    `stored_as` is the name of the constant that the weights are, which outlives what is folded into the layer.
    """

    name: str
    op: Any
    weights: Weights
    step: float
    zero_point: int
    geometry: Geometry
    saturates: bool
    stored_as: str | None = None

    @property
    def outputs(self) -> int:
        """Output channels of all groups."""
        groups, outputs = self.weights.values.shape[:2]
        return int(groups * outputs)

    @property
    def scale(self) -> NDArray[np.float32]:
        """(G, O): what one unit of the kernel's sum is worth at the layer's output."""
        groups, outputs = self.weights.values.shape[:2]
        per_output = np.broadcast_to(self.weights.scale, self.weights.values.shape)[:, :, 0, 0, 0]
        return np.asarray(per_output.reshape(groups, outputs) * self.step, np.float32)

    @property
    def is_product(self) -> bool:
        """A matrix product, whose channels are the last axis instead of the second."""
        return str(self.op.get_type_name()) == "MatMul"

    def quantized(self, values: NDArray[np.float32]) -> NDArray[np.int32]:
        """The layer's input as the kernel sees it, (N, C, H, W) with values 0 to 255."""
        whole: NDArray[np.int32] = np.clip(np.rint(values / self.step) + self.zero_point, 0, 255).astype(np.int32)
        return whole.reshape(-1, whole.shape[-1], 1, 1) if self.is_product else whole


def quantized_layers(model: Any) -> list[Layer]:
    """The quantized layers of an `openvino.Model` in the order in which they are calculated."""
    found = (_layer(op) for op in model.get_ordered_ops())
    return [layer for layer in found if layer is not None]


def _layer(op: Any) -> Layer | None:
    kind = op.get_type_name()
    if kind not in ("Convolution", "GroupConvolution", "MatMul"):
        return None
    weights = _weights(op.input_value(1))
    quantizer = _activation_quantizer(op.input_value(0))
    if weights is None or quantizer is None:
        return None
    step, zero_point = quantizer
    geometry = Geometry()
    if kind == "MatMul":
        if weights.values.ndim != 2 or op.get_attributes()["transpose_a"]:
            return None
        if not op.get_attributes()["transpose_b"]:
            weights = weights.changed(np.transpose)
        weights = weights.changed(lambda values: values[None, :, :, None, None])
    else:
        if weights.values.ndim != (4 if kind == "Convolution" else 5):
            return None
        if kind == "Convolution":
            weights = weights.changed(lambda values: values[None])
        facts = op.get_attributes()
        geometry = Geometry(
            *(tuple(int(value) for value in facts[name]) for name in ("strides", "pads_begin", "pads_end", "dilations"))  # type: ignore[arg-type]
        )
    groups, outputs, channels = weights.values.shape[:3]
    return Layer(
        name=clean_name(op.get_friendly_name()),
        op=op,
        weights=weights,
        step=step,
        zero_point=zero_point,
        geometry=geometry,
        saturates=not (groups > 1 and outputs == 1 and channels == 1),
        stored_as=weights_name(op),
    )


def _weights(output: Any) -> Weights | None:
    """8-bit weights behind Convert, Subtract, Multiply and Reshape, or behind a FakeQuantize; None if they are not."""
    op = output.get_node()
    match op.get_type_name():
        case "Constant" if op.get_output_element_type(0).get_type_name() in ("i8", "u8"):
            values = np.asarray(op.data).astype(np.int32)
            ones = np.ones([1] * values.ndim)
            return Weights(values, ones.astype(np.float32), (ones * 0).astype(np.int32))
        case "Convert":
            return _weights(op.input_value(0))
        case "Subtract" if (inner := _weights(op.input_value(0))) is not None:
            shift = _constant(op.input_value(1))
            if shift is None:
                return None
            return Weights(inner.values, inner.scale, _beside(inner.values, np.rint(shift).astype(np.int32)))
        case "Multiply" if (inner := _weights(op.input_value(0))) is not None:
            scale = _constant(op.input_value(1))
            if scale is None:
                return None
            return Weights(inner.values, _beside(inner.values, scale.astype(np.float32)), inner.zero_point)
        case "Reshape" if (inner := _weights(op.input_value(0))) is not None:
            shape = tuple(op.get_output_shape(0))
            return inner.changed(
                lambda values: (
                    values.reshape([1] * len(shape))
                    if values.size == 1
                    else np.broadcast_to(values, inner.values.shape).reshape(shape)
                )
            )
        case "FakeQuantize":
            return _fake_quantized(op)
    return None


def _fake_quantized(op: Any) -> Weights | None:
    parts = [_constant(op.input_value(index)) for index in range(5)]
    if any(part is None for part in parts) or op.get_attributes()["levels"] > 256:
        return None
    values, low, high, _, out_high = (np.asarray(part, np.float64) for part in parts)
    levels = op.get_attributes()["levels"]
    width = np.where(high > low, high - low, 1.0)
    whole = np.rint((np.clip(values, low, high) - low) / width * (levels - 1)) - levels // 2
    out_low = np.asarray(parts[3], np.float64)
    scale = (out_high - out_low) / (levels - 1)
    shift = np.rint(-out_low / np.where(scale > 0, scale, 1.0)) - levels // 2
    return Weights(
        whole.astype(np.int32), _beside(whole, scale.astype(np.float32)), _beside(whole, shift.astype(np.int32))
    )


def _beside(values: NDArray[Any], part: Any) -> NDArray[Any]:
    """A scale or a zero point with as many dimensions as the values; of all of them together it may have none."""
    return np.reshape(part, (1,) * (values.ndim - np.ndim(part)) + np.shape(part))


def _constant(output: Any) -> NDArray[Any] | None:
    op = output.get_node()
    if op.get_type_name() == "Constant":
        return np.asarray(op.data)
    if op.get_type_name() in ("Convert", "Reshape") and (inner := _constant(op.input_value(0))) is not None:
        return inner.reshape(op.get_output_shape(0))
    return None


def _activation_quantizer(output: Any) -> tuple[float, int] | None:
    """Step and zero point of the 8-bit quantizer an activation comes from; None if there is none for all channels."""
    op = output.get_node()
    if op.get_type_name() in MOVES:
        return _activation_quantizer(op.input_value(0))
    if op.get_type_name() == "Concat":  # 8-bit values are joined as they are where all have the same step
        found = {_activation_quantizer(op.input_value(index)) for index in range(op.get_input_size())}
        return found.pop() if len(found) == 1 else None
    if op.get_type_name() != "FakeQuantize" or op.get_attributes()["levels"] not in (255, 256):
        return None
    low, high = _constant(op.input_value(3)), _constant(op.input_value(4))
    if low is None or high is None:
        return None
    steps = (high - low) / (op.get_attributes()["levels"] - 1)
    step, lowest = float(steps.flat[0]), float(low.flat[0])
    if step <= 0 or not np.allclose(steps, step, rtol=1e-5) or not np.allclose(low, lowest, rtol=1e-5):
        return None  # a step for each channel: only depthwise layers are calculated in 8 bits from that
    return step, round(-lowest / step)
