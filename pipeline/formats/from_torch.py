"""From a PyTorch network to an ONNX model that every runtime here reads."""

import io
import warnings
from typing import Any

import numpy as np
import onnx
import onnxslim
import torch
from torch import nn

from models import ModelSpec
from pipeline.formats.onnx_file import OPSET
from pipeline.system.errors import BadModel
from runners.contract.engine_recipe import INPUT

OUTPUT = "logits"
TOLERANCE = 1e-3  # between PyTorch and ONNX Runtime, relative to the largest logit


def to_onnx(network: nn.Module, spec: ModelSpec) -> onnx.ModelProto:
    """The network (in evaluation mode) as a checked ONNX model: input (N, 3, S, S) float32, output logits (N, classes).

    Raises:
        InputError: ONNX Runtime does not calculate the same as PyTorch.
    """
    example = torch.randn(2, 3, spec.input_size, spec.input_size, generator=torch.Generator().manual_seed(0))
    model: onnx.ModelProto = onnxslim.slim(trace(network, spec))
    onnx.checker.check_model(model, full_check=True)
    with torch.inference_mode():
        expected = network(example).numpy()
    _check_equal(spec.name, run_onnx(model, example.numpy()), expected)
    return model


def trace(network: nn.Module, spec: ModelSpec) -> onnx.ModelProto:
    """The network (in evaluation mode) as PyTorch exports it, with the inputs and outputs of `to_onnx`.

    Neither simplified nor checked against PyTorch: all that a prediction needs, in a fraction of the time.
    """
    buffer: Any = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.filterwarnings("ignore", "Constant folding")  # onnxslim folds what the exporter leaves
        torch.onnx.export(
            network.eval(),
            (torch.zeros(2, 3, spec.input_size, spec.input_size),),
            buffer,
            opset_version=OPSET,
            dynamo=False,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_axes={INPUT: {0: "batch"}, OUTPUT: {0: "batch"}},
        )
    return onnx.load_from_string(buffer.getvalue())


def run_onnx(model: onnx.ModelProto, inputs: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Outputs of an ONNX model in ONNX Runtime on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {session.get_inputs()[0].name: inputs})[0])


def _check_equal(name: str, found: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]) -> None:
    difference = float(np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-6))
    if not difference <= TOLERANCE:
        raise BadModel(f"{name}: the exported ONNX differs from PyTorch by {difference:.2%} of the largest logit")
