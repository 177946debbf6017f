"""Post-training compression of anyone's ONNX file, with nothing of the pipeline needed."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeVar, get_args

import onnx

from pipeline.arithmetic import kinds
from pipeline.formats import runtimes
from pipeline.formats.model_file import ModelFile
from pipeline.formats.modern import modern
from pipeline.formats.onnx_file import parsed
from pipeline.predict.patience import most_cpu_s
from pipeline.processes.apart import done_apart
from pipeline.processes.samples import Samples
from pipeline.records.targets import Target
from pipeline.system import files
from pipeline.system.errors import BadModel, InputError, Refused, reason
from pipeline.system.written import Output

PostTraining = Literal["int8", "fp16"]  # each is the precision of what it makes
Outcome = TypeVar("Outcome")
LEAST_CPU_S = 600.0  # for what libraries do before and beside the calibration, however small the network
METHODS: tuple[PostTraining, ...] = get_args(PostTraining)


def output_folder(path: Path, *sources: Path, by: str = "edgeproof compress") -> Output:
    """The folder `path` as one that the command `by` may write, away from what is read (`sources`).

    Raises:
        InputError: its name is one that runtimes cannot open.
    """
    files.check_name(path)
    advice = "name a new folder"
    if path.is_dir() and {"model.onnx"} <= {entry.name for entry in path.iterdir()} <= {"model.onnx", "openvino"}:
        advice += ", or delete it if an earlier edgeproof wrote it, which left no record"
    return Output(path, by, sources, advice=advice)


def compress_file(
    model: ModelFile,
    method: PostTraining,
    target: Target,
    samples: Samples,
    output: Path,
    least_cpu_s: float = LEAST_CPU_S,
) -> Path:
    """Write `output`/model.onnx, compressed for a target and calibrated on `samples`, whole or not at all.

    It may use `least_cpu_s` of CPU time, and more the more there is to calculate.

    An OpenVINO target gets the IR beside it, in `output`/openvino/. The answer is the ONNX file's path. What the
    target's runtime would not read is rewritten first.

    Raises:
        InputError: the target refuses the precision, the model is not FP32 ONNX, it cannot be compressed, its runtime
            cannot be made to read it, or `output` holds what was not written here.
    """
    if refusal := target.refusal(method):
        raise Refused(refusal)
    if model.format != "onnx" or model.precision != "fp32":
        raise BadModel(f"{model.path}: {model.precision} in {model.format}; give the FP32 original as ONNX")
    limit_s = most_cpu_s(model.path, model.sample_shape, len(samples), least_cpu_s)
    with done_apart(model.path, _compressed, model, method, target, samples, cpu_limit_s=limit_s) as (made, _):
        _put(made, output_folder(output, model.path))
    return output / "model.onnx"


def _compressed(folder: Path, model: ModelFile, method: PostTraining, target: Target, samples: Samples) -> None:
    graph = modern(parsed(model.path))
    runtime = target.runtime
    if runtimes.read_by(graph, runtime.name, runtime.version).unreadable:
        from pipeline.formats.remedies import remedied

        graph = _named(model, lambda: remedied(graph, runtime.name, runtime.version, model.sample_shape).model)
    try:
        compressed = _COMPRESS[method](graph, samples, target)
    except Refused as error:  # by a step that knows no file
        raise Refused(f"{model.path}: {error}") from error
    except BadModel as error:  # by the target's arithmetic, which knows no file either
        raise BadModel(f"{model.path}: cannot be compressed to {method.upper()} here: {error}") from error
    except (InputError, OSError):  # a full disk says nothing of the network
        raise
    except Exception as error:  # NNCF, ONNX Runtime and OpenVINO each raise their own kinds
        raise Refused(
            f"{model.path}: cannot be compressed to {method.upper()}{reason(error)}; simplify its graph (onnxslim), "
            "or export it again with another opset"
        ) from error
    known = runtimes.knowledge(runtime.name, runtime.version)
    if known and runtimes.read_by(compressed, runtime.name, runtime.version).unreadable:
        from pipeline.formats.remedies import lowered

        compressed = lowered(compressed, known)  # the original's opset may be too new for what was added
    onnx.save(compressed, folder / "model.onnx")
    if target.runtime.name == "openvino":
        from pipeline.formats.to_openvino import write_openvino

        write_openvino(folder / "model.onnx", folder / "openvino")


def convert_file(model: ModelFile, target: Target, output: Path) -> list[str]:
    """Write `output`/model.onnx, rewritten for the target's runtime and nothing else; the answer is what was done.

    Raises:
        InputError: it is no ONNX file, or see `pipeline.formats.remedies.remedied`.
    """
    if model.format != "onnx":
        raise BadModel(f"{model.path}: is no ONNX file; only those are rewritten")
    limit_s = most_cpu_s(model.path, model.sample_shape, 1, LEAST_CPU_S)
    with done_apart(model.path, _converted, model, target, cpu_limit_s=limit_s) as (made, changes):
        _put(made, output_folder(output, model.path, by="edgeproof convert"))
    return list(changes)


def _converted(folder: Path, model: ModelFile, target: Target) -> list[str]:
    from pipeline.formats.remedies import remedied

    graph, runtime = parsed(model.path), target.runtime
    found = _named(model, lambda: remedied(graph, runtime.name, runtime.version, model.sample_shape))
    onnx.save(found.model, folder / "model.onnx")
    return [*found.changes, f"outputs within {found.difference:.1e} of the largest one on random inputs"]


def _put(made: Path, output: Output) -> None:
    with output.replaced() as folder:
        shutil.copytree(made, folder, dirs_exist_ok=True)


def _named(model: ModelFile, work: Callable[[], Outcome]) -> Outcome:
    """What `work` gives; its errors get the file's name."""
    try:
        return work()
    except InputError as error:
        raise type(error)(f"{model.path}: {error}") from error


def _int8(graph: onnx.ModelProto, samples: Samples, target: Target) -> onnx.ModelProto:
    from pipeline.compress.calibration import quantize
    from pipeline.formats.folding import folded

    # Folded first: the weights that are fitted to the target are those that it multiplies.
    return quantize(folded(graph), samples, target)


def _fp16(graph: onnx.ModelProto, samples: Samples, target: Target) -> onnx.ModelProto:
    from pipeline.compress.half_precision import to_half_precision

    return to_half_precision(graph, samples, [kinds.of(target)])


_COMPRESS: dict[PostTraining, Callable[[onnx.ModelProto, Samples, Target], onnx.ModelProto]] = {
    "int8": _int8,
    "fp16": _fp16,
}
