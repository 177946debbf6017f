"""An exported graph that can be trained: what is re-trained after quantization or clustering is what the device gets.

Quantizers round in the forward pass and let gradients through within their range (straight-through estimator, Bengio
et al. 2013). On a target whose 8-bit sums saturate, so do the sums here, by the exact rule of its kernels
(saturating_sums.py); a pair of products at the limit passes no gradient.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper
from torch import Tensor, nn
from torch.nn import functional

from pipeline.arithmetic.saturation.quantized_layers import MOVES
from pipeline.compress.saturating_sums import Input, excess
from pipeline.formats.axes import window_pads
from pipeline.formats.qdq import KINDS, QdqGraph
from pipeline.system.errors import Refused

Attributes = dict[str, Any]


class TrainableGraph(nn.Module):
    """The network of an ONNX model, floating-point or quantized (QDQ), whose weights and biases are parameters.

    Input and output are the model's own, (N, 3, S, S) and (N, classes). `saturates` says whether the target's 8-bit
    sums do.
    """

    def __init__(self, model: ModelProto, saturates: bool = False) -> None:
        """Take over `model`, which is left as it is.

        Raises:
            InputError: it has an operator that cannot be trained here.
        """
        super().__init__()
        self._model = ModelProto()
        self._model.CopyFrom(model)
        graph = QdqGraph(self._model)
        makers = {name: node for node in self._model.graph.node for name in node.output}
        self.layers = nn.ModuleDict()
        self._steps: list[_Step] = []
        for index, node in enumerate(self._model.graph.node):
            if node.op_type in KINDS and (weights := _weights(graph, node)) is not None:
                values, step = weights
                bias = graph.constant(node.input[2]) if len(node.input) > 2 else None
                quantizer = _quantizer(graph, makers, node.input[0]) if saturates and step is not None else None
                layer = GraphLayer(node, values, step, bias, quantizer)
                self.layers[str(index)] = layer
                computed = list(node.input[2:]) if bias is None else []
                self._steps.append(_Step(layer, [node.input[0], *computed], node.output[0]))
            else:
                self._steps.append(_Step(_operator(graph, node), list(node.input), node.output[0]))
        self._used = {name for step in self._steps for name in step.inputs}
        for name in sorted(self._used):
            if (constant := graph.constant(name)) is not None:
                self.register_buffer(_buffer(name), torch.from_numpy(constant.copy()))

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, S, S) -> (N, classes)."""
        buffers = dict(self.named_buffers(recurse=False))
        values = {name: buffers[_buffer(name)] for name in self._used if _buffer(name) in buffers}
        values[self._model.graph.input[0].name] = images
        for step in self._steps:
            values[step.output] = step.run(*(values[name] for name in step.inputs if name))
        return values[self._model.graph.output[0].name]

    @property
    def size(self) -> int:
        """Weights and biases, each counted for itself, whether others share its value or not."""
        layers = [layer for layer in self.layers.values() if isinstance(layer, GraphLayer)]
        return sum(layer.weight.numel() + (0 if layer.bias is None else layer.bias.numel()) for layer in layers)

    def to_onnx(self) -> ModelProto:
        """The model with the weights and biases as they are now, in every other respect the one that came in."""
        changed = ModelProto()
        changed.CopyFrom(self._model)
        graph = QdqGraph(changed)
        for key, layer in self.layers.items():
            assert isinstance(layer, GraphLayer)
            layer.write(graph, changed.graph.node[int(key)].output[0])
        graph.drop_unused()
        return changed


