"""The weights of a quantized ONNX graph (QDQ): reading and replacing them by the layer's name."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper, numpy_helper

KINDS = ("Conv", "Gemm", "MatMul")
# What 8-bit values pass through between their quantizer and a layer.
BETWEEN = {
    "Reshape",
    "Flatten",
    "Squeeze",
    "Unsqueeze",
    "Transpose",
    "MaxPool",
    "AveragePool",
    "Concat",
    "Split",
    "Slice",
}
BETWEEN |= {"Pad", "Identity", "GlobalAveragePool"}
_MOST_BETWEEN = 8


@dataclass(frozen=True)
class StoredWeights:
    """Symmetric 8-bit weights behind a DequantizeLinear node, with output channels on `axis`."""

    graph: "QdqGraph"
    node: NodeProto
    dequantize: NodeProto
    axis: int

    def read(self) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
        """The weights with output channels first, and their scales (O,)."""
        weights, scale = (self.graph.constant(name) for name in self.dequantize.input[:2])
        assert weights is not None
        assert scale is not None
        moved = np.moveaxis(weights, self.axis, 0)
        return moved, np.broadcast_to(scale.ravel(), len(moved))

    def write(self, values: NDArray[np.int32], factors: NDArray[np.float64]) -> None:
        """Replace the weights by `values` (any shape with output channels first) and multiply their scales (O,)."""
        weights, scale = self.read()
        changed = np.moveaxis(values.reshape(weights.shape), 0, self.axis).astype(np.int8)
        scales = (scale * factors).astype(np.float32)
        zeros = np.zeros(len(factors), np.int8)
        parts = (("weights", changed), ("scale", scales), ("zero_point", zeros))
        names = [self.graph.add(array, f"{self.node.name}.{what}") for what, array in parts]
        del self.dequantize.input[:]
        self.dequantize.input.extend(names)
        del self.dequantize.attribute[:]
        self.dequantize.attribute.append(helper.make_attribute("axis", self.axis))

    def add_to_bias(self, change: NDArray[np.float64]) -> None:
        """Add `change` (O,) to the layer's bias; a matrix product without one stays as it is."""
        if self.node.op_type == "MatMul":
            return
        bias: NDArray[Any] | None = np.zeros(len(change), np.float32)
        if len(self.node.input) > 2:
            bias = self.graph.constant(self.node.input[2])
        if bias is None:  # calculated, not stored
            return
        name = self.graph.add((bias + change).astype(np.float32), f"{self.node.name}.bias")
        del self.node.input[2:]
        self.node.input.append(name)


class QdqGraph:
    """A graph whose weights are looked up by the name of their layer, and replaced in place."""

    def __init__(self, model: ModelProto) -> None:
        self._graph = model.graph
        layers = [node for node in model.graph.node if node.op_type in KINDS]
        # OpenVINO calls a layer that gives the network's answer by the answer's name.
        self._nodes = {name: node for node in layers for name in (*node.output, node.name)}
        self._makers = {name: node for node in model.graph.node for name in node.output}
        self._constants = {tensor.name: tensor for tensor in model.graph.initializer}
        self._by_weights: dict[str, list[NodeProto]] = {}
        for node in layers:
            maker = self._makers.get(node.input[1])
            if maker is not None and maker.op_type == "DequantizeLinear":
                self._by_weights.setdefault(maker.input[0], []).append(node)

    def with_weights(self, name: str) -> NodeProto | None:
        """The one layer whose 8-bit weights are the initializer `name`."""
        found = self._by_weights.get(name, [])
        return found[0] if len(found) == 1 else None

    def in_8_bits(self) -> list[NodeProto]:
        """The layers of which both weights and activations come out of a DequantizeLinear node."""
        return [node for nodes in self._by_weights.values() for node in nodes if self._quantized(node.input[0])]

    def _quantized(self, name: str) -> bool:
        for _ in range(_MOST_BETWEEN):
            maker = self._makers.get(name)
            if maker is None or maker.op_type == "DequantizeLinear":
                return maker is not None
            if maker.op_type not in BETWEEN:
                return False
            name = maker.input[0]
        return False

    def stored(self, layer: str, stored_as: str | None = None) -> StoredWeights | None:
        """The 8-bit weights of a layer; None where they are not symmetric, or not stored in this way.

        A layer that is not known by its name (OpenVINO names a layer anew where it folds another into it) is found by
        the initializer that its weights are `stored_as`.
        """
        node = self._nodes.get(layer) or (self.with_weights(stored_as) if stored_as else None)
        maker = self._makers.get(node.input[1]) if node else None
        if node is None or maker is None or maker.op_type != "DequantizeLinear":
            return None
        weights, scale = (self.constant(name) for name in maker.input[:2])
        zero_point = self.constant(maker.input[2]) if len(maker.input) > 2 else np.zeros(1)
        if weights is None or weights.dtype != np.int8 or scale is None or zero_point is None or zero_point.any():
            return None
        return StoredWeights(self, node, maker, _output_axis(node))

    def plain(self, layer: str) -> NDArray[np.float32] | None:
        """A layer's floating-point weights with output channels first; None where it has none of its own."""
        node = self._nodes.get(layer)
        weights = self.constant(node.input[1]) if node else None
        if node is None or weights is None or weights.dtype != np.float32:
            return None
        return np.ascontiguousarray(np.moveaxis(weights, _output_axis(node), 0))

    def replace_weights(self, layer: str, values: NDArray[np.float32]) -> None:
        """Give a layer other floating-point weights, with output channels first."""
        node = self._nodes[layer]
        node.input[1] = self.add(np.moveaxis(values, 0, _output_axis(node)), f"{layer}.weights")

    def replace_bias(self, layer: str, values: NDArray[np.float32]) -> None:
        """Give a layer that has a bias another one."""
        self._nodes[layer].input[2] = self.add(values, f"{layer}.bias")

    def constant(self, name: str) -> NDArray[Any] | None:
        """The values of an initializer."""
        return numpy_helper.to_array(self._constants[name]) if name in self._constants else None

    def add(self, values: NDArray[Any], name: str) -> str:
        """Add or replace an initializer; the answer is its name."""
        tensor = numpy_helper.from_array(np.ascontiguousarray(values), name)
        if name in self._constants:
            self._constants[name].CopyFrom(tensor)
        else:
            self._graph.initializer.append(tensor)
            self._constants[name] = self._graph.initializer[-1]
        return name

    def drop_unused(self) -> None:
        """Take out the initializers that nothing reads any more."""
        used = {name for node in self._graph.node for name in node.input}
        kept = [tensor for tensor in self._graph.initializer if tensor.name in used]
        del self._graph.initializer[:]
        self._graph.initializer.extend(kept)


def _output_axis(node: NodeProto) -> int:
    """Where a layer's weights have their output channels."""
    if node.op_type == "Conv":
        return 0
    transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
    return 0 if transposed else 1
