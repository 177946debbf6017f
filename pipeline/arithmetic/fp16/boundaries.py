"""Where TensorRT 8.2 rounds to FP16 on a GPU without Tensor Cores, as an ONNX graph that any runtime calculates.

An FP16 engine is a chain of fused layers. Each reads FP16 values and FP16 weights and writes FP16 values; inside, this
module leaves FP32. Which nodes become one layer follows NVIDIA's TensorRT 8.2 Developer Guide, "Types of Fusions" and
"PointWise Fusion" (https://docs.nvidia.com/deeplearning/tensorrt/archives/tensorrt-823/developer-guide/index.html):

- a convolution with the scale or batch normalisation behind it (folded into its weights), with one sum, minimum or
  maximum that does not broadcast (the residual), and with one ReLU or Clip; a fully connected layer becomes a
  convolution and fuses as one;
- a scale with the activation behind it;
- adjacent pointwise operations (activations, unary and elementwise operations of one shape).

So a convolution's SiLU, HardSwish, Sigmoid or LeakyReLU is a pointwise layer of its own, and its input is rounded.
Engines on Jetson boards of that time agree: `Conv + Add + Relu` (https://github.com/open-mmlab/mmdeploy/issues/1103),
`Conv2D + PWN(Relu6)` and `Conv2D + add` (https://github.com/NVIDIA/TensorRT/issues/3677), but `Conv`,
`PWN(PWN(Sigmoid), Mul)` (https://github.com/open-mmlab/mmdeploy/issues/1059) and, on a TX2, `Conv`,
`PWN(LeakyRelu, Add)` (https://github.com/open-mmlab/mmdeploy/issues/212). Convolution with GELU needs Turing.

Weights and biases are FP16 (the engine inspector shows both as `Half`: https://github.com/NVIDIA/TensorRT/issues/3876),
and so, it is assumed, are the constants of pointwise layers; the scale and shift of a batch normalisation that stays on
its own are assumed to be calculated in FP32. The engine's input is converted to FP16 before its first layer, and its
output is rounded before it becomes FP32 again.
"""

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from pipeline.formats.folding import slim
from pipeline.system.errors import BadModel

SUMS = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
# They add products up as well, in an order and in pieces of their own that nobody here knows.
_UNKNOWN_SUMS = {"Einsum", "GRU", "LSTM", "RNN"}
_SCALES = {"Mul", "Add"}
_RESIDUALS = {"Add", "Sum", "Min", "Max"}
_CLAMPS = {"Relu", "Clip"}
_ACTIVATIONS = _CLAMPS | {"Elu", "HardSigmoid", "HardSwish", "LeakyRelu", "PRelu", "Selu", "Sigmoid", "Softplus"}
_ACTIVATIONS |= {"Softsign", "Tanh", "ThresholdedRelu"}
_UNARY = {"Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Ceil", "Cos", "Cosh", "Erf", "Exp", "Floor", "Log"}
_UNARY |= {"Neg", "Reciprocal", "Round", "Sign", "Sin", "Sinh", "Sqrt", "Tan"}
_POINTWISE = _ACTIVATIONS | _UNARY | _RESIDUALS | {"Div", "Mul", "Pow", "Sub"}

# They pass values on as they are: what was rounded before stays so.
_MOVES = {"Compress", "Concat", "DepthToSpace", "Dropout", "Expand", "Flatten", "Gather", "GatherElements", "GatherND"}
_MOVES |= {"GlobalMaxPool", "Identity", "MaxPool", "Pad", "ReduceMax", "ReduceMin", "Reshape", "Slice", "SpaceToDepth"}
_MOVES |= {"Split", "Squeeze", "Tile", "TopK", "Transpose", "Unsqueeze", "Where"}

_QUANTISED = {"ConvInteger", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "QLinearConv"}
_QUANTISED |= {"QLinearMatMul", "QuantizeLinear"}

# Their constants are no FP16 weights: sizes of an image, or what TensorRT calculates a scale and a shift from.
_EXACT_CONSTANTS = {"BatchNormalization", "Resize", "Upsample"}

_OTHER_FLOATS = {TensorProto.DOUBLE, TensorProto.BFLOAT16}


@dataclass(frozen=True)
class Layer:
    """One layer of the engine: nodes whose result is rounded to FP16 once."""

    name: str  # of its first node; of the tensor where the network's input is converted
    op: str  # the operators of its nodes, such as `Conv+Add+Relu`; `Cast` where FP32 is converted to FP16
    unrounded: str  # the tensor of the rewritten graph that holds its result before rounding, FP32
    sums: str  # the tensor that its Conv, ConvTranspose, Gemm or MatMul writes, FP32; empty if it has none
    nodes: tuple[str, ...]  # their names; none where the network's input is converted


