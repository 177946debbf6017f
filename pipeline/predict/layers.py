"""A graph as the list of layers that a runtime executes: what is fused into a neighbour is no layer of its own."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from math import prod
from typing import Literal

from onnx import NodeProto

from pipeline.formats.graph.graph import Graph
from pipeline.predict.eight_bits import in_8_bits
from pipeline.system.errors import Unpredictable

Kind = Literal["pointwise", "spatial", "grouped", "depthwise", "gemm", "pool", "elementwise", "copy"]

_CONVOLUTIONS = {"Conv", "ConvTranspose"}
_MULTIPLYING = _CONVOLUTIONS | {"Gemm", "MatMul"}
_COPIES = {"Transpose", "Resize", "Upsample", "Slice", "Gather", "Expand", "Tile"}
_COPIES |= {"DepthToSpace", "SpaceToDepth"}
_IN_PLACE = {"Concat", "Split", "Pad"}  # neighbours write into, or read from, the shared or padded buffer
_UNFUSED = {"Softmax", "LogSoftmax", "LRN", "LayerNormalization", "InstanceNormalization", "GroupNormalization"}
_POOLS = {"MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "ReduceMean", "ReduceMax", "ReduceSum"}
_REFUSED = {"If", "Loop", "Scan", "LSTM", "GRU", "RNN", "Einsum", "NonMaxSuppression", "DeformConv", "Attention"}
_REFUSED |= {"QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger"}
_MOST_USERS = 8  # of a tensor that counts as having one reader: an activation and its gate are two


@dataclass(frozen=True)
class Layer:
    """One executed layer. Sizes are counts of elements for one image; `depth` is the length of one dot product."""

    name: str
    kind: Kind
    macs: int
    weights: int
    inputs: int
    outputs: int
    depth: int
    channels: int
    fp32: bool = False  # although the rest of the network has fewer bits


def layers_of(graph: Graph, floating: Collection[str] | None = None) -> list[Layer]:
    """The layers of `graph` in execution order.

    `floating` are the names of those that a run was seen to calculate in floating point. Without a run, quantized
    layers are in 8 bits where `in_8_bits` says so.

    Raises:
        InputError: it has an operator without a cost model, or no layers.
    """
    layers: list[Layer] = []
    owner: dict[str, int] = {}  # which layer writes a tensor
    for node in graph.nodes:
        if node.op_type in _REFUSED:
            raise Unpredictable(f"{graph.source}: {node.op_type} layers are not predicted (node {node.name!r})")
        if node.domain not in ("", "ai.onnx"):
            operator = f"{node.domain}.{node.op_type}"
            raise Unpredictable(f"{graph.source}: {operator} is no operator of ONNX and not predicted ({node.name!r})")
        if node.op_type in _MULTIPLYING and len(node.input) < 2:
            raise Unpredictable(f"{graph.source}: the layer {node.name!r} has no weights; export it again")
        index = _fused_into(graph, node, layers, owner)
        if index is not None:
            foreign = [name for name in graph.data_inputs(node) if owner.get(name) != index]
            layers[index] = replace(layers[index], inputs=layers[index].inputs + _total(graph, foreign))
        elif node.op_type not in _IN_PLACE:
            index = len(layers)
            layers.append(_layer(graph, node, floating))
        if index is not None:
            owner.update(dict.fromkeys(node.output, index))
    if not layers:
        raise Unpredictable(f"{graph.source}: has no layers that take time")
    return layers


def _fused_into(graph: Graph, node: NodeProto, layers: list[Layer], owner: dict[str, int]) -> int | None:
    """The layer that applies this element-wise node to its result before writing it, if any."""
    if _kind(graph, node) != "elementwise" or node.op_type in _UNFUSED:
        return None
    candidates = [
        owner[name]
        for name in graph.data_inputs(node)
        if name in owner and graph.size(name) == graph.size(node.output[0]) and _only_user(graph, name, node)
    ]
    candidates = [index for index in candidates if layers[index].kind not in {"pool", "copy"}]
    return max(candidates, default=None)


def _only_user(graph: Graph, name: str, node: NodeProto) -> bool:
    """Whether nothing but `node` reads the tensor; x * sigmoid(x) and its like count as one reader."""
    if len(graph.data_inputs(node)) == 2 and all(_stems_from(graph, other, name) for other in graph.data_inputs(node)):
        return True
    users = graph.users(name)
    gates = (other for other in users if other is not node)
    return len(users) <= _MOST_USERS and all(
        gate.op_type == "Mul" and all(_stems_from(graph, source, name) for source in graph.data_inputs(gate))
        for gate in gates
    )


def _stems_from(graph: Graph, name: str, origin: str) -> bool:
    """Whether a tensor is `origin` after up to three element-wise steps with no other input (Mish has three)."""
    for _ in range(4):
        if name == origin:
            return True
        maker = graph.maker(name)
        if maker is None or _kind(graph, maker) != "elementwise" or len(graph.data_inputs(maker)) != 1:
            return False
        name = graph.data_inputs(maker)[0]
    return False


def _layer(graph: Graph, node: NodeProto, floating: Collection[str] | None) -> Layer:
    first, *others = node.output
    shape = graph.shape(first)
    plain = Layer(
        name=node.name or first,
        kind=_kind(graph, node),
        macs=0,
        weights=0,
        inputs=_total(graph, set(graph.data_inputs(node))),
        outputs=_total(graph, [first, *(name for name in others if graph.users(name))]),
        depth=0,
        channels=shape[1] if len(shape) > 2 else prod(shape[-1:]),
    )
    return _with_weights(graph, node, plain, floating) if node.op_type in _MULTIPLYING else plain


def _with_weights(graph: Graph, node: NodeProto, layer: Layer, floating: Collection[str] | None) -> Layer:
    """Add the arithmetic: each output takes one dot product (each input, where a convolution is transposed)."""
    weight = node.input[1]
    shape = graph.shape(weight)
    depth = prod(shape[1:]) if node.op_type in _CONVOLUTIONS else prod(graph.shape(node.input[0])[-1:])
    dot_products = layer.inputs if node.op_type == "ConvTranspose" else layer.outputs
    constant = not graph.is_data(weight)
    if floating is not None:
        left = layer.name in floating
    else:
        left = graph.quantised and constant and not in_8_bits(graph, node, layer.kind == "depthwise")
    return replace(
        layer,
        macs=depth * dot_products,
        weights=prod(shape) if constant else 0,
        depth=depth,
        fp32=left or (constant and graph.stays_fp32(weight)),
    )


def _kind(graph: Graph, node: NodeProto) -> Kind:
    if node.op_type in _CONVOLUTIONS:
        return _convolution_kind(graph, node)
    if node.op_type in _MULTIPLYING:
        return "gemm"
    if node.op_type in _POOLS:
        return "pool"
    return "copy" if node.op_type in _COPIES | _IN_PLACE else "elementwise"


def _convolution_kind(graph: Graph, node: NodeProto) -> Kind:
    groups = next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
    weight = graph.shape(node.input[1])
    if groups > 1:  # a depth multiplier (more output than input channels) has no fast depthwise kernel
        return "depthwise" if weight[:2] == (groups, 1) else "grouped"
    return "pointwise" if prod(weight[2:]) == 1 else "spatial"


def _total(graph: Graph, names: Iterable[str]) -> int:
    return sum(graph.size(name) for name in names)