class GraphLayer(nn.Module):
    """A convolution or matrix product of a graph: `weight` (O, C, ...) and `bias` (O,) are its parameters.

    With a `step` (O, 1, ...), weights are rounded to whole multiples of it from -128 to 127.
    """

    step: Tensor | None

    def __init__(
        self,
        node: NodeProto,
        weight: NDArray[np.float32],
        step: NDArray[np.float32] | None,
        bias: NDArray[Any] | None,
        quantizer: Input | None,
    ) -> None:
        super().__init__()
        self.kind, self.attributes = node.op_type, _attributes(node)
        self.weight = nn.Parameter(torch.from_numpy(weight.copy()))
        self.register_buffer("step", None if step is None else torch.from_numpy(step.copy()))
        self.bias = None if bias is None else nn.Parameter(torch.from_numpy(bias.astype(np.float32)))
        self.quantizer = None if self.is_depthwise else quantizer  # depthwise kernels widen before they add
        if self.kind == "Conv" and self.weight.dim() != 4:
            raise Refused("only two-dimensional convolutions can be re-trained in the graph")

    @property
    def groups(self) -> int:
        """Groups of channels that are calculated apart."""
        return int(self.attributes.get("group", 1))

    @property
    def is_depthwise(self) -> bool:
        """Each output channel reads one input channel of its own."""
        return self.groups > 1 and self.weight.shape[0] == self.groups and self.weight.shape[1] == 1

    @property
    def rounded(self) -> Tensor:
        """The weights in whole steps."""
        assert self.step is not None
        within = (self.weight / self.step).clamp(-128, 127)
        return within + (within.round() - within).detach()

    def extra_repr(self) -> str:
        """What it does with its values, in short: a training of another one is another training."""
        return f"{self.kind}, {self.attributes}, saturates={self.quantizer is not None}"

    def forward(self, values: Tensor, bias: Tensor | None = None) -> Tensor:
        """The layer's output for an input (N, C, H, W), or (N, C) and (..., C) for a matrix product."""
        bias = bias if self.bias is None else self.bias
        weight = self.weight if self.step is None else self.rounded * self.step
        answer = self._calculate(values, weight, bias)
        if self.quantizer is None or self.step is None:
            return answer
        return answer + self._lost(values, self.quantizer).reshape(answer.shape)

    def _lost(self, values: Tensor, quantizer: Input) -> Tensor:
        """What saturation adds to the output."""
        assert self.step is not None
        unit = self.step.reshape(1, -1, 1, 1) * quantizer.step
        if self.kind == "Conv":
            return excess(values, self.rounded, quantizer, self.groups, *self._geometry(values)) * unit
        points = values.reshape(-1, values.shape[-1], 1, 1)
        return excess(points, self.rounded[:, :, None, None], quantizer) * unit

    def write(self, graph: QdqGraph, name: str) -> None:
        """Make the weights and bias those of the layer called `name` in `graph`."""
        with torch.no_grad():
            if self.step is None:
                graph.replace_weights(name, self.weight.numpy())
            else:
                stored = graph.stored(name)
                assert stored is not None
                stored.write(self.rounded.round().int().numpy(), np.ones(len(self.weight)))
            if self.bias is not None:
                graph.replace_bias(name, self.bias.numpy())

    def _calculate(self, values: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if self.kind != "Conv":
            flat: Tensor = functional.linear(values, weight, bias)
            return flat
        strides, pads, dilations = self._geometry(values)
        (top, left), (bottom, right) = pads
        if (top, left) != (bottom, right):
            values, top, left = functional.pad(values, (left, right, top, bottom)), 0, 0
        return functional.conv2d(values, weight, bias, strides, (top, left), dilations, self.groups)

    def _geometry(
        self, images: Tensor
    ) -> tuple[tuple[int, int], tuple[tuple[int, int], tuple[int, int]], tuple[int, int]]:
        """Strides, pads (of the beginnings and of the ends) and dilations of a convolution of such images."""
        facts = self.attributes
        (top, bottom), (left, right) = window_pads(facts, images.shape[2:], self.weight.shape[2:])
        strides, dilations = facts.get("strides", [1, 1]), facts.get("dilations", [1, 1])
        return (strides[0], strides[1]), ((top, left), (bottom, right)), (dilations[0], dilations[1])


class _Step:
    """One node: what calculates it, from which values, to which."""

    def __init__(self, run: Callable[..., Tensor], inputs: list[str], output: str) -> None:
        self.run, self.inputs, self.output = run, inputs, output


def _weights(graph: QdqGraph, node: NodeProto) -> tuple[NDArray[np.float32], NDArray[np.float32] | None] | None:
    """A layer's weights (O, C, ...) with their steps (O, 1, ...), None where they are not stored or not rounded."""
    key = node.output[0]
    if (stored := graph.stored(key)) is not None:
        values, scale = stored.read()
        step = scale.reshape(-1, *[1] * (values.ndim - 1)).astype(np.float32)
        return values * step, step
    plain = graph.plain(key)
    return None if plain is None or plain.ndim < 2 else (plain, None)


def _quantizer(graph: QdqGraph, makers: dict[str, NodeProto], name: str) -> Input | None:
    """Step and zero point of the 8-bit values that a layer reads; None where there is no single one for all of them."""
    node = makers.get(name)
    while node is not None and node.op_type in MOVES | {"Flatten", "Identity", "DequantizeLinear"}:
        node = makers.get(node.input[0])
    if node is None or node.op_type != "QuantizeLinear":
        return None
    scale, zero_point = (graph.constant(name) for name in node.input[1:3])
    if scale is None or zero_point is None or scale.size != 1:
        return None
    # The kernels take unsigned values: signed ones are moved up by 128.
    return Input(float(scale.ravel()[0]), int(zero_point.ravel()[0]) + (128 if zero_point.dtype == np.int8 else 0))


def _attributes(node: NodeProto) -> Attributes:
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def _buffer(name: str) -> str:
    return "constant " + name.replace(".", "/")


def _operator(graph: QdqGraph, node: NodeProto) -> Callable[..., Tensor]:
    """What calculates a node that is no trained layer, from the tensors that it reads."""
    facts = _attributes(node)
    if node.op_type not in _OPERATORS:
        raise Refused(f"{node.op_type} ({node.name or node.output[0]}) cannot be re-trained after the export")
    if node.op_type == "QuantizeLinear":
        zero_point = graph.constant(node.input[2]) if len(node.input) > 2 else None
        lowest = -128 if zero_point is not None and zero_point.dtype == np.int8 else 0
        return lambda *inputs: _fake_quantize(facts, lowest, *inputs)
    calculate = _OPERATORS[node.op_type]
    return lambda *inputs: calculate(facts, *inputs)


def _fake_quantize(facts: Attributes, lowest: int, values: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
    zeros = torch.zeros_like(scale, dtype=torch.int32) if zero is None else zero.to(torch.int32)
    highest = lowest + 255
    if scale.numel() == 1:
        point = int(zeros.reshape(-1)[0])
        return torch.fake_quantize_per_tensor_affine(values, float(scale.reshape(-1)[0]), point, lowest, highest)
    axis = facts.get("axis", 1) % values.dim()
    return torch.fake_quantize_per_channel_affine(values, scale, zeros, axis, lowest, highest)


def _dequantize(facts: Attributes, values: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
    """Stored integers become floats; what the quantizer before left as floats stays so."""
    if values.is_floating_point():
        return values
    axis = facts.get("axis", 1)
    shape = [1] * values.dim()
    if scale.numel() > 1:
        shape[axis] = -1
    zeros = 0 if zero is None else zero.to(torch.int32).reshape(shape)
    return (values.to(torch.int32) - zeros) * scale.reshape(shape)


def _max_pool(facts: Attributes, values: Tensor) -> Tensor:
    (top, bottom), (left, right) = window_pads(facts, values.shape[2:], facts["kernel_shape"])
    some = any((top, bottom, left, right))
    padded = functional.pad(values, (left, right, top, bottom), value=float("-inf")) if some else values
    return functional.max_pool2d(
        padded, facts["kernel_shape"], facts.get("strides", 1), ceil_mode=bool(facts.get("ceil_mode"))
    )


def _average_pool(facts: Attributes, values: Tensor) -> Tensor:
    if any(map(any, window_pads(facts, values.shape[2:], facts["kernel_shape"]))):
        raise Refused("AveragePool with padding cannot be re-trained after the export")
    return functional.avg_pool2d(
        values, facts["kernel_shape"], facts.get("strides", 1), ceil_mode=bool(facts.get("ceil_mode"))
    )


def _clip(facts: Attributes, values: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    return torch.clamp(values, None if low is None else float(low), None if high is None else float(high))


def _matrix_product(facts: Attributes, left: Tensor, right: Tensor, bias: Tensor | None = None) -> Tensor:
    product = left @ (right.T if facts.get("transB") else right)
    return product if bias is None else product + bias


_OPERATORS: dict[str, Callable[..., Tensor]] = {
    "Add": lambda _, left, right: left + right,
    "AveragePool": _average_pool,
    "Clip": _clip,
    "Concat": lambda facts, *values: torch.cat(values, facts["axis"]),
    "DequantizeLinear": _dequantize,
    "Flatten": lambda facts, values: values.flatten(facts.get("axis", 1)),
    "Gemm": _matrix_product,
    "GlobalAveragePool": lambda _, values: values.mean((2, 3), keepdim=True),
    "HardSigmoid": lambda facts, values: (values * facts.get("alpha", 0.2) + facts.get("beta", 0.5)).clamp(0, 1),
    "HardSwish": lambda _, values: functional.hardswish(values),
    "Identity": lambda _, values: values,
    "MatMul": _matrix_product,
    "MaxPool": _max_pool,
    "Mul": lambda _, left, right: left * right,
    "QuantizeLinear": _fake_quantize,
    "Relu": lambda _, values: functional.relu(values),
    "Reshape": lambda _, values, shape: values.reshape(
        [int(size) if size else values.shape[axis] for axis, size in enumerate(shape)]
    ),
    "Sigmoid": lambda _, values: values.sigmoid(),
}
