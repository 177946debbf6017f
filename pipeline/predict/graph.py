"""An ONNX file as a checked graph: fixed shapes, views resolved, and who makes and uses each tensor."""

from collections.abc import Iterator
from math import prod
from pathlib import Path

import onnx
from onnx import ModelProto, NodeProto

from pipeline.errors import InputError
from pipeline.predict.shapes import shapes

_VIEWS = {"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout", "Cast"}
_VIEWS |= {"QuantizeLinear", "DequantizeLinear"}  # the runtimes fuse both into the layers around them


class Graph:
    """The nodes that handle image data, in execution order. Names are of tensors; a view has its root's name."""

    def __init__(self, model: ModelProto, source: str) -> None:
        """Check `model`, which `source` names in error messages.

        Raises:
            InputError: a shape other than the batch is not fixed, or shapes contradict each other.
        """
        self.source = source
        self._constants = {tensor.name for tensor in model.graph.initializer}
        self.images = self._close_batch(model)
        self._shapes = shapes(model, source)
        self._roots: dict[str, str] = {}
        self._makers = {name: node for node in model.graph.node for name in node.output}
        self._users: dict[str, list[NodeProto]] = {}
        self.quantised = any(node.op_type == "DequantizeLinear" for node in model.graph.node)
        self.nodes = list(self._data_nodes(model))

    def shape(self, name: str) -> tuple[int, ...]:
        """The dimensions of a tensor, for all images of a run."""
        if name not in self._shapes:
            raise InputError(f"{self.source}: the shape of {name!r} is not fixed; export it with a fixed image size")
        if min(self._shapes[name], default=1) < 1:
            raise InputError(f"{self.source}: nothing is left of {name!r}; the image is too small for this network")
        return self._shapes[name]

    def size(self, name: str) -> int:
        """Elements of an activation for one image."""
        return prod(self.shape(name)) // self.images

    def root(self, name: str) -> str:
        """The tensor that `name` is a view of, or `name` itself."""
        return self._roots.get(name, name)

    def data_inputs(self, node: NodeProto) -> list[str]:
        """Roots of the inputs of `node` that depend on the image."""
        return [self.root(name) for name in node.input if name in self._roots]

    def is_data(self, name: str) -> bool:
        """Whether a tensor depends on the image (weights and shapes do not)."""
        return name in self._roots

    def maker(self, name: str) -> NodeProto | None:
        """The node that computes a tensor; None for inputs and constants."""
        return self._makers.get(name)

    def users(self, root: str) -> list[NodeProto]:
        """The nodes that read a tensor or a view of it."""
        return self._users.get(root, [])

    def dequantised(self, name: str) -> bool:
        """Whether a weight comes out of a DequantizeLinear node, so that its layer runs in INT8."""
        maker = self._makers.get(name)
        while maker is not None and maker.op_type in {"Transpose", "Reshape", "Unsqueeze", "Squeeze"}:
            maker = self._makers.get(maker.input[0])
        return maker is not None and maker.op_type == "DequantizeLinear"

    def _close_batch(self, model: ModelProto) -> int:
        """Set an open batch to 1. Returns how many images one run holds."""
        images = 1
        for value in model.graph.input:
            if value.name in self._constants:
                continue
            dims = value.type.tensor_type.shape.dim
            if dims and not dims[0].dim_value:
                dims[0].dim_value = 1
            if not dims or not all(dim.dim_value > 0 for dim in dims):
                names = ", ".join(dim.dim_param or str(dim.dim_value or "?") for dim in dims)
                raise InputError(
                    f"{self.source}: input {value.name!r} has the shape [{names}]; only the batch may be open, "
                    "export it with a fixed image size"
                )
            images = max(images, dims[0].dim_value)
        return images

    def _data_nodes(self, model: ModelProto) -> Iterator[NodeProto]:
        """Leave out views and all that only computes shapes or constants."""
        self._roots = {value.name: value.name for value in model.graph.input if value.name not in self._constants}
        for node in model.graph.node:
            inputs = [name for name in node.input if name in self._roots]
            if not inputs or node.op_type in {"Shape", "Size"}:
                continue
            is_view = node.op_type in _VIEWS and node.input[0] in self._roots
            for name in node.output:
                self._roots[name] = self.root(node.input[0]) if is_view else name
            if not is_view:
                for root in {self.root(name) for name in inputs}:
                    self._users.setdefault(root, []).append(node)
                yield node


def load(path: Path) -> Graph:
    """Read an ONNX file without its weights' values.

    Raises:
        InputError: the file is missing, is not ONNX, is cut short, lacks its external data, or see `Graph`.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such ONNX file")
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf, ONNX and the file system each raise their own kind
        raise InputError(f"{path}: not an ONNX file, or cut short") from error
    if not model.graph.node or not model.graph.input:
        raise InputError(f"{path}: not an ONNX file, or a network without layers")
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location" and not (path.parent / entry.value).is_file():
                raise InputError(f"{path}: its weights file {entry.value!r} is missing; keep both in one folder")
    return Graph(model, str(path))
