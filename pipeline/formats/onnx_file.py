"""ONNX files: read, checked, and described without a runtime."""

import math
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath

import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, numpy_helper

from pipeline.formats.contents import ENDINGS, PASSING, Contents, Shape, Tensor, precision_of
from pipeline.formats.stored import Stored, check_finite, check_stored
from pipeline.formats.subgraphs import put_in_order, with_subgraphs
from pipeline.system.errors import BadModel

# The newest opset that every runtime here reads: TensorRT 8.2 (JetPack 4.6) stops short of later ones, and INT8
# with a scale per channel needs 13. PyTorch's newer exporter starts at 18, hence the TorchScript one.
OPSET = 13
MOST_BYTES = 2 << 30  # of one protobuf message
FED_FROM_FLOAT = ("FLOAT", "FLOAT16", "DOUBLE")
FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)
# What ONNX's check ends at and runtimes do not: GroupNormalization as opset 18 had it, which was withdrawn; an output
# that does not say its shape; nodes in another order than they are calculated in.
WITHDRAWN = "is deprecated in domain_version"
NOT_MINDED = (WITHDRAWN, "Field 'shape' of 'type' is required", "must be topologically sorted")
# QuantizeLinear, QLinearConv, ConvInteger, QGemm and the like: operators that only quantized graphs have.
QUANTIZED = re.compile("[Qq]uantize|Integer|^Q[A-Z]")


def input_size(model: ModelProto) -> int:
    """Pixels, width = height, of the regions that a candidate's model takes."""
    return int(model.graph.input[0].type.tensor_type.shape.dim[2].dim_value)


def parsed(path: Path | str, *, weights: bool = True) -> ModelProto:
    """An ONNX file with its nodes in order; without `weights`, those that it keeps in other files are not read."""
    model = onnx.load(path, load_external_data=weights)
    put_in_order(model.graph)
    return model


def load_onnx(path: Path) -> ModelProto:
    """Read and check an ONNX file. Weights that it keeps in other files are checked too, but not loaded.

    Raises:
        InputError: it is missing, empty, truncated or no valid model, or its weights are missing, outside its folder
            or no numbers.
    """
    if not path.is_file():
        raise BadModel(f"{path}: no such file")
    size = path.stat().st_size
    if not 0 < size < MOST_BYTES:
        fault = "is empty; export it again" if not size else "is over 2 GiB; keep its weights in files beside it"
        raise BadModel(f"{path}: {fault}")
    try:
        model = parsed(path, weights=False)
    except Exception as error:  # protobuf's exception types share no base
        raise _invalid(path, error) from error
    # Before onnx's own check, which would not say what to do about weights that are missing.
    unused = _unused(model)
    external = [weights for weights in _weights(model) if _is_external(weights)]
    check_stored(path, [_stored(path, weights, used=weights.name not in unused) for weights in external])
    try:
        onnx.checker.check_model(path)
    except Exception as error:  # nor do onnx's own
        if not any(words in str(error) for words in NOT_MINDED):
            raise _invalid(path, error) from error
        _check_the_rest(path, model)
    for weights in _weights(model):
        if weights.data_type in FLOATS and not _is_external(weights) and weights.name not in unused:
            try:
                values = numpy_helper.to_array(weights)
            except (TypeError, ValueError) as error:
                raise _invalid(path, error) from error
            check_finite(path, _text(weights.name), values)
    return model


def _check_the_rest(path: Path, model: ModelProto) -> None:
    """Check a model, whose nodes are in order by now, as if its inputs and outputs said their shape."""
    bare = ModelProto()
    bare.CopyFrom(model)
    for value in (*bare.graph.input, *bare.graph.output):
        if value.type.HasField("tensor_type"):
            value.type.tensor_type.shape.SetInParent()
    for tensor in _weights(bare):
        if _is_external(tensor):  # of which ONNX would need to know the folder; they were looked at before
            tensor.CopyFrom(TensorProto(name=tensor.name, data_type=tensor.data_type, dims=[0]))
    try:
        onnx.checker.check_model(bare)
    except Exception as error:
        if WITHDRAWN not in str(error):
            raise _invalid(path, error) from error


def read(path: Path) -> Contents:
    """What an ONNX file holds.

    Raises:
        InputError: see `load_onnx`.
    """
    model = load_onnx(path)
    weights = list(_weights(model))
    graphs = with_subgraphs([model.graph, *model.functions])
    quantized = any(QUANTIZED.search(_text(node.op_type)) for graph in graphs for node in graph.node)
    constants = {tensor.name for tensor in model.graph.initializer}
    constants |= {tensor.values.name for tensor in model.graph.sparse_initializer}
    return Contents(
        # Old files list their weights as inputs too.
        inputs=[_tensor(value) for value in model.graph.input if value.name not in constants],
        outputs=_outputs(model),
        precision=precision_of(
            quantized, half=_count(weights, TensorProto.FLOAT16), single=_count(weights, TensorProto.FLOAT)
        ),
        files=[path, *sorted({_stored(path, tensor).file for tensor in weights if _is_external(tensor)})],
    )


