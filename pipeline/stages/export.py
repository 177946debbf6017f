"""Stage export: hardware-ready files, what each runtime on a device loads.

OpenVINO targets get an IR (`openvino/model.xml`, `.bin`), ONNX Runtime takes the ONNX file itself. TensorRT targets get
it with the recipe that builds the engine on the board. Beside a runtime's folder stands the same as one small download,
such as `openvino.tar.xz`.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import onnx

from pipeline.formats import runtimes
from pipeline.formats.mixed_precision import fp32_layers
from pipeline.formats.onnx_file import OPSET, input_size, load_onnx
from pipeline.formats.pack import pack
from pipeline.formats.to_openvino import write_openvino
from pipeline.project.candidate import FACTS, Candidate
from pipeline.records.targets import Precision, RuntimeName
from pipeline.system import files
from pipeline.system.errors import Missing
from pipeline.system.versions import versions
from runners.contract import engine_recipe, model_input
from runners.contract.model_input import ModelInput

RUNTIME_PRECISIONS: dict[RuntimeName, tuple[Precision, ...]] = {
    "openvino": ("fp32", "fp16", "int8"),
    "tensorrt": ("fp32", "fp16"),
    "onnxruntime": ("fp32", "int8"),
}


def export(candidate: Candidate) -> dict[str, Any]:
    """Write the hardware-ready folder of a candidate; the answer is its manifest.

    What a runtime would not read of its folder stands there under `unread`: other runtimes may read all of theirs, and
    a target whose runtime does not is refused by the re-test.

    Raises:
        InputError: the candidate is missing, damaged, or cannot be converted.
    """
    source, precision = candidate.graph, candidate.precision
    if not source.exists():
        raise Missing(f"{source} not found: run `dvc repro`")
    wanted = _wanted(candidate)
    graph = load_onnx(source)
    with files.replacing_folder(candidate.exported) as folder:
        if precision in RUNTIME_PRECISIONS["openvino"]:
            write_openvino(source, folder / "openvino")
        if precision in RUNTIME_PRECISIONS["tensorrt"]:
            _write_tensorrt(source, precision, folder / "tensorrt")
        if precision in RUNTIME_PRECISIONS["onnxruntime"]:
            (folder / "onnxruntime").mkdir()
            shutil.copyfile(source, folder / "onnxruntime" / "model.onnx")
        for runtime in RUNTIME_PRECISIONS:
            if (folder / runtime).exists():
                files.write_json(folder / runtime / model_input.NAME, model_input.as_json(wanted))
                pack(folder / runtime, folder / candidate.download(runtime).name)
        manifest = {
            "precision": precision,
            "opset": OPSET,
            "unread": {
                name: found
                for name in RUNTIME_PRECISIONS
                if (folder / name).exists() and (found := unread(graph, name))
            },
            "files": {
                str(path.relative_to(folder)): {"sha256": files.sha256(path), "size_bytes": path.stat().st_size}
                for path in sorted(folder.rglob("*"))
                if path.is_file()
            },
            "versions": versions("torch", "onnx", "openvino", "nncf"),
        }
        files.write_json(folder / "manifest.json", manifest)
    return manifest


def unread(graph: onnx.ModelProto, runtime: RuntimeName) -> list[str]:
    """What no known version of a runtime reads of a network as the file means it, a sentence for each operator."""
    found: list[list[str]] = []
    for version in runtimes.versions_of(runtime):
        facts = runtimes.knowledge(runtime, version)
        assert facts is not None
        found.append(runtimes.words(runtimes.read_by(graph, runtime, version), facts.title))
    return [] if [] in found else [sentence for sentences in found for sentence in sentences]


def _wanted(candidate: Candidate) -> ModelInput:
    """How the candidate wants its images, as the stage before wrote it down."""
    path = candidate.compressed / FACTS
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        return ModelInput(
            facts["input_size"], facts["mean"], facts["std"], facts["classes"], facts.get("temperature", 1.0)
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Missing(f"{path}: missing or damaged; run `dvc repro`") from error


def _write_tensorrt(source: Path, precision: Precision, folder: Path) -> None:
    folder.mkdir()
    shutil.copyfile(source, folder / engine_recipe.MODEL)
    graph = load_onnx(source)
    recipe = engine_recipe.Recipe(input_size(graph), precision == "fp16", fp32_layers(graph))
    files.write_json(folder / engine_recipe.NAME, engine_recipe.as_json(recipe))
