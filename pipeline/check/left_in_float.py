"""What to say of an INT8 file that the target's runtime does not calculate in 8 bits."""

from pipeline.records.targets import Precision, Target
from pipeline.retest.emulate import Emulation

_NAMES = {"openvino": "OpenVINO", "onnxruntime": "ONNX Runtime", "tensorrt": "TensorRT"}


def left_in_float(emulation: Emulation, precision: Precision, target: Target) -> str | None:
    """A sentence where no layer of an INT8 file ran in 8 bits."""
    if precision != "int8" or not emulation.float_layers or emulation.int8_layers:
        return None
    count = len(emulation.float_layers)
    return (
        f"{_NAMES[target.runtime.name]} runs its {count} layers in FP32 here: quantize their weights symmetrically "
        "(QInt8), and their activations to 8 bits with one scale for all channels."
    )
