"""How large the values and sums of an FP32 network get, to tell which of them FP16 holds.

In which order a kernel adds up is known on the board only. Whatever the order, a running sum stays between the sum of
its negative terms and that of its positive ones. With A the sum of all magnitudes and S the sum itself, those are
(S - A) / 2 and (S + A) / 2, so no running sum is larger than (A + |S|) / 2. A is the same layer, calculated of
magnitudes.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import onnxruntime
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper

from pipeline.arithmetic.fp16.boundaries import SUMS
from pipeline.processes.samples import Inputs


@dataclass(frozen=True)
class Range:
    """Largest magnitudes over all batches."""

    values: dict[str, float]  # of the FP32 tensors, by name
    sums: dict[str, float]  # that a running sum may reach in any order, by the tensor that its node writes


def measure(model: ModelProto, batches: Iterable[Inputs]) -> Range:
    """What the FP32 `model` calculates of batches (n, ...) of its input, in FP32.

    Every tensor's type must be known (`onnx.shape_inference`), and a batch must have as many rows as the model wants.
    """
    graph = model.graph
    constants = {tensor.name for tensor in graph.initializer}
    [source] = [value.name for value in graph.input if value.name not in constants]
    floats = [value.name for value in (*graph.input, *graph.value_info, *graph.output) if _is_float(value)]
    tensors = [name for name in dict.fromkeys(floats) if name not in constants]
    sums = [node.output[0] for node in graph.node if node.op_type in SUMS and node.output[0] in tensors]

    probe = ModelProto()
    probe.CopyFrom(model)
    for name in tensors:
        probe.graph.node.extend(_magnitude(name, f"{name}/values"))
    for node in graph.node:
        if node.output[0] in sums:
            probe.graph.node.extend(_any_order(node))
    outputs = [f"{name}/values" for name in tensors] + [f"{name}/sums" for name in sums]
    del probe.graph.output[:]
    probe.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, []) for name in outputs)
    session = onnxruntime.InferenceSession(probe.SerializeToString(), providers=["CPUExecutionProvider"])

    largest = np.zeros(len(outputs))
    for batch in batches:
        largest = np.maximum(largest, session.run(outputs, {source: batch}))
    found = [float(value) for value in largest]
    return Range(
        values=dict(zip(tensors, found, strict=False)), sums=dict(zip(sums, found[len(tensors) :], strict=True))
    )


def _is_float(value: ValueInfoProto) -> bool:
    return bool(value.type.tensor_type.elem_type == TensorProto.FLOAT)


def _magnitude(tensor: str, largest: str) -> Iterator[NodeProto]:
    yield helper.make_node("Abs", [tensor], [f"{largest}/abs"])
    yield helper.make_node("ReduceMax", [f"{largest}/abs"], [largest], keepdims=0)


def _any_order(node: NodeProto) -> Iterator[NodeProto]:
    """Nodes that write the largest (A + |S|) / 2 of a node that writes S."""
    prefix = f"{node.output[0]}/sums"
    own, all_magnitudes = NodeProto(), NodeProto()
    own.CopyFrom(node)  # the node itself, but for a Gemm: its factors follow the running sum, so a small one hides none
    own.name, own.output[0] = "", f"{prefix}/own"
    for attribute in own.attribute:
        if attribute.name in ("alpha", "beta"):
            attribute.f = max(1.0, abs(attribute.f))
    all_magnitudes.CopyFrom(own)
    all_magnitudes.output[0] = f"{prefix}/all"
    for index, name in enumerate(node.input):
        if name:
            all_magnitudes.input[index] = f"{prefix}/{index}"
            yield helper.make_node("Abs", [name], [f"{prefix}/{index}"])
    yield from (own, all_magnitudes)
    yield helper.make_node("Abs", [f"{prefix}/own"], [f"{prefix}/result"])
    yield helper.make_node("Mean", [f"{prefix}/all", f"{prefix}/result"], [f"{prefix}/bound"])
    yield from _magnitude(f"{prefix}/bound", prefix)
