"""Hardware-ready files: ONNX from a network, then what each runtime on a device loads.

OpenVINO targets get an IR (`openvino/model.xml`, `.bin`), ONNX Runtime takes the ONNX file itself. TensorRT targets get
it with the recipe that builds the engine on the board, because an engine only runs on the GPU and TensorRT version it
was built with. Beside a runtime's folder stands the same as one small download, such as `openvino.pack`.
"""

import io
import re
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxslim
import torch
from torch import nn

from models import ModelSpec
from pipeline import files, layout
from pipeline.check.onnx_file import input_size, load_onnx
from pipeline.compress import half_precision
from pipeline.errors import InputError
from pipeline.pack import pack
from pipeline.results import versions
from pipeline.targets import Precision, RuntimeName

# The newest opset that every runtime here reads: TensorRT 8.2 (JetPack 4.6) stops short of later ones, and INT8
# with a scale per channel needs 13. PyTorch's newer exporter starts at 18, hence the TorchScript one.
OPSET = 13
INPUT, OUTPUT = "input", "logits"
TOLERANCE = 1e-3  # between PyTorch and ONNX Runtime, relative to the largest logit
BUILD_ENGINE = Path(__file__).resolve().parent.parent / "runners" / "jetson" / "build_engine.py"
RECIPE = "recipe.json"
RUNTIME_PRECISIONS: dict[RuntimeName, tuple[Precision, ...]] = {
    "openvino": ("fp32", "int8"),
    "tensorrt": ("fp32", "fp16"),
    "onnxruntime": ("fp32", "int8"),
}


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


def export(model: str, method: str, precision: Precision) -> dict[str, Any]:
    """Write the hardware-ready folder of a candidate's `model.onnx`; the answer is its manifest.

    Raises:
        InputError: the ONNX file is missing, damaged, or cannot be converted.
    """
    source = layout.candidate(model, method) / "model.onnx"
    if not source.exists():
        raise InputError(f"{source} not found: run `dvc repro`")
    load_onnx(source)
    with files.replacing_folder(layout.exported(model, method)) as folder:
        if precision in RUNTIME_PRECISIONS["openvino"]:
            write_openvino(source, folder / "openvino")
        if precision in RUNTIME_PRECISIONS["tensorrt"]:
            _write_tensorrt(source, precision, folder / "tensorrt")
        if precision in RUNTIME_PRECISIONS["onnxruntime"]:
            (folder / "onnxruntime").mkdir()
            shutil.copyfile(source, folder / "onnxruntime" / "model.onnx")
        for runtime in RUNTIME_PRECISIONS:
            if (folder / runtime).exists():
                pack(folder / runtime, folder / f"{runtime}.pack")
        manifest = {
            "precision": precision,
            "opset": OPSET,
            "files": {
                str(path.relative_to(folder)): {"sha256": files.sha256(path), "size_bytes": path.stat().st_size}
                for path in sorted(folder.rglob("*"))
                if path.is_file()
            },
            "versions": versions("torch", "onnx", "openvino", "nncf"),
        }
        files.write_json(folder / "manifest.json", manifest)
    return manifest


def _check_equal(name: str, found: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]) -> None:
    difference = float(np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-6))
    if not difference <= TOLERANCE:
        raise InputError(f"{name}: the exported ONNX differs from PyTorch by {difference:.2%} of the largest logit")


def write_openvino(source: Path, folder: Path) -> None:
    """Convert the ONNX file `source` to an IR, `folder`/model.xml and .bin.

    Raises:
        InputError: OpenVINO cannot convert it.
    """
    import openvino

    folder.mkdir()
    try:
        model = openvino.convert_model(source)
        _number_anew(model)
        openvino.save_model(model, folder / "model.xml", compress_to_fp16=False)
    except RuntimeError as error:
        raise InputError(f"{source}: OpenVINO cannot convert it: {str(error).strip().splitlines()[-1]}") from error


def _number_anew(model: Any) -> None:
    """Name what has no name of its own by its place in the model. OpenVINO names it by how many operations the process
    has made before, so that the same model would give other files."""
    for index, op in enumerate(model.get_ordered_ops()):
        kind = op.get_type_name()
        # A constant can have the automatic name of the operations that were folded into it.
        automatic = r"[A-Z][A-Za-z]*_\d+" if kind == "Constant" else rf"{kind}_\d+"
        if re.fullmatch(automatic, op.get_friendly_name()):
            op.set_friendly_name(f"{kind}_{index}")


def _write_tensorrt(source: Path, precision: Precision, folder: Path) -> None:
    folder.mkdir()
    shutil.copyfile(source, folder / "model.onnx")
    shutil.copyfile(BUILD_ENGINE, folder / BUILD_ENGINE.name)
    graph = load_onnx(source)
    files.write_json(folder / RECIPE, tensorrt_recipe(precision, input_size(graph), half_precision.fp32_layers(graph)))


def tensorrt_recipe(precision: Precision, size: int, fp32_layers: list[str]) -> dict[str, Any]:
    """How to build the engine on the board (JetPack 4.6, TensorRT 8.2) for 1 to 4 regions, best at 4.

    There are two equal ways, but one alone where nodes of these names stay in FP32: with FP16 allowed, TensorRT chooses
    each layer's precision again, whatever the types in the ONNX file, and the `trtexec` of 8.2 cannot hold it to one.
    """
    shapes = " ".join(
        f"--{name}Shapes={INPUT}:{count}x3x{size}x{size}" for name, count in (("min", 1), ("opt", 4), ("max", 4))
    )
    half = " --fp16" if precision == "fp16" else ""
    python = f"python3 {BUILD_ENGINE.name} model.onnx model.engine --size {size}{half}"
    recipe: dict[str, Any] = {"runtime": "TensorRT 8.2 (JetPack 4.6)"}
    if fp32_layers:
        return recipe | {
            "python": f"{python} --fp32-layers {RECIPE}",
            "fp32_layers": fp32_layers,
            "note": "use python: the trtexec of TensorRT 8.2 cannot keep single layers in FP32",
        }
    trtexec = f"trtexec --onnx=model.onnx --saveEngine=model.engine {shapes} --workspace=1024{half}"
    return recipe | {"trtexec": trtexec, "python": python, "fp32_layers": []}
