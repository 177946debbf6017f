"""A file rewritten so that a target's runtime reads it, held against the original before anybody gets it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnx.inliner
from onnx import ModelProto, NodeProto, numpy_helper

from pipeline.formats.decompose import decomposed
from pipeline.formats.folding import slim
from pipeline.formats.runtimes import Knowledge, knowledge, opset_of, read_by, words
from pipeline.formats.subgraphs import with_subgraphs
from pipeline.system.errors import BadModel, Refused, reason

TOLERANCE = 1e-4  # of the largest output, between the original and what was made of it
_RUNS = 3  # of random inputs
_BATCH = 2  # of a model that leaves it open
_TARGET_OPSETS = (13, 17)  # 18 moved axes from attributes to inputs, which older runtimes do not look at
# Attributes that came after opset 13 and say nothing new while they are 0.
_NEW_AND_IDLE = {"BatchNormalization": ("training_mode",), "Reshape": ("allowzero",), "Resize": ("antialias",)}
_NEW_AND_IDLE |= {"Shape": ("start",)}


@dataclass(frozen=True)
class Remedied:
    """A model that a runtime reads, what was done to it, and how far its outputs are off, of the largest one."""

    model: ModelProto
    changes: list[str]
    difference: float


def remedied(model: ModelProto, name: str, version: str, sample_shape: Sequence[int]) -> Remedied:
    """Rewrite `model`, whose weights are loaded, for the runtime `name`, and run both to compare them.

    Functions are written out and operators in simpler ones, constants folded, normalisations merged into convolutions,
    the opset lowered, and open dimensions of the input but the batch set to `sample_shape`.

    Raises:
        Refused: nothing is known of the runtime, it would not read the outcome, or the outcome calculates something
            else.
        BadModel: the model cannot be run here.
    """
    known = knowledge(name, version)
    if known is None:
        raise Refused(f"what {name} {version} reads is not known here, so nothing can be rewritten for it")
    closed, sizes = _closed(model, sample_shape)
    whole = onnx.inliner.inline_local_functions(closed) if closed.functions else closed
    whole, sparse = _dense(whole)
    simple, counts = decomposed(whole, known)
    changes = sizes + sparse + [f"{count} {op} written in simpler operators" for op, count in counts.items()]
    try:
        slimmed = slim(simple)
    except Exception as error:  # onnxslim's exception types share no base
        raise Refused(f"the graph cannot be simplified: {' '.join(str(error).split())[:200]}") from error
    result = onnx.shape_inference.infer_shapes(lowered(slimmed, known))
    if opset_of(result) != opset_of(model):
        changes.append(f"opset {opset_of(model)} lowered to {opset_of(result)}")
    if known.newest_ir_version and result.ir_version > known.newest_ir_version:
        result.ir_version = known.newest_ir_version
    reading = read_by(result, name, version)
    if reading.unreadable:
        why = "; ".join([*words(reading, known.title), *reading.notes])
        raise Refused(f"it cannot be rewritten for {name} {version}: {why}")
    difference = _difference(closed, result, sample_shape)
    if not difference <= TOLERANCE:
        raise Refused(f"rewritten for {name} {version} it calculates something else ({difference:.1e} apart)")
    return Remedied(result, changes, difference)


def _closed(model: ModelProto, sample_shape: Sequence[int]) -> tuple[ModelProto, list[str]]:
    """The model with the open dimensions of its input set, and what was set."""
    copy = ModelProto()
    copy.CopyFrom(model)
    dims = _source(copy).type.tensor_type.shape.dim
    before = [dim.dim_value for dim in dims[1:]]
    for dim, size in zip(dims[1:], sample_shape, strict=True):
        dim.dim_value = size
    if before == list(sample_shape):
        return copy, []
    del copy.graph.value_info[:]
    for value in copy.graph.output:
        value.type.tensor_type.ClearField("shape")  # it may name the dimensions that are set now
    return copy, [f"input fixed to {'x'.join(map(str, sample_shape))}"]


def _dense(model: ModelProto) -> tuple[ModelProto, list[str]]:
    """The model with its sparse weights written out, and what was written."""
    copy = ModelProto()
    copy.CopyFrom(model)
    for tensor in copy.graph.sparse_initializer:
        values, places = numpy_helper.to_array(tensor.values), numpy_helper.to_array(tensor.indices)
        dense = np.zeros(list(tensor.dims), values.dtype)
        if places.ndim == 1:  # else it has a row of coordinates for each value
            dense.reshape(-1)[places] = values
        else:
            dense[tuple(places.T)] = values
        copy.graph.initializer.append(numpy_helper.from_array(dense, tensor.values.name))
    count = len(copy.graph.sparse_initializer)
    del copy.graph.sparse_initializer[:]
    return copy, [f"{count} sparse weights written out"] if count else []


def _source(model: ModelProto) -> onnx.ValueInfoProto:
    constants = {tensor.name for tensor in model.graph.initializer}
    source: onnx.ValueInfoProto = next(value for value in model.graph.input if value.name not in constants)
    return source


def lowered(model: ModelProto, known: Knowledge) -> ModelProto:
    """The model in the oldest opset that says the same, where it has a newer one than the runtime was made for.

    onnx.version_converter knows no way down for as common an operator as Relu. Most definitions changed by the types
    that they allow only, so the number is lowered and ONNX's own checker says whether every node is still valid; that
    it calculates the same is found out by running it.
    """
    limit = known.newest_opset or known.opset
    if limit is not None:
        nodes = (node for graph in with_subgraphs([model.graph]) for node in graph.node)
        limit = min([limit, *(known.newest_of.get(node.op_type, limit) for node in nodes)])
    if limit is None or opset_of(model) <= limit:
        return model
    for opset in sorted({limit, *(target for target in _TARGET_OPSETS if target >= limit)}):
        if opset >= opset_of(model):
            break
        lower = ModelProto()
        lower.CopyFrom(model)
        for entry in lower.opset_import:
            if entry.domain in ("", "ai.onnx"):
                entry.version = opset
        if opset < 18:
            _older_words(lower)
        try:
            onnx.checker.check_model(lower, full_check=True)
        except Exception:  # whatever the checker has against it, the next opset is tried
            continue
        return lower
    return model


def _older_words(model: ModelProto) -> None:
    """Nodes as they were written before opset 18; ReduceSum takes its axes as an input since 13."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type.startswith("Reduce") and node.op_type != "ReduceSum" and len(node.input) > 1:
            axes = constants.get(node.input[1])
            if axes is not None:
                del node.input[1:]
                node.attribute.append(onnx.helper.make_attribute("axes", numpy_helper.to_array(axes).tolist()))
            _without(node, "noop_with_empty_axes", 0)
        elif node.op_type == "Split":
            _without(node, "num_outputs", len(node.output))
        for name in _NEW_AND_IDLE.get(node.op_type, ()):
            _without(node, name, 0)


