"""Shapes of all tensors of an ONNX model, without the values of its weights."""

from math import prod
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from pipeline.formats.graph.graph import MOST_ELEMENTS
from pipeline.system.errors import BadModel

_SHAPE_CONSTANT = 1024  # constants up to this many elements may hold a shape: their values stay
_MOST_ROUNDS = 64  # shapes that follow from calculated shapes, one after the other
_GROWING = {"ConstantOfShape", "Expand", "Range", "Tile"}
_SHAPE_STEPS = _GROWING | {"Abs", "Add", "And", "Cast", "Ceil", "Clip", "Concat", "Constant", "Div", "Equal", "Floor"}
_SHAPE_STEPS |= {"Gather", "Greater", "GreaterOrEqual", "Identity", "Less", "LessOrEqual", "Max", "Min", "Mod", "Mul"}
_SHAPE_STEPS |= {"Neg", "Not", "Or", "Pow", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceSum", "Reshape", "Round"}
_SHAPE_STEPS |= {"Shape", "Sign", "Size", "Slice", "Split", "Sqrt", "Squeeze", "Sub", "Transpose", "Unsqueeze", "Where"}
_SHAPE_STEPS |= {"Flatten", "NonZero", "ScatterND"}


def shapes(model: ModelProto, source: str) -> dict[str, tuple[int, ...]]:
    """The fixed shape of every tensor that has one, where the inputs' are fixed.

    What depends on the shapes of tensors only is calculated: the Shape, Slice, Concat and Reshape of PyTorch's
    `flatten(2)`, say.

    Raises:
        InputError: the shapes contradict each other.
    """
    bare = _without_weights(model)
    known = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    for _ in range(_MOST_ROUNDS):
        _fold_constants(bare)
        known |= {tensor.name: tuple(tensor.dims) for tensor in bare.graph.initializer}  # small weights in nodes too
        try:
            graph = onnx.shape_inference.infer_shapes(bare, data_prop=True).graph
        except (onnx.shape_inference.InferenceError, ValueError, RuntimeError) as error:
            raise BadModel(f"{source}: its shapes do not fit: {' '.join(str(error).split())[:200]}") from error
        for value in [*graph.input, *graph.value_info, *graph.output]:
            dims = value.type.tensor_type.shape.dim
            if value.type.tensor_type.HasField("shape") and all(dim.HasField("dim_value") for dim in dims):
                known[value.name] = tuple(dim.dim_value for dim in dims)
        if not _fold_shapes(bare, known):
            break
    return known


def _fold_shapes(model: ModelProto, known: dict[str, tuple[int, ...]]) -> bool:
    """Replace every Shape and Size of a tensor whose shape is known by its value; say whether there was one."""
    found = {}
    for node in model.graph.node:
        if node.op_type in ("Shape", "Size") and node.output and node.input and node.input[0] in known:
            shape = known[node.input[0]]
            if prod(shape) > MOST_ELEMENTS:
                continue  # damage, which is named where the tensor is used
            given = {attribute.name: attribute.i for attribute in node.attribute}
            part = shape[given.get("start", 0) : given.get("end", len(shape))]
            found[node.output[0]] = np.array(part if node.op_type == "Shape" else prod(shape), np.int64)
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in found.items())
    _keep(model, [node for node in model.graph.node if not found.keys() & set(node.output)])
    return bool(found)


def _keep(model: ModelProto, nodes: list[NodeProto]) -> None:
    if len(nodes) == len(model.graph.node):
        return
    kept = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(kept)


def _without_weights(model: ModelProto) -> ModelProto:
    """The model with its large constants declared by shape only; they may be hundreds of MB, or in another file."""
    constants = {tensor.name for tensor in model.graph.initializer}
    # Before version 4 of the format, constants had to be listed as inputs; shape inference knows of no others there.
    bare = ModelProto(ir_version=max(model.ir_version, 4), opset_import=model.opset_import, functions=model.functions)
    bare.graph.name = model.graph.name or "graph"
    bare.graph.node.extend(model.graph.node)
    for node in bare.graph.node:
        if node.op_type in ("DequantizeLinear", "QuantizeLinear"):
            node.domain = ""  # ONNX Runtime's own are of the same shape
    bare.graph.input.extend(value for value in model.graph.input if value.name not in constants)
    for tensor in model.graph.initializer:
        if prod(tensor.dims) <= _SHAPE_CONSTANT and tensor.data_location != TensorProto.EXTERNAL:
            bare.graph.initializer.append(tensor)
        else:
            bare.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    for sparse in model.graph.sparse_initializer:
        values = sparse.values
        bare.graph.input.append(helper.make_tensor_value_info(values.name, values.data_type, sparse.dims))
    return bare


def _fold_constants(model: ModelProto) -> None:
    """Replace calculations on small constants by their results, which shape inference follows only in part.

    The older of PyTorch's exporters computes the widths of a padding that way.
    """
    values = {tensor.name: tensor for tensor in model.graph.initializer}
    kept = []
    for node in model.graph.node:
        results = _calculated(model, node, values) if _is_constant(node, values) else None
        if results is None:
            kept.append(node)
            continue
        for name, tensor in results.items():
            values[name] = model.graph.initializer.add()
            values[name].CopyFrom(tensor)
            values[name].name = name
    _keep(model, kept)


def _is_constant(node: NodeProto, values: dict[str, TensorProto]) -> bool:
    """Whether a node depends on nothing but small constants, and is one that shapes are calculated by."""
    subgraphs = any(attribute.HasField("g") for attribute in node.attribute)
    given = all(name in values for name in node.input if name)
    return given and not subgraphs and not node.domain and node.op_type in _SHAPE_STEPS


def _calculated(model: ModelProto, node: NodeProto, values: dict[str, TensorProto]) -> dict[str, TensorProto] | None:
    """What a node makes of constants; None where that is too large for a shape, or cannot be calculated."""
    if node.op_type == "Constant" and any(prod(item.t.dims) > _SHAPE_CONSTANT for item in node.attribute):
        return None
    given = [values[name] for name in dict.fromkeys(node.input) if name]
    outputs = [name for name in node.output if name]
    try:
        if node.op_type in _GROWING and _grown(node.op_type, [numpy_helper.to_array(item) for item in given]):
            return None
        graph = GraphProto(name="constant", node=[node], initializer=given)
        graph.output.extend(helper.make_empty_tensor_value_info(name) for name in outputs)
        alone = ModelProto(ir_version=model.ir_version, opset_import=model.opset_import, graph=graph)
        results = ReferenceEvaluator(alone).run(outputs, {})
        found = {
            name: numpy_helper.from_array(np.asarray(value), name) for name, value in zip(outputs, results, strict=True)
        }
    except Exception:  # whatever cannot be computed stays unknown; the tensor that needs it is then named
        return None
    return found if all(prod(tensor.dims) <= _SHAPE_CONSTANT for tensor in found.values()) else None


def _grown(op: str, given: list[NDArray[Any]]) -> bool:
    """Whether a node makes more of little than a shape can have: a few numbers in a file may ask for gigabytes."""
    if op == "Range":
        start, limit, step = (float(value) for value in given)
        return (limit - start) / step > _SHAPE_CONSTANT
    sizes = given[0] if op == "ConstantOfShape" else given[1]
    return prod(max(1, int(size)) for size in sizes.ravel()) * (1 if op != "Tile" else given[0].size) > _SHAPE_CONSTANT
