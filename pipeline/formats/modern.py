"""An old ONNX file as today's tools take it."""

import onnx
from onnx import ModelProto

from pipeline.formats.onnx_file import OPSET
from pipeline.formats.runtimes import opset_of

_IR_VERSION = 8  # from 4 on, weights need not be inputs; opset 13 wants 7


def modern(model: ModelProto) -> ModelProto:
    """A copy in opset 13 at least, as far as ONNX can convert it, whose weights are no inputs."""
    copy = ModelProto()
    copy.CopyFrom(model)
    weights = {tensor.name for tensor in copy.graph.initializer}
    inputs = [value for value in copy.graph.input if value.name not in weights]
    del copy.graph.input[:]
    copy.graph.input.extend(inputs)
    copy.ir_version = max(copy.ir_version, _IR_VERSION)
    if opset_of(copy) >= OPSET:
        return copy
    try:
        return onnx.version_converter.convert_version(copy, OPSET)
    except Exception:  # onnx's own exception types share no base; what needs a newer opset will say so
        return copy
