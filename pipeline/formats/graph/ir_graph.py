"""An OpenVINO IR as a graph: its layers as ONNX nodes, with the shapes that its ports have."""

from collections.abc import Sequence
from math import prod
from pathlib import Path

from onnx import NodeProto, helper

from pipeline.formats.graph.graph import Graph, Shape, closed
from pipeline.formats.graph.ir_layers import IrLayer, read_layers
from pipeline.formats.graph.ir_resize import resized
from pipeline.formats.layer_names import clean_name
from pipeline.formats.openvino_ir import PASSING
from pipeline.system.errors import BadModel, Unpredictable

# What the layers are in ONNX, as far as costs tell them apart: element-wise ones keep their own names.
_ELEMENTWISE = (
    "Abs Add BatchNormInference Ceiling Clamp Cos Divide Elu Equal Erf Exp Floor FloorMod Gelu Greater GreaterEqual "
    "HardSigmoid HSigmoid HSwish Less LessEqual Log LogicalAnd LogicalNot LogicalOr Maximum Minimum Mish Mod Negative "
    "NotEqual PReLU Power ReLU Round Select Selu Sigmoid Sign Sin SoftPlus SoftSign Sqrt SquaredDifference Subtract "
    "Swish Tanh"
)
_OPS = {name: name for name in _ELEMENTWISE.split()} | {
    "AdaptiveAvgPool": "GlobalAveragePool",
    "AdaptiveMaxPool": "GlobalMaxPool",
    "AvgPool": "AveragePool",
    "Broadcast": "Expand",
    "Concat": "Concat",
    "Convert": "Cast",
    "Convolution": "Conv",
    "ConvolutionBackpropData": "ConvTranspose",
    "DepthToSpace": "DepthToSpace",
    "FakeQuantize": "DequantizeLinear",  # with the QuantizeLinear before it
    "Gather": "Gather",
    "GroupConvolution": "Conv",
    "GroupConvolutionBackpropData": "ConvTranspose",
    "GroupNormalization": "GroupNormalization",
    "Identity": "Identity",
    "Interpolate": "Resize",
    "LRN": "LRN",
    "LogSoftmax": "LogSoftmax",
    "MVN": "LayerNormalization",
    "MatMul": "MatMul",
    "MaxPool": "MaxPool",
    "Multiply": "Mul",
    "NormalizeL2": "LayerNormalization",
    "Pad": "Pad",
    "ReduceMax": "ReduceMax",
    "ReduceMean": "ReduceMean",
    "ReduceSum": "ReduceSum",
    "Reshape": "Reshape",
    "ShapeOf": "Shape",
    "ShuffleChannels": "Transpose",
    "Slice": "Slice",
    "SoftMax": "Softmax",
    "Softmax": "Softmax",
    "SpaceToDepth": "SpaceToDepth",
    "Split": "Split",
    "Squeeze": "Squeeze",
    "StridedSlice": "Slice",
    "Tile": "Tile",
    "Transpose": "Transpose",
    "Unsqueeze": "Unsqueeze",
    "VariadicSplit": "Split",
}
_DEQUANTISING = {"Convert", "Subtract", "Multiply"}  # what stands between 8-bit weights and their layer
MOST_POINTS = 1 << 20  # bytes: a zero point for each channel, and more
_WITH_GROUPS = {"GroupConvolution", "GroupConvolutionBackpropData"}  # their weights have the groups first


def read_ir(path: Path, sample_shape: Sequence[int] | None = None) -> Graph:
    """Read the XML of an IR. Its .bin is not needed for a fixed size: without it, signed weights count as symmetric.

    Where it leaves the size open, OpenVINO calculates the sizes of all layers for images of `sample_shape`.

    Raises:
        InputError: the file is missing, damaged, no IR, or too large; a layer has no cost model; a shape other than
            the batch is not fixed.
    """
    layers = read_layers(path)
    inputs = [(layer, dims) for layer in layers if layer.type == "Parameter" for dims in layer.outputs.values()]
    if sample_shape is None or len(inputs) != 1:
        return _Translation(str(path), layers, path.with_suffix(".bin")).graph()
    layer, dims = inputs[0]
    if min(dims[1:], default=0) > 0:
        translated = _Translation(str(path), layers, path.with_suffix(".bin"))
        if translated.complete:
            return translated.graph()
    return _Translation(str(path), resized(path, closed(str(path), layer.name, dims, sample_shape))).graph()


