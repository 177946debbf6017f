"""Operators written in simpler ones that older runtimes have, by their definitions in the ONNX standard."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from pipeline.formats.runtimes import Knowledge, opset_of

_AXES_AS_INPUT = 18  # the opset from which ReduceMean and its like take their axes as an input
_SAID_ANEW = {"Pad", "Shape", "Split"}  # which older runtimes have, without what newer opsets added


@dataclass
class _Written:
    """The nodes that stand for one node, and the constants that they need."""

    node: NodeProto
    opset: int
    shapes: Mapping[str, list[int]]  # with 0 for an open dimension
    type: int
    stored: Mapping[str, TensorProto]
    nodes: list[NodeProto] = field(default_factory=list)
    constants: list[TensorProto] = field(default_factory=list)

    def attribute(self, name: str, default: Any) -> Any:
        found = next((item for item in self.node.attribute if item.name == name), None)
        return default if found is None else helper.get_attribute_value(found)

    def constant(self, value: Any, type_: int | None = None) -> str:
        """The name of a constant, of the node's own type where none is given."""
        dtype = helper.tensor_dtype_to_np_dtype(type_ or self.type)
        name = f"{self.node.output[0]}/constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def op(self, op: str, *inputs: str, last: bool = False, **attributes: Any) -> str:
        """The name of what an operator makes; the `last` one makes what the node made."""
        output = self.node.output[0] if last else f"{self.node.output[0]}/{op}_{len(self.nodes)}"
        name = f"{self.node.name or self.node.output[0]}/{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [output], name=name, **attributes))
        return output

    def mean(self, value: str, axes: list[int]) -> str:
        if self.opset < _AXES_AS_INPUT:
            return self.op("ReduceMean", value, axes=axes)
        return self.op("ReduceMean", value, self.constant(axes, TensorProto.INT64))


def decomposed(model: ModelProto, known: Knowledge) -> tuple[ModelProto, dict[str, int]]:
    """The model with the operators written out that a runtime does not have, and how many of each there were.

    A node stays as it is where its second output is wanted, or where the number of dimensions that it needs is open.
    """
    copy = ModelProto()
    copy.CopyFrom(model)
    kinds = _kinds(copy)
    shapes = {name: shape for name, (_, shape) in kinds.items() if shape is not None}
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    counts: dict[str, int] = {}
    nodes: list[NodeProto] = []
    for node in copy.graph.node:
        lacks = bool(known.operators) and (node.op_type not in known.operators or node.op_type in _SAID_ANEW)
        write = _WRITERS.get(node.op_type) if lacks and node.domain in ("", "ai.onnx") else None
        type_ = kinds.get(node.input[0], (0, None))[0] if node.input else 0
        written = _Written(node, opset_of(copy), shapes, type_, stored)
        whole = not any(node.output[1:]) or node.op_type == "Split"
        if write is not None and whole and written.type and write(written):
            nodes += written.nodes
            copy.graph.initializer.extend(written.constants)
            counts[node.op_type] = counts.get(node.op_type, 0) + 1
        else:
            nodes.append(node)
    del copy.graph.node[:]
    copy.graph.node.extend(nodes)
    return copy, counts


def _kinds(model: ModelProto) -> dict[str, tuple[int, list[int] | None]]:
    """The type of every tensor's elements and its dimensions, None where even their number is open."""
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    found: dict[str, tuple[int, list[int] | None]] = {
        tensor.name: (tensor.data_type, list(tensor.dims)) for tensor in graph.initializer
    }
    for value in [*graph.input, *graph.value_info, *graph.output]:
        kind = value.type.tensor_type
        sizes = [dim.dim_value for dim in kind.shape.dim] if kind.HasField("shape") else None
        found[value.name] = kind.elem_type, sizes
    return found


def _hard_swish(to: _Written) -> bool:
    x = to.node.input[0]
    to.op("Mul", x, to.op("HardSigmoid", x, alpha=1 / 6, beta=0.5), last=True)
    return True


def _mish(to: _Written) -> bool:
    x = to.node.input[0]
    to.op("Mul", x, to.op("Tanh", to.op("Softplus", x)), last=True)
    return True


