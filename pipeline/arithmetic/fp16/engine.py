"""FP16 on Tegra Parker's GPU (Pascal, sm_62; TensorRT 8.2), bounded, because it cannot be emulated exactly.

Which kernel the builder picks, and so whether a layer adds up in FP32 or FP16, is known on the board only. With
`accumulate: fp32`, values round to FP16 at the boundaries of layers and nowhere else. With `accumulate: fp16`, the
pessimistic side, convolutions and matrix products also keep their sums in FP16 (sums.py); pooling,
softmax and pointwise layers calculate in FP32 either way.

Subnormal FP16 numbers are kept, as the GPU's FP16 arithmetic and conversions do unless an instruction says otherwise
(NVIDIA's PTX ISA, `fma` and `cvt`); that TensorRT's kernels do not say otherwise is assumed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any, Protocol

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from pipeline.arithmetic.fp16.boundaries import Layer, rewrite
from pipeline.arithmetic.fp16.rounding import Counts
from pipeline.formats.onnx_file import parsed
from pipeline.processes.answers import answer
from pipeline.processes.samples import Inputs
from pipeline.system.errors import BadModel
from runners.edge.backends.onnxruntime_session import SPINNING

Values = dict[str, NDArray[Any]]  # tensors by name


def open_backend(job: dict[str, Any]) -> "Fp16Engine":
    """Load the ONNX file `job["model"]` for `job["threads"]` threads; `job["accumulate"]` is fp32 or fp16.

    It answers the outputs named in `job["output"]`, else the first, and tells only of the layers that lead to them.

    Raises:
        InputError: the model cannot be emulated.
    """
    half_sums, outputs = job["accumulate"] == "fp16", job.get("output", ())
    return engine_of(parsed(job["model"]), job["threads"], half_sums=half_sums, outputs=outputs)


def engine_of(model: ModelProto, threads: int, *, half_sums: bool = False, outputs: Sequence[str] = ()) -> "Fp16Engine":
    """The engine of a model, FP32 or with FP16 tensors; with `half_sums`, every sum is kept in FP16.

    It answers `outputs` and tells only of the layers that lead to them; by default it answers the first output and
    tells of all layers.

    Raises:
        InputError: the model cannot be emulated.
    """
    rewritten = rewrite(model)
    sums = {layer.sums for layer in rewritten.layers if layer.sums} if half_sums else set()
    return Fp16Engine(rewritten.model, rewritten.layers, sums, threads, outputs)


class Fp16Engine:
    """An engine in emulation; it counts what did not fit FP16 in all batches that it has seen."""

    def __init__(
        self, model: ModelProto, layers: list[Layer], half_sums: set[str], threads: int, outputs: Sequence[str] = ()
    ) -> None:
        """Run `model`, rewritten to have these layers; the nodes that write `half_sums` keep their sums in FP16.

        Raises:
            InputError: the model has more than one input.
        """
        constants = {tensor.name for tensor in model.graph.initializer}
        inputs = [value for value in model.graph.input if value.name not in constants]
        if len(inputs) != 1:
            raise BadModel(f"the model has {len(inputs)} inputs ({', '.join(v.name for v in inputs)}), not one")
        self._input = inputs[0].name
        self._type = helper.tensor_dtype_to_np_dtype(inputs[0].type.tensor_type.elem_type)
        self._batch = next((dim.dim_value for dim in inputs[0].type.tensor_type.shape.dim), 0)  # 0 if it is open
        self._outputs = list(outputs) or [model.graph.output[0].name]
        self._half_sums = half_sums
        ways = _leading_to(model, outputs)
        self.layers = [layer for layer in layers if not outputs or layer.unrounded in ways]
        self._counts = [(layer, Counts()) for layer in self.layers]
        # Outputs that nobody asked for too: what only they need is calculated all the same.
        watched = {layer.unrounded for layer in layers} | {value.name for value in model.graph.output}
        self._steps = list(_steps(model, watched, half_sums, threads))

    def infer(self, batch: Inputs) -> NDArray[np.float32]:
        """The outputs asked for (see `answer`) for a batch (n, C, H, W) of images as it takes them.

        A model of fixed batch size gets it padded with zeros, which are counted like images.

        Raises:
            InputError: sums in FP16 are not emulated for one of the model's nodes.
        """
        padded = np.zeros((self._batch or len(batch), *batch.shape[1:]), self._type)
        padded[: len(batch)] = batch
        values: Values = {self._input: padded}
        for step in self._steps:
            step.run(values)
        for layer, counts in self._counts:
            counts.add(values[layer.unrounded], values[layer.sums] if layer.sums in self._half_sums else None)
        return answer([values[name] for name in self._outputs], len(padded), len(batch))

    def facts(self) -> dict[str, Any]:
        """The layers, each with its name, operators and counts, and no names of kernels: the board chooses those."""
        layers = [{"name": layer.name, "op": layer.op, **asdict(counts)} for layer, counts in self._counts]
        return {"layers": layers, "kernels": []}


class _Step(Protocol):
    def run(self, values: Values) -> None:
        """Calculate some of the graph's tensors from those in `values`, and add them."""