def _weights(model: ModelProto) -> Iterator[TensorProto]:
    """Every tensor that is stored in a model, as an initializer or in a node."""
    for graph in with_subgraphs([model.graph, *model.functions]):
        if isinstance(graph, GraphProto):
            yield from graph.initializer
            yield from (tensor.values for tensor in graph.sparse_initializer)
        for node in graph.node:
            for attribute in node.attribute:
                yield from attribute.tensors
                if attribute.HasField("t"):
                    yield attribute.t


def _count(weights: Iterable[TensorProto], data_type: int) -> int:
    return sum(math.prod(tensor.dims) for tensor in weights if tensor.data_type == data_type)


def _is_external(weights: TensorProto) -> bool:
    return weights.data_location == TensorProto.EXTERNAL


def _unused(model: ModelProto) -> set[str]:
    """The weights that no node reads and that do not come out: what training left behind in a file hurts nobody."""
    graphs = list(with_subgraphs([model.graph, *model.functions]))
    kept, read = set(), {name for graph in graphs for node in graph.node for name in node.input}
    for graph in graphs:
        if isinstance(graph, GraphProto):
            kept |= {tensor.name for tensor in graph.initializer}
            kept |= {tensor.values.name for tensor in graph.sparse_initializer}
            read |= {value.name for value in graph.output}
    return kept - read


def _stored(model: Path, weights: TensorProto, *, used: bool = True) -> Stored:
    place = {_text(entry.key): _text(entry.value) for entry in weights.external_data}
    location = place.get("location", "")
    parts = PurePosixPath(location)
    if not location.isprintable() or parts.is_absolute() or ".." in parts.parts:
        fault = f"the weights {_text(weights.name)!r} are in {location!r}, which is outside its folder"
        raise BadModel(f"{model}: {fault}; export it with its weights beside it")
    dtype = onnx.helper.tensor_dtype_to_np_dtype(weights.data_type) if weights.data_type in FLOATS else None
    shape = tuple(weights.dims)
    try:
        offset = int(place.get("offset", 0))
        size = int(place["length"]) if "length" in place else math.prod(shape) * (dtype.itemsize if dtype else 0)
    except ValueError as error:
        raise _invalid(model, error) from error
    return Stored(_text(weights.name), model.parent / location, offset, size, shape, dtype if used else None)


def _tensor(value: ValueInfoProto) -> Tensor:
    kind = value.type.tensor_type
    name = next((name for name, number in TensorProto.DataType.items() if number == kind.elem_type), "no tensor")
    return Tensor(_text(value.name), "float32" if name in FED_FROM_FLOAT else name.lower(), _shape(value))


def _outputs(model: ModelProto) -> list[Tensor]:
    values = {value.name: value for value in model.graph.output}
    shapes = [_shape(value) for value in values.values()]
    # Which of several outputs is meant may show in what it is wide, so that has to be known.
    if None in shapes or (len(values) > 1 and any(None in (shape or ())[1:] for shape in shapes)):
        with suppress(Exception):  # onnx's own exception types share no base; then it stays open
            values |= {value.name: value for value in onnx.shape_inference.infer_shapes(model).graph.output}
    writers = {name: node for node in model.graph.node for name in node.output}
    tensors = [_tensor(values[value.name]) for value in model.graph.output]
    return [replace(tensor, ending=_ending(tensor.name, writers)) for tensor in tensors]


def _ending(name: str, writers: dict[str, NodeProto]) -> str:
    """The operator that a tensor's values come from, if it is one of `ENDINGS`."""
    for _ in writers:  # not for ever: a damaged graph may be a circle
        node = writers.get(name)
        if node is None or not node.input:
            return ""
        kind = _text(node.op_type).removeprefix("QLinear")
        if kind == "TopK":
            return "ArgMax" if name in node.output[1:] else ""
        if kind not in PASSING:
            return kind if kind in ENDINGS else ""
        name = node.input[0]
    return ""


def _shape(value: ValueInfoProto) -> Shape | None:
    if not value.type.tensor_type.HasField("shape"):
        return None
    # A free dimension has a name or nothing; some exporters write 0 or -1.
    return tuple(dim.dim_value if dim.dim_value > 0 else None for dim in value.type.tensor_type.shape.dim)


def _text(value: str | bytes) -> str:
    """A string of a damaged file, which protobuf leaves as bytes where it is no UTF-8."""
    return value if isinstance(value, str) else value.decode(errors="replace")


def _invalid(path: Path, error: Exception) -> BadModel:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return BadModel(f"{path}: not a valid ONNX model ({reason}); export it again")