def _gelu(to: _Written) -> bool:
    x = to.node.input[0]
    if to.attribute("approximate", b"none") == b"tanh":
        cube = to.op("Mul", to.op("Mul", to.op("Mul", x, x), x), to.constant(0.044715))
        bent = to.op("Tanh", to.op("Mul", to.op("Add", x, cube), to.constant(math.sqrt(2 / math.pi))))
    else:
        bent = to.op("Erf", to.op("Mul", x, to.constant(math.sqrt(0.5))))
    to.op("Mul", to.op("Mul", x, to.op("Add", bent, to.constant(1))), to.constant(0.5), last=True)
    return True


def _layer_normalization(to: _Written) -> bool:
    x, scale, *bias = to.node.input
    axis = to.attribute("axis", -1)
    if axis >= 0 and x not in to.shapes:
        return False
    axes = list(range(axis - len(to.shapes[x]) if axis >= 0 else axis, 0))
    centred = to.op("Sub", x, to.mean(x, axes))
    variance = to.mean(to.op("Mul", centred, centred), axes)
    deviation = to.op("Sqrt", to.op("Add", variance, to.constant(to.attribute("epsilon", 1e-5))))
    scaled = (to.op("Div", centred, deviation), scale)
    if bias and bias[0]:
        to.op("Add", to.op("Mul", *scaled), bias[0], last=True)
    else:
        to.op("Mul", *scaled, last=True)
    return True


def _group_normalization(to: _Written) -> bool:
    """As the instance normalisation of the groups; from opset 21 on scale and bias are of channels, not of groups."""
    x, scale, bias = to.node.input
    groups, of_channels = to.attribute("num_groups", 0), to.opset >= 21
    if not groups or x not in to.shapes:
        return False
    grouped = to.op("Reshape", x, to.constant([0, groups, -1], TensorProto.INT64))
    ones = (to.constant([1.0] * groups), to.constant([0.0] * groups)) if of_channels else (scale, bias)
    normal = to.op("InstanceNormalization", grouped, *ones, epsilon=to.attribute("epsilon", 1e-5))
    back = to.op("Reshape", normal, to.op("Shape", x), last=not of_channels)
    if of_channels:
        one_each = to.constant([-1] + [1] * (len(to.shapes[x]) - 2), TensorProto.INT64)
        scaled = to.op("Mul", back, to.op("Reshape", scale, one_each))
        to.op("Add", scaled, to.op("Reshape", bias, one_each), last=True)
    return True


def _shape(to: _Written) -> bool:
    """A Shape with a beginning and an end, as the part of a whole one."""
    start, end = to.attribute("start", 0), to.attribute("end", 1 << 31)
    if not to.node.attribute:
        return False
    edges = (to.constant([edge], TensorProto.INT64) for edge in (start, end, 0))
    to.op("Slice", to.op("Shape", to.node.input[0]), *edges, last=True)
    return True


def _split(to: _Written) -> bool:
    """A Split into a number of parts, of which the last may be smaller, with their sizes said."""
    x, axis, parts = to.node.input[0], to.attribute("axis", 0), to.attribute("num_outputs", 0)
    shape = to.shapes.get(x, [])
    if not parts or not -len(shape) <= axis < len(shape) or not shape[axis]:
        return False
    size = -(-shape[axis] // parts)
    sizes = to.constant([size] * (parts - 1) + [shape[axis] - size * (parts - 1)], TensorProto.INT64)
    to.nodes.append(helper.make_node("Split", [x, sizes], to.node.output, name=to.node.name, axis=axis))
    return True


def _pad(to: _Written) -> bool:
    """A Pad of some axes, with pads for all."""
    x, pads, *rest = to.node.input
    if len(rest) < 2 or x not in to.shapes or not {pads, rest[1]} <= to.stored.keys():
        return False
    rank = len(to.shapes[x])
    given, axes = (numpy_helper.to_array(to.stored[name]) for name in (pads, rest[1]))
    both = np.zeros((2, rank), np.int64)
    both[:, axes % rank] = given.reshape(2, -1)
    mode = to.attribute("mode", b"constant").decode()
    to.op("Pad", x, to.constant(both.reshape(-1), TensorProto.INT64), *filter(None, rest[:1]), mode=mode, last=True)
    return True


_WRITERS: dict[str, Callable[[_Written], bool]] = {
    "Gelu": _gelu,
    "GroupNormalization": _group_normalization,
    "HardSwish": _hard_swish,
    "LayerNormalization": _layer_normalization,
    "Mish": _mish,
    "Pad": _pad,
    "Shape": _shape,
    "Split": _split,
}
