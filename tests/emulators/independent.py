"""Runs of networks that share none of `edgeproof check`'s code: OpenVINO on QEMU, ONNX Runtime, NumPy in 16 bits."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from pipeline import emulators

Floats = NDArray[np.float32]
BATCH = 4

IR = "ir/model.xml"
# In each folder named: net.onnx or an IR of it, and inputs.npy, and `output` if it is not the last. Of them comes
# answers.npy.
ON_OPENVINO = f"""
import os, sys, numpy, openvino
for folder in sys.argv[1:]:
    print(folder, flush=True)
    inputs = numpy.load(folder + "/inputs.npy")
    try:
        file = next(name for name in ("{IR}", "net.onnx") if os.path.exists(folder + "/" + name))
        model = openvino.Core().read_model(folder + "/" + file)
        model.reshape({{0: openvino.PartialShape([{BATCH}, *inputs.shape[1:]])}})
        settings = {{"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}}
        compiled = openvino.Core().compile_model(model, "CPU", settings)
        batches = numpy.split(inputs, len(inputs) // {BATCH})
        parts = [compiled(batch)[len(model.outputs) - 1] for batch in batches]
    except RuntimeError as error:
        print(str(error).splitlines()[-1], flush=True)
    else:
        numpy.save(folder + "/answers.npy", numpy.concatenate(parts))
"""


def on_goldmont(folders: Sequence[Path]) -> None:
    """Calculate what is in the folders on QEMU's Denverton; where it crashes or refuses, there are no answers.

    One emulator does many, since its start takes longest; the next one goes on behind a crash.
    """
    left = list(folders)
    while left:
        command = [*emulators.launcher("denverton"), "-c", ON_OPENVINO, *map(str, left)]
        done = subprocess.run(command, capture_output=True, text=True)
        reached = sum(line in map(str, left) for line in done.stdout.splitlines())
        assert reached, done.stderr
        left = left[reached:]


def in_floats(model: ModelProto, inputs: Floats) -> Floats:
    """The last output in ONNX Runtime without any optimisation: quantized layers are calculated in floats."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    batch = session.get_inputs()[0].shape[0]
    size = batch if isinstance(batch, int) else len(inputs)
    return np.concatenate(
        [session.run(None, {"x": inputs[start : start + size]})[-1] for start in range(0, len(inputs), size)]
    )


class BatchNormalization(OpRun):
    """As a network that is not trained has it; ONNX's own evaluator takes the moments of the batch before opset 14."""

    op_domain = ""

    def _run(self, x: Any, *parts: Any, epsilon: float = 1e-5, **_: Any) -> tuple[Any]:
        scale, shift, mean, variance = (part.reshape(-1, 1, 1) for part in parts)
        return (((x - mean) / np.sqrt(variance + x.dtype.type(epsilon)) * scale + shift).astype(x.dtype),)


def in_half_precision(model: ModelProto, inputs: Floats) -> Floats | None:
    """The last output in ONNX's own evaluator, every floating-point number of which has 16 bits; None if it cannot."""
    half = ModelProto()
    half.CopyFrom(model)
    for tensor in half.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            with np.errstate(over="ignore"):
                tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name))
    casts = []
    for node in half.graph.node:
        if node.op_type == "Resize":  # its scales are no numbers of the network
            scales, node.input[2] = node.input[2], f"{node.input[2]}/32"
            casts.append(helper.make_node("Cast", [scales], [node.input[2]], to=TensorProto.FLOAT))
    half.graph.node.extend([*casts, *half.graph.node])
    del half.graph.node[: len(model.graph.node)]
    for value in (*half.graph.input, *half.graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    evaluator = ReferenceEvaluator(half, new_ops=[BatchNormalization])
    batch = model.graph.input[0].type.tensor_type.shape.dim[0].dim_value or len(inputs)
    try:
        with np.errstate(all="ignore"):
            parts = [
                evaluator.run(None, {"x": inputs[start : start + batch].astype(np.float16)})[-1]
                for start in range(0, len(inputs), batch)
            ]
    except Exception:  # an operator that the evaluator does not have in 16 bits
        return None
    return np.concatenate(parts).astype(np.float32)
