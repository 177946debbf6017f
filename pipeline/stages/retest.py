"""Stage re-test: run an exported candidate as its target would, on the test split, and record what came out.

A search chooses by another split, so that the test of its winner stays one. Only the test is audited.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import models
from pipeline.arithmetic import kinds
from pipeline.data.batches import Regions
from pipeline.data.dataset import Dataset, SplitName
from pipeline.formats import runtimes
from pipeline.formats.onnx_file import input_size, load_onnx
from pipeline.predict import predict
from pipeline.predict.frame import unknown
from pipeline.processes import host
from pipeline.project.candidate import FACTS, Candidate, weights_of
from pipeline.project.parent_answers import parent_answers
from pipeline.records.predictions import Prediction
from pipeline.records.results import Result
from pipeline.records.targets import Precision, Target
from pipeline.retest.audit import SAMPLES
from pipeline.retest.emulate import emulate
from pipeline.retest.score import agreement_percent, classes, score
from pipeline.system.errors import Missing, Unpredictable
from pipeline.system.files import sha256
from pipeline.system.versions import git_commit, versions


def retest(
    candidate: Candidate, target: Target, dataset: Dataset, split: SplitName = "test", audited: int = SAMPLES
) -> Result:
    """Measure one candidate on one target in the emulated lane, on the samples of a split (`val` or `test`).

    Of the test split `audited` samples are replayed as proof.

    A precision that the target refuses gives a record that says so. What cannot be emulated here is recorded as
    not measured, with the reason.

    Raises:
        InputError: the candidate's files are missing, damaged, or made for another state of this target.
    """
    precision, model = candidate.precision, candidate.model
    identity = {
        "model": model,
        "method": candidate.method,
        "target": target.name,
        "lane": "emulated",
        "precision": precision,
    }
    if refusal := target.refusal(precision):
        return Result.model_validate({**identity, "refused": refusal})

    file, download = candidate.loaded_by(target.runtime.name), candidate.download(target.runtime.name)
    for needed in (file, download):
        if not needed.exists():
            raise Missing(f"{needed} not found: run `dvc repro export@{model}-{candidate.method}`")
    _check_made_for(candidate, target)
    graph = load_onnx(candidate.graph)
    if unread := runtimes.words(runtimes.read_by(graph, target.runtime.name, target.runtime.version), target.name):
        return Result.model_validate({**identity, "refused": "; ".join(unread)})
    predicted, reason = _predict(candidate.graph, target, precision)
    not_measured = {"measured": "speed and power are measured on a board, never in the cloud"}
    if reason:
        not_measured["predicted"] = reason
    spec = replace(models.spec(model), input_size=input_size(graph))
    regions = Regions(dataset, spec, split)
    labels = regions.labels
    parent_logits = parent_answers(model, split, len(labels))
    batch = target.objective.regions_per_frame
    shape = (batch, 3, spec.input_size, spec.input_size)
    calculated = candidate.graph if kinds.of(target).refusal(file, target) else file
    emulation = emulate(calculated, precision, regions, shape, target, proven=split == "test", audited=audited)
    scores = score(emulation, labels, parent_logits, groups=regions.groups)
    outputs = scores.target_outputs
    answers = None if outputs is None else classes(outputs)
    return Result.model_validate(
        {
            **identity,
            "input_size": spec.input_size,
            "grade": emulation.grade,
            "audit": emulation.audit,
            "accuracy": scores.accuracy,
            "paired": scores.paired,
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
            "model_sha256": sha256(weights_of(file)),
            "data_sha256": sha256(dataset.folder / "samples.csv"),
            "git_commit": git_commit(),
            "host_isa": host.isa(),
            "versions": versions("openvino", "onnxruntime", "opencv-python-headless", "numpy"),
        }
    )


def _check_made_for(candidate: Candidate, target: Target) -> None:
    """A candidate that was made for this target must have been made for what the target is now."""
    path = candidate.compressed / FACTS
    try:
        made_for = json.loads(path.read_text(encoding="utf-8"))["targets"]
        known = made_for.get(target.name, target.sha256)
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise Missing(f"{path}: missing or damaged; run `dvc repro`") from error
    if known != target.sha256:
        raise Missing(
            f"{candidate.compressed}: was made for another state of {target.name}; "
            f"run `dvc repro compress@{candidate.model}-{candidate.method}`"
        )


def _confusion(labels: NDArray[np.int64], answers: NDArray[np.int64], count: int) -> list[list[int]]:
    """True classes as rows, answers as columns; samples without an answer are in none."""
    matrix = np.zeros((count, count), np.int64)
    np.add.at(matrix, (labels[answers >= 0], answers[answers >= 0]), 1)
    rows: list[list[int]] = matrix.tolist()
    return rows


def _predict(model: Path, target: Target, precision: Precision) -> tuple[Prediction | None, str | None]:
    try:
        found = predict(model, target, precision, batch=target.objective.regions_per_frame)
    except Unpredictable as error:
        return None, str(error)
    return found.model_copy(update={"layers": []}), None if found.frames_per_s else unknown(target)