@dataclass(frozen=True)
class Rewritten:
    """An ONNX graph that calculates in FP32 and rounds to FP16 at every boundary, and its layers in their order."""

    model: ModelProto
    layers: list[Layer]


def rewrite(model: ModelProto) -> Rewritten:
    """The graph that an FP16 engine of `model` calculates, as far as its boundaries go; `model` stays as it is.

    A model whose tensors are all FP32 gets FP16 layers throughout, as the builder's FP16 flag does. In a model that
    has FP16 tensors, layers with FP32 results were kept in FP32 on purpose and stay so. Inputs and outputs are FP32.

    Raises:
        InputError: the model is quantised, has subgraphs, operators outside of ONNX, other kinds of floating-point
            numbers, or types that contradict each other.
    """
    graph = _Graph(simplified(model))
    layers = graph.layers()
    return Rewritten(graph.rounded(layers), layers)


def simplified(model: ModelProto) -> ModelProto:
    """A copy with constants folded and batch normalisations merged into convolutions, and every tensor's type.

    That is what TensorRT's builder does first. Nodes that stay keep their names.

    Raises:
        InputError: as `rewrite`.
    """
    _refuse(model)
    try:
        return onnx.shape_inference.infer_shapes(slim(model), check_type=True, strict_mode=True, data_prop=True)
    except Exception as error:  # onnxslim's and onnx's own exception types share no base
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise BadModel(f"the graph cannot be simplified: {reason}") from error


def _refuse(model: ModelProto) -> None:
    graphs = (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)
    for node in model.graph.node:
        if node.domain not in ("", "ai.onnx"):
            raise BadModel(f"the operator {node.domain}.{node.op_type} is not one of ONNX")
        if node.op_type in _QUANTISED:
            raise BadModel(f"the model is quantised ({node.op_type}), and Parker's GPU has no 8-bit arithmetic")
        if node.op_type in _UNKNOWN_SUMS:
            raise BadModel(f"this emulation knows no FP16 sums of the operator {node.op_type}; the device itself may")
        if any(attribute.type in graphs for attribute in node.attribute):
            raise BadModel(f"the operator {node.op_type} holds a graph of its own; this emulation enters none")


