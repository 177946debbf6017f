"""Stage re-test: run an exported candidate as its target would, on the test split, and record what came out.

A search chooses by another split, so that the test of its winner stays one. Only the test is audited.
"""

import contextlib
import hashlib
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import models
from pipeline import files, layout, results
from pipeline.check.onnx_file import input_size, load_onnx
from pipeline.config import Params
from pipeline.dataset import Dataset, SplitName
from pipeline.errors import InputError
from pipeline.files import sha256
from pipeline.regions import Regions
from pipeline.results import Predicted, Result
from pipeline.retest import capped_isa
from pipeline.retest.emulate import emulate
from pipeline.retest.score import agreement_percent, classes, score
from pipeline.targets import Precision, Target, load_target


def retest(
    model: str, method: str, target_name: str, params: Params, dataset: Dataset, split: SplitName = "test"
) -> Result:
    """Measure one candidate on one target in the emulated lane, on the samples of a split.

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

    runtime = target.runtime.name
    file = layout.exported(model, method) / runtime / ("model.xml" if runtime == "openvino" else "model.onnx")
    download = file.parent.with_suffix(".pack")
    for needed in (file, download):
        if not needed.exists():
            raise InputError(f"{needed} not found: run `dvc repro export@{model}-{method}`")
    candidate = layout.candidate(model, method) / "model.onnx"
    predicted, reason = _predict(candidate, target, precision)
    not_measured = {"measured": "speed and power are measured on a board, never in the cloud"}
    if reason:
        not_measured["predicted"] = reason
    spec = replace(models.spec(model), input_size=input_size(load_onnx(candidate)))
    regions = Regions(dataset, spec, split)
    labels = regions.labels
    parent_logits = _parent_logits(model, len(labels)) if split == "test" else _answers(model, split, params, dataset)
    batch = target.objective.regions_per_frame
    shape = (batch, 3, spec.input_size, spec.input_size)
    emulation = emulate(file, precision, regions, shape, target, proven=split == "test")
    scores = score(emulation, labels, parent_logits)
    outputs = scores.target_outputs
    answers = None if outputs is None else classes(outputs)
    return Result.model_validate(
        {
            **identity,
            "input_size": spec.input_size,
            "grade": emulation.grade,
            "audit": emulation.audit,
            "accuracy": scores.accuracy,
            "bounds": scores.bounds,
            "cloud_basis": emulation.cloud_basis,
            "agreement_percent": None if outputs is None else agreement_percent(outputs, parent_logits),
            "classes": dataset.classes,
            "predictions": [] if answers is None else answers.tolist(),
            "confusion": [] if answers is None else _confusion(labels, answers, len(dataset.classes)),
            "layers": emulation.layers,
            "size_bytes": sum(path.stat().st_size for path in file.parent.glob("model.*")),
            "download_bytes": download.stat().st_size,
            "predicted": predicted,
            "not_measured": {**not_measured, **emulation.not_measured},
            "model_sha256": sha256(file.with_suffix(".bin") if file.suffix == ".xml" else file),
            "data_sha256": sha256(dataset.folder / "samples.csv"),
            "git_commit": results.git_commit(),
            "host_isa": capped_isa.host_isa(),
            "versions": results.versions("openvino", "onnxruntime", "opencv-python-headless", "numpy"),
        }
    )


def _confusion(labels: NDArray[np.int64], answers: NDArray[np.int64], count: int) -> list[list[int]]:
    """True classes as rows, answers as columns; samples without an answer are in none."""
    matrix = np.zeros((count, count), np.int64)
    np.add.at(matrix, (labels[answers >= 0], answers[answers >= 0]), 1)
    rows: list[list[int]] = matrix.tolist()
    return rows


def _parent_logits(model: str, samples: int) -> NDArray[np.float32]:
    path = layout.parent_logits(model)
    try:
        logits: NDArray[np.float32] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: missing or damaged; run `dvc repro train@{model}`") from error
    if len(logits) != samples:
        raise InputError(f"{path}: has {len(logits)} answers for {samples} test samples; run `dvc repro train@{model}`")
    return logits


def _answers(model: str, split: SplitName, params: Params, dataset: Dataset) -> NDArray[np.float32]:
    """The parent's logits on a split that its training leaves none of; kept, since every trial asks for them."""
    from pipeline.train import load_parent, predict

    weights = sha256(layout.parent(model) / "weights.safetensors")
    key = hashlib.sha256((weights + sha256(dataset.folder / "samples.csv")).encode()).hexdigest()[:12]
    path = layout.answers(model, split, key)
    with contextlib.suppress(OSError, ValueError, EOFError):  # not there, or damaged
        kept: NDArray[np.float32] = np.load(path, allow_pickle=False)
        if len(kept) == len(dataset.split(split)):
            return kept
    spec = models.spec(model)
    images, _ = dataset.load(split, spec.input_size)
    logits = predict(load_parent(model, params, len(dataset.classes)), images, spec)
    buffer = io.BytesIO()
    np.save(buffer, logits)
    files.write_bytes(path, buffer.getvalue())
    return logits


def _predict(model: Path, target: Target, precision: Precision) -> tuple[Predicted | None, str | None]:
    from pipeline.predict import predict

    try:
        found = predict(model, target, precision, batch=target.objective.regions_per_frame)
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
