"""Shapes of all tensors of an ONNX model, without the values of its weights."""

from collections.abc import Iterator
from math import prod

import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from pipeline.system.errors import BadModel

_SHAPE_CONSTANT = 1024  # constants up to this many elements may hold a shape: their values stay
_WEIGHT_STEPS = {"QuantizeLinear", "DequantizeLinear"}  # never part of a shape's calculation


def shapes(model: ModelProto, source: str) -> dict[str, tuple[int, ...]]:
    """The fixed shape of every tensor that has one.

    Raises:
        InputError: the shapes contradict each other.
    """
    bare = _without_weights(model)
    _fold_constants(bare)
    try:
        graph = onnx.shape_inference.infer_shapes(bare, data_prop=True).graph
    except (onnx.shape_inference.InferenceError, ValueError, RuntimeError) as error:
        raise BadModel(f"{source}: its shapes do not fit: {' '.join(str(error).split())[:200]}") from error
    known = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    for value in [*graph.input, *graph.value_info]:
        dims = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and all(dim.HasField("dim_value") for dim in dims):
            known[value.name] = tuple(dim.dim_value for dim in dims)
    return known


def _without_weights(model: ModelProto) -> ModelProto:
    """The model with its large constants declared by shape only; they may be hundreds of MB, or in another file."""
    constants = {tensor.name for tensor in model.graph.initializer}
    bare = ModelProto(ir_version=model.ir_version, opset_import=model.opset_import, functions=model.functions)
    bare.graph.name = model.graph.name or "graph"
    bare.graph.node.extend(model.graph.node)
    bare.graph.input.extend(value for value in model.graph.input if value.name not in constants)
    for tensor in model.graph.initializer:
        if prod(tensor.dims) <= _SHAPE_CONSTANT and tensor.data_location != TensorProto.EXTERNAL:
            bare.graph.initializer.append(tensor)
        else:
            bare.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    return bare


def _fold_constants(model: ModelProto) -> None:
    """Replace calculations on small constants by their results, which shape inference follows only in part.

    The older of PyTorch's exporters computes the widths of a padding that way.
    """
    chain = list(_constant_nodes(model.graph))
    wanted = [name for node in chain if node.op_type != "Constant" for name in node.output if name]
    if not wanted:
        return
    read = {name for node in chain for name in node.input}
    given = [tensor for tensor in model.graph.initializer if tensor.name in read]
    graph = GraphProto(name="constants", node=chain, initializer=given)
    graph.output.extend(helper.make_empty_tensor_value_info(name) for name in wanted)
    try:
        values = ReferenceEvaluator(
            ModelProto(ir_version=model.ir_version, opset_import=model.opset_import, graph=graph)
        ).run(wanted, {})
    except Exception:  # whatever cannot be computed stays unknown; the tensor that needs it is then named
        return
    model.graph.initializer.extend(
        numpy_helper.from_array(value, name) for name, value in zip(wanted, values, strict=True)
    )
    kept = [node for node in model.graph.node if not set(node.output) & set(wanted)]
    del model.graph.node[:]
    model.graph.node.extend(kept)


def _constant_nodes(graph: GraphProto) -> Iterator[NodeProto]:
    """Nodes that depend on nothing but small constants."""
    constants = {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        subgraphs = any(attribute.HasField("g") for attribute in node.attribute)
        given = all(name in constants for name in node.input if name)
        if given and not subgraphs and not node.op_type.startswith("Random") and node.op_type not in _WEIGHT_STEPS:
            constants.update(node.output)
            yield node