def _steps(model: ModelProto, watched: set[str], half_sums: set[str], threads: int) -> Iterator[_Step]:
    """The graph in order: nodes with sums in FP16 one by one, what is between them in ONNX Runtime."""
    types = _types(model)
    for half, group in groupby(model.graph.node, lambda node: node.output[0] in half_sums):
        if half:
            yield from (_HalfSum(model, node) for node in group)
        else:
            yield _Segment(model, list(group), watched, types, threads)


def _leading_to(model: ModelProto, outputs: Sequence[str]) -> set[str]:
    """The tensors that any of `outputs` is calculated from, and those outputs."""
    found = set(outputs)
    for node in reversed(model.graph.node):  # which ONNX has in order
        if not found.isdisjoint(node.output):
            found.update(node.input)
    return found


def _types(model: ModelProto) -> dict[str, int]:
    graph = onnx.shape_inference.infer_shapes(model).graph
    return {value.name: value.type.tensor_type.elem_type for value in [*graph.input, *graph.output, *graph.value_info]}


class _Segment:
    """Some of the graph's nodes in ONNX Runtime."""

    def __init__(
        self, model: ModelProto, nodes: list[NodeProto], watched: set[str], types: dict[str, int], threads: int
    ) -> None:
        written = {name for node in nodes for name in node.output}
        read = {name for node in nodes for name in node.input}
        read_elsewhere = {name for node in model.graph.node if node.output[0] not in written for name in node.input}
        constants = [tensor for tensor in model.graph.initializer if tensor.name in read]
        self._inputs = sorted(read - written - {tensor.name for tensor in constants} - {""})
        self._outputs = sorted(written & (watched | read_elsewhere))

        def declare(names: list[str]) -> list[onnx.ValueInfoProto]:
            # What ONNX infers no type of, such as what an operator that it withdrew writes, is a layer's result.
            return [helper.make_tensor_value_info(name, types.get(name, TensorProto.FLOAT), None) for name in names]

        graph = helper.make_graph(nodes, "segment", declare(self._inputs), declare(self._outputs), constants)
        part = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        # Another pool's threads must not wait busily while this one works.
        options.add_session_config_entry(SPINNING, "0")
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            part.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def run(self, values: Values) -> None:
        outputs = self._session.run(self._outputs, {name: values[name] for name in self._inputs})
        values.update(zip(self._outputs, outputs, strict=True))


class _HalfSum:
    """A Conv, Gemm or MatMul with its sums in FP16."""

    def __init__(self, model: ModelProto, node: NodeProto) -> None:
        import torch

        # A step takes some 20 microseconds: on a machine that has other work, threads would wait longer for each other.
        torch.set_num_threads(1)
        self._node = node
        self._constants = {
            tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).astype(np.float16))
            for tensor in model.graph.initializer
            if tensor.name in node.input
        }

    def run(self, values: Values) -> None:
        import torch

        from pipeline.arithmetic.fp16.sums import calculate

        with torch.inference_mode():
            inputs = [
                self._constants[name] if name in self._constants else torch.from_numpy(values[name]).half()
                for name in self._node.input
                if name
            ]
            values[self._node.output[0]] = calculate(self._node, inputs).float().numpy()
