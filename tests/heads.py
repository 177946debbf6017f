"""Small networks of one or several outputs, whose answers a test can know."""

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from pipeline.formats.model_file import ModelFile, open_model
from tests.graphs import random


def network(path: Path, *heads: tuple[str, int, str], declared: bool = True) -> ModelFile:
    """A network with a Gemm a head, each (name, width, operator behind it or none)."""
    nodes = [helper.make_node("GlobalAveragePool", ["x"], ["p"]), helper.make_node("Flatten", ["p"], ["f"])]
    weights, outputs = [], []
    for name, width, op in heads:
        weights.append(numpy_helper.from_array(random(len(weights), 3, width), f"w_{name}"))
        scores = f"{name}/scores" if op else name
        nodes.append(helper.make_node("MatMul", ["f", f"w_{name}"], [scores]))
        if op:
            nodes += [helper.make_node(op, [scores], [f"{name}/flat"], **({"axis": 1} if op != "Sigmoid" else {}))]
            nodes += [helper.make_node("Identity", [f"{name}/flat"], [name])]
        kind = TensorProto.INT64 if op == "ArgMax" else TensorProto.FLOAT
        outputs.append(helper.make_tensor_value_info(name, kind, ["N", width if op != "ArgMax" else 1]))
        if not declared:
            outputs[-1].type.tensor_type.shape.dim[1].dim_param = "K"
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 8, 8])]
    graph = helper.make_graph(nodes, "heads", inputs, outputs, weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return open_model(path)


def pictures(count: int, seed: int = 5) -> NDArray[np.float32]:
    """Inputs (count, 3, 8, 8) whose channels have means that differ from sample to sample."""
    return random(seed, count, 3, 1, 1) + 0.1 * random(seed + 1, count, 3, 8, 8)


def answers(model: ModelFile, inputs: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    """What ONNX Runtime makes of `inputs` at the output called `name`."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model.path, providers=["CPUExecutionProvider"])
    found: NDArray[np.float32] = session.run([name], {model.input_name: inputs})[0]
    return found