def _without(node: NodeProto, name: str, value: int) -> None:
    """Take an attribute away that says what is so anyway."""
    kept = [item for item in node.attribute if item.name != name or item.i != value]
    del node.attribute[:]
    node.attribute.extend(kept)


def _difference(original: ModelProto, rewritten: ModelProto, sample_shape: Sequence[int]) -> float:
    """The largest difference of any output over random inputs, of the largest output there; both run here."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        sessions = [
            onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
            for model in (original, rewritten)
        ]
        source = _source(original)
        batch = source.type.tensor_type.shape.dim[0].dim_value or _BATCH
        dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(source.type.tensor_type.elem_type))
        worst = 0.0
        for seed in range(_RUNS):
            random, shape = np.random.default_rng(seed), (batch, *sample_shape)
            inputs = random.integers(0, 256, shape) if dtype.kind in "iu" else random.standard_normal(shape)
            before, after = (session.run(None, {source.name: inputs.astype(dtype)}) for session in sessions)
            for expected, found in zip(before, after, strict=True):
                if expected.shape != found.shape:
                    return float("inf")
                expected, found = expected.astype(np.float64), found.astype(np.float64)
                largest = max(float(np.abs(expected).max(initial=0.0)), 1e-30)
                worst = float(np.maximum(worst, np.abs(expected - found).max(initial=0.0) / largest))
        return worst
    except Exception as error:  # ONNX Runtime's exception types share no base
        raise BadModel(f"it cannot be run here to compare it{reason(error)}") from error
