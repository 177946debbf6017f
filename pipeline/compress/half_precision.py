"""FP16 weights and activations, on the exported graph, but for the layers that overflow FP16.

First the FP32 network says how large its values and sums get, with a margin for data that is not among the samples.
Then the target's own FP16 arithmetic runs what came of it in emulation, and what overflows even so (where FP16 makes
0 / 0 of a quotient of small numbers, say) is kept in FP32 as well, until nothing overflows.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import onnx
import onnxslim
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

from pipeline.arithmetic.fp16.boundaries import Layer, rewrite, simplified
from pipeline.arithmetic.fp16.reach import Range, measure
from pipeline.arithmetic.kinds import Kind
from pipeline.formats import node_names
from pipeline.processes.host import CORES
from pipeline.processes.samples import Inputs, Samples
from pipeline.system.errors import Refused

LARGEST = float(np.finfo(np.float16).max)
# Other images exceed what the samples reach: in EfficientNet-Lite0 on ImageNet, 128 images reach up to 2.8 times what
# 32 others do, in 19 tensors of 20 less than 1.3 times. A layer kept for nothing costs a little time on the device (in
# that network none comes near: 97 is its largest value), one that overflows costs the answer.
MARGIN = 4.0
BATCH = 4


def to_half_precision(graph: onnx.ModelProto, samples: Samples, kinds: Sequence[Kind]) -> onnx.ModelProto:
    """The FP32 graph with its tensors in FP16, but for input and output and the layers that overflow on `samples`.

    They overflow in the FP16 arithmetic of any of `kinds`: those of the targets that it is for.

    Between two layers kept in FP32 values stay FP32. Nodes get names where they have none, or not one of their own.

    Raises:
        InputError: the graph cannot be emulated, its answers are not finite, or nothing of it fits FP16.
    """
    named = onnx.ModelProto()
    named.CopyFrom(graph)
    node_names.complete(named)
    single = simplified(named)
    kept = _too_large(single, rewrite(single).layers, measure(single, _batches(single, samples)))
    while True:
        if kept.issuperset(node.name for node in single.graph.node):
            raise Refused("every layer overflows FP16 on the calibration samples: use FP32")
        half = _convert(single, kept)
        overflowing = set().union(*(_first_overflow(half, samples, kind) for kind in kinds)) & {
            node.name for node in single.graph.node
        }
        if overflowing <= kept:
            return half
        kept |= overflowing


def _too_large(graph: onnx.ModelProto, layers: list[Layer], reached: Range) -> set[str]:
    """Names of nodes that read or write what FP16 does not hold, and of those in one layer with them."""
    tensors = {name for name, value in reached.values.items() if value * MARGIN > LARGEST}
    tensors |= {tensor.name for tensor in graph.graph.initializer if _weights_beyond(tensor)}
    sums = {name for name, value in reached.sums.items() if value * MARGIN > LARGEST}
    kept = {
        node.name
        for node in graph.graph.node
        if tensors.intersection([*node.input, *node.output]) or sums.intersection(node.output)
    }
    return kept.union(*(layer.nodes for layer in layers if kept.intersection(layer.nodes)))


def _weights_beyond(tensor: TensorProto) -> bool:
    """Whether a constant does not fit; the converter would make 65504 of it without a word."""
    return tensor.data_type == TensorProto.FLOAT and bool(
        np.abs(numpy_helper.to_array(tensor)).max(initial=0.0) > LARGEST
    )


def _first_overflow(half: onnx.ModelProto, samples: Samples, kind: Kind) -> set[str]:
    """Names of the nodes of the first layer that overflows in emulation, and of those next to it.

    Layers behind it may overflow because of it. Sums are in FP32 here: those in FP16 were bounded for any order before.

    Raises:
        InputError: no layer overflows, and yet an answer is infinite or not a number.
    """
    engine = kind.fp16_engine(half, CORES)
    for batch in _batches(half, samples):
        answers = engine.infer(batch)
        for layer, facts in zip(engine.layers, engine.facts()["layers"], strict=True):
            if facts["overflow"]:
                return _with_neighbours(half, set(layer.nodes))
        if not np.isfinite(answers).all():
            raise Refused("answers are infinite or not numbers, whichever layers are kept in FP32")
    return set()


def _with_neighbours(graph: onnx.ModelProto, names: set[str]) -> set[str]:
    """Names of these nodes and of all that write or read the same tensors."""
    shared = {name for node in graph.graph.node if node.name in names for name in (*node.input, *node.output) if name}
    shared -= {tensor.name for tensor in graph.graph.initializer}
    return {node.name for node in graph.graph.node if shared.intersection([*node.input, *node.output])}


def _convert(graph: onnx.ModelProto, kept: set[str]) -> onnx.ModelProto:
    half = OnnxModel(convert_float_to_float16(graph, keep_io_types=True, node_block_list=sorted(kept)))
    # What a kept layer writes, the converter casts to FP16, and back for the next kept one: that would overflow.
    makers = half.output_name_to_node()
    for node in half.nodes():
        maker = makers.get(node.input[0]) if _casts(node, TensorProto.FLOAT) else None
        if maker is not None and _casts(maker, TensorProto.FLOAT16):
            node.input[0] = maker.input[0]
    half.topological_sort()
    slimmed: onnx.ModelProto = onnxslim.slim(half.model)  # without the casts that do nothing now
    return slimmed


def _casts(node: onnx.NodeProto, to: int) -> bool:
    return node.op_type == "Cast" and any(
        attribute.name == "to" and helper.get_attribute_value(attribute) == to for attribute in node.attribute
    )


def _batches(graph: onnx.ModelProto, samples: Samples) -> Iterator[Inputs]:
    """All samples; a model of fixed batch size gets some of the last batch twice."""
    constants = {tensor.name for tensor in graph.graph.initializer}
    source = next(value for value in graph.graph.input if value.name not in constants)
    fixed = source.type.tensor_type.shape.dim[0].dim_value
    for batch in samples.batches(fixed or BATCH):
        yield np.resize(batch, (fixed or len(batch), *batch.shape[1:]))
