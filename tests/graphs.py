"""Small ONNX graphs, and what they calculate under the emulation of Tegra Parker's FP16."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from pipeline.arithmetic.fp16.engine import Fp16Engine

Array = NDArray[Any]


@dataclass(frozen=True)
class Arrays:
    """An array's rows as samples."""

    inputs: Array

    def __len__(self) -> int:
        return len(self.inputs)

    def batches(self, size: int) -> Iterator[Array]:
        return (self.inputs[start : start + size] for start in range(0, len(self.inputs), size))


def node(op: str, inputs: str, output: str, **attributes: Any) -> NodeProto:
    return helper.make_node(op, inputs.split(), output.split(), name=output, **attributes)


def model(
    nodes: Sequence[NodeProto], weights: dict[str, Any] | None = None, shape: tuple[Any, ...] = (), opset: int = 14
) -> ModelProto:
    """A model from input `x` to output `y`."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(values), name) for name, values in (weights or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def calculated(of: ModelProto, x: Array) -> Array:
    """What ONNX Runtime says on this machine."""
    import onnxruntime

    session = onnxruntime.InferenceSession(of.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {session.get_inputs()[0].name: x})[0])


def backend(of: ModelProto, accumulate: str) -> "Fp16Engine":
    from pipeline.arithmetic.fp16.engine import open_backend  # graphs need no packages but the base's

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(of, path)
        return open_backend({"model": str(path), "batch": 2, "threads": 2, "accumulate": accumulate})


def infer(of: ModelProto, accumulate: str, x: Array) -> Array:
    return backend(of, accumulate).infer(x.astype(np.float32))


def half(values: Array) -> Array:
    with np.errstate(over="ignore"):
        return values.astype(np.float16)


def random(seed: int, *shape: int, scale: float = 1.0) -> Array:
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(np.float32)


def ones(*shape: int, value: float = 1.0) -> Array:
    return np.full(shape, value, np.float32)
