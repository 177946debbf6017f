"""Re-test: run an exported candidate as its target would, on the test split, and record what came out."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import models
from pipeline import layout, results
from pipeline.config import Params
from pipeline.dataset import Dataset
from pipeline.errors import InputError
from pipeline.files import sha256
from pipeline.results import Accuracies, Accuracy, Predicted, Result
from pipeline.targets import Precision, Target, load_target

RUNTIME_FILES = {"openvino": "openvino/model.xml", "tensorrt": "tensorrt/model.onnx"}


def retest(model: str, method: str, target_name: str, params: Params, dataset: Dataset) -> Result:
    """Measure one candidate on one target in the emulated lane.

    A precision that the target refuses gives a record that says so. What cannot be emulated here is recorded as
    not measured, with the reason.

    Raises:
        InputError: unknown target, or the candidate's files are missing or damaged.
    """
    target = load_target(target_name)
    precision = params.recipe(method).precision
    identity = {"model": model, "method": method, "target": target.name, "lane": "emulated", "precision": precision}
    if refusal := target.refusal(precision):
        return Result.model_validate({**identity, "refused": refusal})

    file = layout.exported(model, method) / RUNTIME_FILES.get(target.runtime.name, "model.onnx")
    if not file.exists():
        raise InputError(f"{file} not found: run `dvc repro export@{model}-{method}`")
    predicted, reason = _predict(layout.candidate(model, method), target, precision)
    not_measured = {"measured": "speed and power are measured on a board, never in the cloud"}
    if reason:
        not_measured["predicted"] = reason
    common = {
        **identity,
        "classes": dataset.classes,
        "size_bytes": sum(path.stat().st_size for path in file.parent.glob("model.*")),
        "predicted": predicted,
        "model_sha256": sha256(file.with_suffix(".bin") if file.suffix == ".xml" else file),
        "data_sha256": sha256(dataset.folder / "samples.csv"),
        "git_commit": results.git_commit(),
        "versions": results.versions("openvino", "onnxruntime", "opencv-python-headless", "numpy"),
    }
    spec = models.spec(model)
    images, labels = dataset.load("test", spec.input_size)
    parent_logits = _parent_logits(model, len(labels))
    fp32 = _accuracy(parent_logits, labels)
    if target.emulation.kind != "capped-isa":
        reason = f"this release has no {target.emulation.kind} emulation; measure it on a board"
        not_measured["accuracy.target"] = reason
        return Result.model_validate({**common, "accuracy": Accuracies(fp32=fp32), "not_measured": not_measured})

    from sklearn.metrics import confusion_matrix

    from pipeline.retest import capped_isa

    capped = capped_isa.run(file, images, spec, target).logits
    host = capped_isa.run(file, images, spec, target, capped=False).logits
    # Only 8-bit sums saturate: in FP32 the third run would be the second one again.
    unsaturated = (
        capped_isa.run(file, images, spec, target, capped=False, saturating=False).logits
        if precision == "int8"
        else host
    )
    return Result.model_validate(
        {
            **common,
            "grade": "unaudited",
            "accuracy": Accuracies(
                fp32=fp32,
                target=_accuracy(capped, labels),
                host=_accuracy(host, labels),
                unsaturated=_accuracy(unsaturated, labels),
            ),
            "agreement_percent": 100.0 * float((capped.argmax(1) == parent_logits.argmax(1)).mean()),
            "predictions": capped.argmax(1).tolist(),
            "confusion": confusion_matrix(labels, capped.argmax(1), labels=range(len(dataset.classes))).tolist(),
            "host_isa": capped_isa.host_isa(),
            "not_measured": not_measured,
        }
    )


def _parent_logits(model: str, samples: int) -> NDArray[np.float32]:
    from pipeline.train import PARENT_LOGITS

    path = layout.parent(model) / PARENT_LOGITS
    try:
        logits: NDArray[np.float32] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: missing or damaged; run `dvc repro train@{model}`") from error
    if len(logits) != samples:
        raise InputError(f"{path}: has {len(logits)} answers for {samples} test samples; run `dvc repro train@{model}`")
    return logits


def _accuracy(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> Accuracy:
    if not np.isfinite(logits).all():
        raise InputError("the model's outputs are no numbers (NaN or infinity): its weights are damaged")
    return Accuracy(correct=int((logits.argmax(1) == labels).sum()), n=len(labels))


def _predict(candidate: Path, target: Target, precision: Precision) -> tuple[Predicted | None, str | None]:
    from pipeline.predict import predict

    try:
        found = predict(candidate / "model.onnx", target, precision, batch=target.objective.regions_per_frame)
    except InputError as error:
        return None, str(error)
    return (
        Predicted(
            inferences_per_s=found.inferences_per_s,
            latency_ms=found.latency_ms,
            error_percent=found.error_percent,
            notes=list(found.notes),
        ),
        None,
    )
