"""An ONNX file as a graph, without the values of its weights."""

from collections.abc import Sequence
from pathlib import Path

import onnx
from onnx import ModelProto, TensorProto, numpy_helper

from pipeline.formats.graph.graph import Graph, closed
from pipeline.formats.graph.shapes import shapes
from pipeline.formats.onnx_file import parsed
from pipeline.system.errors import BadModel


def read_onnx(path: Path, sample_shape: Sequence[int] | None = None) -> Graph:
    """Read an ONNX file; `sample_shape` are the dimensions of one image where it leaves them open.

    Raises:
        InputError: the file is missing, is not ONNX, is cut short, lacks its external data, or see `graph_of`.
    """
    if not path.is_file():
        raise BadModel(f"{path}: no such file")
    try:
        model = parsed(path, weights=False)
    except Exception as error:  # protobuf, ONNX and the file system each raise their own kind
        raise BadModel(f"{path}: not an ONNX file, or cut short") from error
    if not model.graph.node or not model.graph.input:
        raise BadModel(f"{path}: not an ONNX file, or a network without layers")
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location" and not (path.parent / entry.value).is_file():
                raise BadModel(f"{path}: its weights file {entry.value!r} is missing; keep both in one folder")
    return graph_of(model, str(path), sample_shape)


def graph_of(model: ModelProto, source: str, sample_shape: Sequence[int] | None = None) -> Graph:
    """Check `model`, which `source` names in error messages, and close its open dimensions: the batch is set to 1.

    Raises:
        InputError: a shape other than the batch is not fixed, or shapes contradict each other.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = {}
    for value in model.graph.input:
        if value.name not in constants:
            dims = value.type.tensor_type.shape.dim
            sizes = [dim.dim_value or dim.dim_param for dim in dims]
            inputs[value.name] = closed(source, value.name, sizes, sample_shape)
            for dim, size in zip(dims, inputs[value.name], strict=True):
                dim.dim_value = size
    half = {tensor.name for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT16}
    return Graph(source, model.graph.node, inputs, shapes(model, source), half, _unfit(model))


def _unfit(model: ModelProto) -> set[str]:
    """Dequantized tensors that no 8-bit kernel takes as they are stored; see `Graph`."""
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    found = set()
    for node in model.graph.node:
        if node.op_type != "DequantizeLinear":
            continue
        weights = stored.get(node.input[0])
        zero = stored.get(node.input[2]) if len(node.input) > 2 else None
        symmetric = zero is None or not numpy_helper.to_array(zero).any()
        if weights is not None:
            fits = weights.data_type == TensorProto.INT8 and symmetric
        else:
            fits = zero is None or zero.data_type in (TensorProto.INT8, TensorProto.UINT8)
        if not fits:
            found.add(node.output[0])
    return found
