"""FP16 weights and activations, on the exported graph; inputs and logits stay FP32."""

import onnx
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel


def apply(graph: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with every tensor but its input and output in FP16."""
    half = OnnxModel(convert_float_to_float16(graph, keep_io_types=True))
    half.topological_sort()
    model: onnx.ModelProto = half.model
    return model
