"""Small quantized ONNX graphs, layer after layer, in all the ways in which people quantize."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from tests.graphs import Array, random


@dataclass
class Quantized:
    """A graph under construction. Each step takes a tensor's name and answers that of its result."""

    channels: int = 8
    nodes: list[NodeProto] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)

    def add(self, op: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        name = f"{op}{len(self.nodes)}"
        made = helper.make_node(op, list(inputs), [f"{name}.out"], f"{name}.node", domain=domain, **attributes)
        self.nodes.append(made)
        return f"{name}.out"

    def constant(self, values: Any) -> str:
        name = f"constant{len(self.constants)}"
        self.constants[name] = np.asarray(values)
        return name

    def activation(self, x: str, kind: type = np.uint8, zero: int = 100, scale: Any = 0.05) -> str:
        """Quantized and turned back."""
        parts = [self.constant(np.float32(scale)), self.constant(np.full(np.shape(scale), zero, kind))]
        axis: dict[str, Any] = {"axis": 1} if np.ndim(scale) else {}
        return self.add("DequantizeLinear", self.add("QuantizeLinear", x, *parts, **axis), *parts, **axis)

    def weights(self, *shape: int, kind: type = np.int8, zero: int = 0, axis: int | None = 0, most: int = 127) -> str:
        """Dequantized weights with a scale for each slice of `axis`, or one for all."""
        plain = random(len(self.constants), *shape)
        others = tuple(index for index in range(len(shape)) if index != axis)
        scale = np.abs(plain).max(others if axis is not None else None, keepdims=True) / most
        info = np.iinfo(kind)
        stored = np.clip(np.rint(plain / scale) + zero, info.min, info.max).astype(kind)
        per_slice = scale.ravel() if axis is not None else scale.reshape(())
        parts = [
            self.constant(stored), self.constant(per_slice.astype(np.float32)),
            self.constant(np.full(per_slice.shape, zero, kind)),
        ]  # fmt: skip
        return self.add("DequantizeLinear", *parts, **({} if axis is None else {"axis": axis}))

    def convolution(self, x: str, weights: str, **attributes: Any) -> str:
        return self.add("Conv", x, weights, pads=[1] * 4, **attributes)

    def normalised(self, x: str) -> str:
        """Behind a batch normalisation."""
        moments = [np.abs(random(seed, self.channels)) + np.float32(0.5) for seed in range(4)]
        return self.add("BatchNormalization", x, *map(self.constant, moments))

    def model(self, last: str, batch: int | str = "N", opset: int = 13, size: int = 8) -> onnx.ModelProto:
        shape = [batch, self.channels, size, size]
        nodes = [*self.nodes, helper.make_node("Identity", [last], ["answer"], "identity")]
        graph = helper.make_graph(
            nodes, "quantized", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info("answer", TensorProto.FLOAT, None)],
            [numpy_helper.from_array(values, name) for name, values in self.constants.items()],
        )  # fmt: skip
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
        return onnx.shape_inference.infer_shapes(made)

    def save(self, path: Path, last: str, **facts: Any) -> Path:
        onnx.save(self.model(last, **facts), path)
        return path


def convolutions(path: Path, channels: int = 8, **weights: Any) -> Path:
    """Two quantized convolutions and a quantized matrix product, with such weights."""
    graph = Quantized(channels)
    x = "x"
    for _ in range(2):
        values = graph.activation(x)
        x = graph.add("Relu", graph.convolution(values, graph.weights(channels, channels, 3, 3, **weights)))
    pooled = graph.add("Flatten", graph.add("GlobalAveragePool", x))
    product = graph.add("Gemm", graph.activation(pooled), graph.weights(10, channels, **weights), transB=1)
    return graph.save(path, product, size=16)
