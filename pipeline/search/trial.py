"""One trial on one rung: compressed, exported and re-tested by the pipeline's own stages, kept as one file.

The file's name is a hash of all that decides the outcome, so a finished trial is never repeated, a changed one is never
taken for it, and the files of several machines can be copied together.
"""

import hashlib
import json
import shutil
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

import models
from pipeline import files, layout
from pipeline.config import Method, Params
from pipeline.dataset import Dataset
from pipeline.errors import InputError
from pipeline.results import Result, read_result, versions
from pipeline.stopwatch import part, recording
from pipeline.targets import Target

PACKAGES = ("nncf", "numpy", "onnx", "onnxruntime", "onnxslim", "openvino", "torch", "torch-pruning")
CODE = (
    "compress",
    "predict",
    "retest",
    "config.py",
    "dataset.py",
    "export.py",
    "pack.py",
    "regions.py",
    "results.py",
    "train.py",
)


@dataclass(frozen=True)
class Trial:
    """A recipe for a model as one rung evaluates it; `id` names it and everything else that decides its outcome."""

    id: str
    model: str
    method: Method

    @property
    def name(self) -> str:
        """What the stages know it by, in place of a method's name."""
        return f"{layout.TRIAL}{self.id}"


class Record(BaseModel):
    """What a trial came to on the validation split: a result, or why there can be none.

    `seconds` goes by part of the work.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    result: Result | None = None
    failed: str | None = None
    seconds: dict[str, float]

    @model_validator(mode="after")
    def _one_outcome(self) -> "Record":
        if (self.result is None) == (self.failed is None):
            raise ValueError("a trial has a result or a reason why there is none")
        return self


def identify(model: str, method: Method, target: Target, params: Params, dataset: Dataset) -> Trial:
    """The trial of a recipe on a target, with its name.

    Raises:
        InputError: the model's parent is not trained yet.
    """
    parent = layout.parent(model) / "weights.safetensors"
    if not parent.exists():
        raise InputError(f"{parent} not found: run `dvc repro train@{model}`")
    parts = [
        target.model_dump(mode="json"),
        model,
        method.model_dump(mode="json"),
        params.seed,
        params.width,
        files.sha256(parent),
        _content(dataset.folder),
        _code(),
        versions(*PACKAGES),
    ]
    return Trial(hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12], model, method)


def read(trial: Trial, target: Target) -> Record | None:
    """The record of a finished trial; None when there is none, or none that can be trusted."""
    try:
        record = Record.model_validate_json(layout.trial_record(target.name, trial.id).read_bytes())
    except (OSError, ValidationError):
        return None
    return record if record.id == trial.id else None


def evaluate(trial: Trial, target: Target, params: Params, dataset: Dataset, *, keep: bool) -> Record:
    """Evaluate a trial on the validation split and write its record; its model stays only to `keep` it.

    A recipe that cannot be carried out (no such budget, training diverges) is an outcome too.
    """
    from pipeline.retest.stage import retest

    result, failed = None, None
    with recording() as seconds:
        try:
            _make(trial, params, dataset)
            with part("re-test"):
                result = retest(trial.model, trial.name, target.name, _params(trial, params), dataset, "val")
        except InputError as error:
            failed = str(error)
    rounded = {name: round(value, 3) for name, value in seconds.items()}
    record = Record(id=trial.id, result=result, failed=failed, seconds=rounded)
    files.write_json(layout.trial_record(target.name, trial.id), record.model_dump(mode="json"))
    if not keep:
        clean(trial)
    return record


def test(trial: Trial, target: Target, params: Params, dataset: Dataset) -> Result:
    """The re-test of a chosen trial on the test split, which no choice has seen; made anew where it is not kept.

    Raises:
        InputError: its model has to be made anew, and cannot be.
    """
    from pipeline.retest.stage import retest

    kept = layout.trial_record(target.name, f"{trial.id}-test")
    try:
        return read_result(kept)
    except InputError:  # not there, or damaged
        pass
    if not layout.exported(trial.model, trial.name).exists():
        _make(trial, params, dataset)
    result = retest(trial.model, trial.name, target.name, _params(trial, params), dataset)
    result.write(kept)
    return result


def clean(trial: Trial) -> None:
    """Delete a trial's model; its record stays."""
    for folder in (layout.candidate(trial.model, trial.name), layout.exported(trial.model, trial.name)):
        shutil.rmtree(folder, ignore_errors=True)


def _make(trial: Trial, params: Params, dataset: Dataset) -> None:
    from pipeline.compress import compress
    from pipeline.export import export

    with part("compress"):
        compress(trial.model, trial.name, _params(trial, params), dataset)
    with part("export"):
        export(trial.model, trial.name, trial.method.precision)


def _params(trial: Trial, params: Params) -> Params:
    """params.yaml with the trial's recipe in it."""
    return params.model_copy(update={"recipes": {trial.name: trial.method}})


@lru_cache
def _content(folder: Path) -> str:
    """A hash of all files in a folder, and of their names."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
    named = [(str(path.relative_to(folder)), files.sha256(path)) for path in paths]
    return hashlib.sha256(json.dumps(named).encode()).hexdigest()


@lru_cache
def _code() -> list[str]:
    """Hashes of the code that makes and measures a candidate."""
    here = Path(files.__file__).parent
    parts: list[Any] = [here / name for name in CODE]
    folders = [Path(models.__file__).parent, *(path for path in parts if path.is_dir())]
    single = [here.parent / "runners" / "edge" / "regions.py", *(path for path in parts if path.is_file())]
    return [*map(_content, folders), *map(files.sha256, single)]
