"""The post-training methods for anyone's ONNX file, with nothing of the pipeline needed."""

from pathlib import Path
from typing import Literal

import onnx

from pipeline import files
from pipeline.check.inputs import Samples
from pipeline.check.model_file import ModelFile
from pipeline.errors import InputError
from pipeline.targets import Precision, Target

PostTraining = Literal["int8", "fp16"]
PRECISIONS: dict[PostTraining, Precision] = {"int8": "int8", "fp16": "fp16"}


def compress_file(model: ModelFile, method: PostTraining, target: Target, samples: Samples, output: Path) -> Path:
    """Write `output`/model.onnx, compressed for a target and calibrated on `samples`, whole or not at all.

    An OpenVINO target gets the IR beside it, in `output`/openvino/. The answer is the ONNX file's path.

    Raises:
        InputError: the target refuses the precision, the model is not FP32 ONNX, or it cannot be compressed.
    """
    if refusal := target.refusal(PRECISIONS[method]):
        raise InputError(refusal)
    if model.format != "onnx" or model.precision != "fp32":
        raise InputError(f"{model.path}: {model.precision} in {model.format}; give the FP32 original as ONNX")
    graph = onnx.load(model.path)
    try:
        compressed = _int8(graph, samples, target) if method == "int8" else _fp16(graph, samples)
    except InputError:
        raise
    except Exception as error:  # NNCF, ONNX Runtime and OpenVINO each raise their own kinds
        reason = (str(error).strip() or type(error).__name__).splitlines()[-1]
        raise InputError(f"{model.path}: cannot be compressed by {method}: {reason}") from error
    with files.replacing_folder(output) as folder:
        onnx.save(compressed, folder / "model.onnx")
        if target.runtime.name == "openvino":
            from pipeline.export import write_openvino

            write_openvino(folder / "model.onnx", folder / "openvino")
    return output / "model.onnx"


def _int8(graph: onnx.ModelProto, samples: Samples, target: Target) -> onnx.ModelProto:
    from pipeline.compress import node_names
    from pipeline.compress.quantize import quantize

    node_names.complete(graph)
    return quantize(graph, samples, target)


def _fp16(graph: onnx.ModelProto, samples: Samples) -> onnx.ModelProto:
    from pipeline.compress import half_precision

    return half_precision.apply(graph, samples)
