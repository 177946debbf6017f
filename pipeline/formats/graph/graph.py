"""A network as a checked graph: fixed shapes, views resolved, and who makes and uses each tensor.

Its nodes are ONNX's, whatever format the file has.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from math import prod

from onnx import NodeProto

from pipeline.system.errors import BadModel, Unpredictable

Shape = tuple[int, ...]

MOST_ELEMENTS = 1 << 40  # of one tensor; more is damage, and may be too much for floating point

_VIEWS = {"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout", "Cast"}
_VIEWS |= {"QuantizeLinear", "DequantizeLinear"}  # the runtimes fuse both into the layers around them
_WEIGHT_VIEWS = {"Transpose", "Reshape", "Unsqueeze", "Squeeze"}
_MOST_WEIGHT_VIEWS = 8  # one after the other; a damaged file may lead round in a circle


class Graph:
    """The nodes that handle image data, in execution order. Names are of tensors; a view has its root's name."""

    def __init__(
        self,
        source: str,
        nodes: Sequence[NodeProto],
        inputs: Mapping[str, Shape],
        shapes: Mapping[str, Shape],
        half: Set[str] = frozenset(),
        unfit: Set[str] = frozenset(),
    ) -> None:
        """Take `nodes`, of which each comes after those it reads from; `source` names them in error messages.

        `inputs` are what the network is fed with, weights excepted (see `closed`). `shapes` has all tensors
        whose sizes are fixed, weights included; `half` are the constants in FP16. `unfit` are the dequantized tensors
        that no kernel multiplies as they were stored: weights other than symmetric signed bytes, activations of more
        than 8 bits.
        """
        self.source = source
        self.images = max((shape[0] for shape in inputs.values()), default=1)
        self.values = sum(prod(shape) for shape in inputs.values()) // self.images  # that one image has
        self._shapes = {**shapes, **inputs}
        self._roots = {name: name for name in inputs}
        self._makers = {name: node for node in nodes for name in node.output}
        self._users: dict[str, list[NodeProto]] = {}
        self._quantised = any(node.op_type == "DequantizeLinear" for node in nodes)
        self._half = half
        self.unfit = unfit
        self.nodes = list(self._data_nodes(nodes))

    def shape(self, name: str) -> Shape:
        """The dimensions of a tensor, for all images of a run."""
        if name not in self._shapes:
            raise Unpredictable(
                f"{self.source}: the shape of {name!r} is not fixed and does not follow from the image's size; "
                "export it with fixed sizes"
            )
        shape = self._shapes[name]
        if min(shape, default=1) < 1:
            raise Unpredictable(f"{self.source}: nothing is left of {name!r}; the image is too small for this network")
        if prod(shape) > MOST_ELEMENTS:
            raise BadModel(f"{self.source}: {name!r} is larger than any device could hold; export it again")
        return shape

    def size(self, name: str) -> int:
        """Elements of an activation for one image."""
        return -(-prod(self.shape(name)) // self.images)

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

    def dequantizer(self, name: str, through: Set[str]) -> NodeProto | None:
        """The DequantizeLinear node that a tensor comes from, with nothing but operators of `through` in between."""
        for _ in range(_MOST_WEIGHT_VIEWS):
            maker = self._makers.get(name)
            if maker is None or maker.op_type == "DequantizeLinear":
                return maker
            if maker.op_type not in through or not maker.input:
                return None
            name = maker.input[0]
        return None

    def scales(self, node: NodeProto) -> int:
        """How many scales a DequantizeLinear node has: one for all, or one for each channel."""
        known = [prod(self._shapes.get(name, ())) for name in node.input[1:2] + node.input[3:]]
        return max(known, default=1)

    @property
    def quantised(self) -> bool:
        """Whether anything in it is stored in 8 bits."""
        return self._quantised

    def stays_fp32(self, name: str) -> bool:
        """Whether a constant weight has more bits than others of this network, so that its layer runs in FP32.

        In a quantised network these are the weights that come out of no DequantizeLinear node.
        """
        for _ in range(_MOST_WEIGHT_VIEWS):
            maker = self._makers.get(name)
            if maker is None or maker.op_type not in _WEIGHT_VIEWS or not maker.input:
                if self._quantised:
                    return maker is None or maker.op_type != "DequantizeLinear"
                return bool(self._half) and name not in self._half
            name = maker.input[0]
        return self._quantised

    def _data_nodes(self, nodes: Iterable[NodeProto]) -> Iterator[NodeProto]:
        """Leave out views and all that only computes shapes or constants."""
        for node in nodes:
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


def closed(source: str, name: str, dims: Sequence[int | str], sample_shape: Sequence[int] | None = None) -> Shape:
    """The shape of the input `name` with an open batch set to 1, and other open dimensions to those of `sample_shape`.

    An open dimension is 0, negative or text.

    Raises:
        Unpredictable: a dimension stays open, or there is none.
    """
    first, *others = dims or [0]
    images = first if isinstance(first, int) and first > 0 else 1
    if sample_shape is not None and len(sample_shape) == len(others):
        given = zip(others, sample_shape, strict=True)
        others = [own if isinstance(own, int) and own > 0 else size for own, size in given]
    sizes = [size for size in (images, *others) if isinstance(size, int) and size > 0]
    if not dims or len(sizes) < len(dims):
        found = ", ".join(str(size or "?") for size in dims)
        raise Unpredictable(
            f"{source}: input {name!r} has the shape [{found}]; only the batch may be open: "
            "say the image's size with --size, or export it with a fixed one"
        )
    return tuple(sizes)