class _Translation:
    """What is known of the tensors of the layers so far, and their nodes."""

    def __init__(self, source: str, layers: Sequence[IrLayer], weights: Path | None = None) -> None:
        self._source, self._weights = source, weights
        self._nodes: list[NodeProto] = []
        self._inputs: dict[str, Shape] = {}
        self._shapes: dict[str, Shape] = {}
        self._data: set[str] = set()  # tensors that depend on the image
        self._open: dict[str, int] = {}  # size of the dimension that the batch left open in a tensor
        self._quantised: set[str] = set()  # constants of 8 bits, and what is calculated from them
        self._unfit: set[str] = set()
        self._stored: dict[str, tuple[int, int]] = {}  # constants, by their offset and size in the .bin
        for layer in layers:
            if layer.type == "Parameter":
                self._feed(layer)
            elif layer.type != "Result":
                self._add(layer)

    @property
    def complete(self) -> bool:
        """Whether the shape of every tensor that depends on the image is known."""
        return self._data <= self._shapes.keys()

    def graph(self) -> Graph:
        return Graph(self._source, self._nodes, self._inputs, self._shapes, unfit=self._unfit)

    def _feed(self, layer: IrLayer) -> None:
        for tensor, dims in layer.outputs.items():
            self._inputs[tensor] = closed(self._source, layer.name, [max(size, 0) for size in dims])
            self._set(tensor, dims, self._inputs[tensor])
            self._data.add(tensor)

    def _add(self, layer: IrLayer) -> None:
        is_data = layer.type != "ShapeOf" and not self._data.isdisjoint(layer.inputs)
        if is_data and layer.type not in _OPS:
            raise Unpredictable(f"{self._source}: {layer.type!r} layers are not predicted (layer {layer.name!r})")
        for tensor, dims in layer.outputs.items():
            self._set(tensor, dims, self._closed(layer, dims, is_data))
        if is_data:
            self._data.update(layer.outputs)
            if layer.quantised or (layer.type in _DEQUANTISING and self._dequantises(layer)):
                self._quantised.update(layer.outputs)
        elif layer.quantised or not self._quantised.isdisjoint(layer.inputs):
            self._quantised.update(layer.outputs)
            if layer.unsigned or not self._unfit.isdisjoint(layer.inputs) or self._shifted(layer):
                self._unfit.update(layer.outputs)
        if stored := layer.stored or (layer.type in PASSING and self._stored.get(layer.inputs[0])):
            self._stored.update(dict.fromkeys(layer.outputs, stored))
        if layer.inputs:
            self._nodes.append(self._node(layer))

    def _dequantises(self, layer: IrLayer) -> bool:
        """Whether it turns 8-bit activations back, and does not join them with others."""
        first, *others = layer.inputs
        return first in self._quantised and self._data.isdisjoint(others)

    def _shifted(self, layer: IrLayer) -> bool:
        """Whether it takes zero points from weights that are not all 0, as far as the .bin is there to tell."""
        stored = self._stored.get(layer.inputs[1]) if layer.type == "Subtract" and len(layer.inputs) > 1 else None
        if stored is None or self._weights is None:
            return False
        try:
            with self._weights.open("rb") as stream:
                stream.seek(stored[0])
                return any(stream.read(min(stored[1], MOST_POINTS)))
        except OSError:
            return False

    def _set(self, tensor: str, dims: Shape, shape: Shape | None) -> None:
        if shape is not None:
            self._shapes[tensor] = shape
            for dim, size in zip(dims, shape, strict=True):
                if dim < 0:
                    self._open[tensor] = size

    def _closed(self, layer: IrLayer, dims: Shape, is_data: bool) -> Shape | None:
        """The dimensions of an output with a batch of 1, None where they do not follow from those of the inputs.

        An open dimension need not be the batch: windows of an image may be put there too.
        """
        open_dims = sum(size < 0 for size in dims)
        if not open_dims:
            return dims if dims or not is_data else None  # without dimensions it may have any number of them
        size = self._open_size(layer, prod(size for size in dims if size >= 0)) if open_dims == 1 else None
        return None if size is None else tuple(size if dim < 0 else dim for dim in dims)

    def _open_size(self, layer: IrLayer, others: int) -> int | None:
        """The size of the one open dimension of an output; `others` is the product of the rest."""
        if layer.type not in {"Reshape", "Concat"}:
            sizes = {self._open[name] for name in layer.inputs if name in self._open}
            return sizes.pop() if len(sizes) == 1 else None
        shapes = [self._shapes.get(name) for name in (layer.inputs if layer.type == "Concat" else layer.inputs[:1])]
        elements = sum(prod(shape) for shape in shapes if shape is not None)
        return elements // others if others and elements % others == 0 and None not in shapes else None

    def _node(self, layer: IrLayer) -> NodeProto:
        op = _OPS.get(layer.type, layer.type)
        inputs, groups = list(layer.inputs), 1
        if layer.type in _DEQUANTISING and not self._quantised.isdisjoint(layer.outputs):
            op = "DequantizeLinear"
        elif layer.type in _WITH_GROUPS:
            groups, each, *rest = self._grouped_weights(layer)
            inputs[1] = self._view(inputs[1], (groups * each, *rest))
        elif layer.type == "MatMul" and layer.transposed and len(self._shapes.get(inputs[0], ())) > 1:
            *rest, rows, columns = self._shapes[inputs[0]]
            inputs[0] = self._view(inputs[0], (*rest, columns, rows))
        node = helper.make_node(op, inputs, list(layer.outputs), clean_name(layer.name))
        node.attribute.append(helper.make_attribute("group", groups))
        return node

    def _grouped_weights(self, layer: IrLayer) -> Shape:
        shape = self._shapes.get(layer.inputs[1], ()) if len(layer.inputs) > 1 else ()
        if len(shape) < 3:
            raise BadModel(f"{self._source}: not a valid OpenVINO IR ({layer.name!r} has no weights in groups)")
        return shape

    def _view(self, tensor: str, shape: Shape) -> str:
        """The same elements in another shape."""
        view = f"{tensor} as {shape}"
        self._nodes.append(helper.make_node("Reshape", [tensor], [view]))
        self._shapes[view] = shape
        return view
