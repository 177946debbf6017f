"""A writer of ONNX graphs without weights, for networks of which only the layers matter."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from onnx import ModelProto, NodeProto, TensorProto, helper


@dataclass(frozen=True)
class Tensor:
    """A feature map with its number of channels; sizes are left to shape inference."""

    name: str
    channels: int


class Net:
    """Writes an ONNX graph layer by layer. `same` padding halves a map with stride 2 to the next larger size."""

    def __init__(self, size: tuple[int, int], channels: int = 3) -> None:
        self.image = Tensor("image", channels)
        self._size = size
        self._nodes: list[NodeProto] = []
        self._constants: list[TensorProto] = []

    def op(
        self, kind: str, inputs: Sequence[Tensor], channels: int, extra: Sequence[str] = (), **attributes: Any
    ) -> Tensor:
        """Any node with one output."""
        name = f"{kind.lower()}_{len(self._nodes)}"
        names = [*(tensor.name for tensor in inputs), *extra]
        self._nodes.append(helper.make_node(kind, names, [name], name=name, **attributes))
        return Tensor(name, channels)

    def conv(
        self,
        x: Tensor,
        out: int,
        k: int | tuple[int, int] = 1,
        s: int = 1,
        groups: int = 1,
        pad: str = "same",
        act: str | None = "Relu",
        dilation: int = 1,
    ) -> Tensor:
        """Convolution with folded batch normalisation and an activation."""
        kernel = (k, k) if isinstance(k, int) else k
        weight = self._weight((out, x.channels // groups, *kernel))
        auto_pad = "SAME_UPPER" if pad == "same" else "VALID"
        x = self.op(
            "Conv", [x], out, [weight], strides=[s, s], group=groups, auto_pad=auto_pad, dilations=[dilation, dilation]
        )
        return self.act(x, act)

    def depthwise(self, x: Tensor, k: int = 3, s: int = 1, act: str | None = "Relu", dilation: int = 1) -> Tensor:
        """A convolution of each channel on its own."""
        return self.conv(x, x.channels, k, s, groups=x.channels, act=act, dilation=dilation)

    def act(self, x: Tensor, kind: str | None) -> Tensor:
        """An activation, or nothing for None."""
        if kind is None:
            return x
        if kind == "Swish":
            return self.op("Mul", [x, self.op("Sigmoid", [x], x.channels)], x.channels)
        if kind == "Mish":
            softplus = self.op("Softplus", [x], x.channels)
            return self.op("Mul", [x, self.op("Tanh", [softplus], x.channels)], x.channels)
        return self.op(kind, [x], x.channels)

    def up_conv(self, x: Tensor, out: int, k: int = 2) -> Tensor:
        """Transposed convolution that enlarges k times."""
        weight = self._weight((x.channels, out, k, k))
        return self.op("ConvTranspose", [x], out, [weight], strides=[k, k])

    def pool(self, x: Tensor, k: int = 3, s: int = 2, pad: str = "same", kind: str = "Max") -> Tensor:
        """Max or average pooling."""
        auto_pad = "SAME_UPPER" if pad == "same" else "VALID"
        return self.op(f"{kind}Pool", [x], x.channels, kernel_shape=[k, k], strides=[s, s], auto_pad=auto_pad)

    def global_pool(self, x: Tensor) -> Tensor:
        """Mean over the whole map."""
        return self.op("GlobalAveragePool", [x], x.channels)

    def add(self, a: Tensor, b: Tensor, act: str | None = None) -> Tensor:
        """A residual connection."""
        return self.act(self.op("Add", [a, b], a.channels), act)

    def concat(self, *parts: Tensor) -> Tensor:
        """Channels of several maps side by side."""
        return self.op("Concat", parts, sum(part.channels for part in parts), axis=1)

    def scale(self, x: Tensor, act: str | None = "Relu") -> Tensor:
        """A batch normalisation that cannot be folded into a convolution."""
        factor = self._weight((x.channels, 1, 1))
        return self.act(self.op("Mul", [x], x.channels, [factor]), act)

    def resize(self, x: Tensor, factor: int, mode: str = "nearest") -> Tensor:
        """Enlarge by a whole factor."""
        scales = f"scales_{len(self._constants)}"
        self._constants.append(helper.make_tensor(scales, TensorProto.FLOAT, [4], [1, 1, factor, factor]))
        return self.op("Resize", [x], x.channels, ["", scales], mode=mode)

    def dense(self, x: Tensor, out: int, features: int | None = None, act: str | None = None) -> Tensor:
        """Fully connected; `features` is the length of the flattened map where it is not 1 x 1."""
        flat = self.op("Flatten", [x], x.channels, axis=1)
        weight = self._weight((features or x.channels, out))
        return self.act(self.op("Gemm", [flat], out, [weight]), act)

    def model(self) -> ModelProto:
        """The graph so far."""
        image = helper.make_tensor_value_info(self.image.name, TensorProto.FLOAT, [1, self.image.channels, *self._size])
        last = helper.make_tensor_value_info(self._nodes[-1].output[0], TensorProto.FLOAT, None)
        graph = helper.make_graph(self._nodes, "published", [image], [last], self._constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])

    def _weight(self, shape: tuple[int, ...]) -> str:
        name = f"weight_{len(self._constants)}"
        self._constants.append(TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape))
        return name