class _Graph:
    """A slimmed model and what its nodes are to each other. Tensors go by their names."""

    def __init__(self, model: ModelProto) -> None:
        self._model = model
        graph = model.graph
        self._constants = {tensor.name for tensor in graph.initializer}
        self._inputs = [value.name for value in graph.input if value.name not in self._constants]
        self._outputs = {value.name for value in graph.output}
        self._types = {tensor.name: tensor.data_type for tensor in graph.initializer}
        self._shapes: dict[str, tuple[int | str, ...]] = {}
        for value in [*graph.input, *graph.output, *graph.value_info]:
            kind = value.type.tensor_type
            self._types[value.name] = kind.elem_type
            if kind.HasField("shape"):
                self._shapes[value.name] = tuple(dim.dim_param or dim.dim_value for dim in kind.shape.dim)
        self._readers: dict[str, list[NodeProto]] = {}
        for node in graph.node:
            for name in dict.fromkeys(node.input):
                self._readers.setdefault(name, []).append(node)
        self._check_types()
        self._half = TensorProto.FLOAT16 if TensorProto.FLOAT16 in self._types.values() else TensorProto.FLOAT

    def layers(self) -> list[Layer]:
        """The FP16 layers: first the conversions of the network's inputs, then the nodes in their order."""
        layers = [Layer(name, "Cast", name, "", ()) for name in self._inputs if self._is_half(name)]
        known = self._constants | set(self._inputs)
        for first in self._model.graph.node:
            if known.issuperset(first.output):
                continue  # it is in the layer of an earlier node
            nodes = self._fused(first, known) if self._is_half(first.output[0]) else [first]
            known.update(name for node in nodes for name in node.output)
            if first.op_type in _MOVES:
                continue
            ops = "+".join(node.op_type for node in nodes)
            names = tuple(node.name for node in nodes)
            for result in filter(self._is_half, nodes[-1].output):
                # A Conv that nothing is fused with is its own result, and has the name of one before rounding.
                written = _unrounded(result) if len(nodes) == 1 else first.output[0]
                sums = written if first.op_type in SUMS else ""
                layers.append(Layer(first.name or first.output[0], ops, _unrounded(result), sums, names))
        return layers

    def rounded(self, layers: list[Layer]) -> ModelProto:
        """The model in FP32, with a detour through FP16 for every value that a layer reads or writes."""
        model = ModelProto()
        model.CopyFrom(self._model)
        self._to_float(model)
        boundaries = {layer.unrounded for layer in layers}
        converted = {name: f"{name}/fp16" for name in self._inputs if name in boundaries}
        nodes = [cast for name, rounded in converted.items() for cast in _through_half(name, rounded)]
        for node in model.graph.node:
            results = list(node.output)
            node.input[:] = [converted.get(name, name) for name in node.input]
            node.output[:] = [_unrounded(name) if _unrounded(name) in boundaries else name for name in results]
            nodes.append(node)
            for unrounded, name in zip(node.output, results, strict=True):
                nodes += _through_half(unrounded, name) if unrounded != name else []
        del model.graph.node[:]
        model.graph.node.extend(nodes)
        return model

    def _fused(self, first: NodeProto, known: set[str]) -> list[NodeProto]:
        """The nodes of the layer that starts with `first`, where the tensors in `known` are already calculated."""
        nodes = [first]
        if first.op_type in SUMS:
            while self._append(nodes, _SCALES, known):
                pass
            self._append(nodes, _RESIDUALS, known, alike=True)
            self._append(nodes, _CLAMPS, known)
        elif first.op_type == "BatchNormalization":
            self._append(nodes, _ACTIVATIONS, known)
        elif first.op_type in _POINTWISE:
            while self._append(nodes, _POINTWISE, known, alike=True):
                pass
        return nodes

    def _append(self, nodes: list[NodeProto], ops: set[str], known: set[str], alike: bool = False) -> bool:
        """Append the node that alone reads the last one's result, if it fuses; say whether it did.

        It fuses when it is one of `ops` and what else it reads is constant or, where `alike`, known and of one shape
        with the result.
        """
        result = nodes[-1].output[0]
        readers = self._readers.get(result, [])
        if len(readers) != 1 or result in self._outputs:
            return False
        node = readers[0]
        others = {name for name in node.input if name} - {result} - self._constants
        shape = self._shapes.get(result)
        fits = all(alike and name in known and self._shapes.get(name) == shape is not None for name in others)
        if node.op_type not in ops or not fits or not self._is_half(node.output[0]):
            return False
        nodes.append(node)
        return True

    def _is_half(self, name: str) -> bool:
        return self._types.get(name) == self._half

    def _check_types(self) -> None:
        for node in self._model.graph.node:
            for name in filter(None, node.output):
                if not self._types.get(name):
                    raise BadModel(f"the type of {name!r}, which {node.op_type} writes, cannot be inferred")
        for name, kind in self._types.items():
            if kind in _OTHER_FLOATS:
                kind_name = TensorProto.DataType.Name(kind)
                raise BadModel(f"the tensor {name!r} is {kind_name}; TensorRT 8.2 calculates in FP32 and FP16")

    def _to_float(self, model: ModelProto) -> None:
        """Make every FP16 tensor of `model` an FP32 one, and round the constants that the engine holds in FP16."""
        graph = model.graph
        exact = {name for node in graph.node if node.op_type in _EXACT_CONSTANTS for name in node.input}
        for tensor in graph.initializer:
            if tensor.data_type == TensorProto.FLOAT16 or (self._is_half(tensor.name) and tensor.name not in exact):
                tensor.CopyFrom(_rounded(tensor))
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.name == "to" and attribute.i == TensorProto.FLOAT16:
                    attribute.i = TensorProto.FLOAT
                if attribute.t.data_type == TensorProto.FLOAT16:
                    attribute.t.CopyFrom(_rounded(attribute.t))
        del graph.value_info[:]
        for value in [*graph.input, *graph.output]:
            if value.type.tensor_type.elem_type == TensorProto.FLOAT16:
                value.type.tensor_type.elem_type = TensorProto.FLOAT


def _unrounded(name: str) -> str:
    return f"{name}/unrounded"


def _rounded(tensor: TensorProto) -> TensorProto:
    with np.errstate(over="ignore"):  # a weight beyond FP16 becomes infinite, and shows in the layer's results
        values = numpy_helper.to_array(tensor).astype(np.float16)
    return numpy_helper.from_array(values.astype(np.float32), tensor.name)


def _through_half(name: str, rounded: str) -> list[NodeProto]:
    """Two nodes that write the FP32 tensor `name`, rounded to FP16, to the FP32 tensor `rounded`."""
    half = f"{name}/half"
    return [
        helper.make_node("Cast", [name], [half], to=TensorProto.FLOAT16),
        helper.make_node("Cast", [half], [rounded], to=TensorProto.FLOAT),
    ]
