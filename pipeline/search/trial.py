"""One trial on one rung: compressed, exported and re-tested by the pipeline's own stages, kept as one file.

The file's name is a hash of all that decides the outcome, so a finished trial is never repeated, a changed one is never
taken for it, and the files of several machines can be copied together.
"""

import hashlib
import json
import shutil
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from pipeline.compress.recipe import Recipe
from pipeline.data.dataset import Dataset, open_dataset
from pipeline.project import code, layout
from pipeline.project.candidate import Candidate
from pipeline.project.params import Params
from pipeline.records.results import Result, read_result
from pipeline.records.targets import Target, load_target
from pipeline.system import files
from pipeline.system.errors import InputError, Missing
from pipeline.system.stopwatch import part, recording
from pipeline.system.versions import versions

STAGES = ("compress", "export", "retest")  # that a trial goes through


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


def identify(model: str, recipe: Recipe, target: Target, params: Params, dataset: Dataset) -> Candidate:
    """The trial of a recipe on a target: a candidate whose method is the hash of all that decides its outcome.

    Raises:
        InputError: the model's parent is not trained yet.
    """
    parts = [model, recipe.as_yaml(), params.seed, params.width, rests_on(target, [model], dataset)]
    name = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]
    return Candidate(model, name, recipe, layout.SEARCH)


def rests_on(target: Target, models: Iterable[str], dataset: Dataset) -> dict[str, str]:
    """What decides the outcome of every trial of these models and cannot be handed over: by name, a version or a hash.

    Raises:
        InputError: a parent is not trained yet.
    """
    found = {"code": code.identity(*STAGES), f"target {target.name}": target.sha256, "data": _content(dataset.folder)}
    for model in models:
        weights, answers = layout.parent_weights(model), layout.parent_logits(model, "val")
        if not weights.exists():
            raise Missing(f"{weights} not found: run `dvc repro train@{model}`")
        found[f"parent of {model}"] = code.content(layout.parent(model), [weights.name, answers.name])
    return found | versions(*code.PACKAGES)


def refusal(target_name: str, models: Sequence[str], wanted: dict[str, str]) -> str | None:
    """Why no trial can be evaluated in this folder as it would be where `wanted` is what it rests on; None: it can."""
    try:
        found = rests_on(load_target(target_name), models, open_dataset(layout.DATASET))
    except (InputError, ImportError) as error:  # a package is not installed
        return f"{error} (in {Path.cwd()}, where it was started)"
    other = [name for name, value in wanted.items() if found[name] != value]
    return f"{Path.cwd()} has another version of: {', '.join(other)}" if other else None


def read(trial: Candidate, target: Target) -> Record | None:
    """The record of a finished trial; None when there is none, or none that can be trusted."""
    try:
        record = Record.model_validate_json(layout.trial_record(target.name, trial.method).read_bytes())
    except (OSError, ValidationError):
        return None
    return record if record.id == trial.method else None


def evaluate(trial: Candidate, target: Target, params: Params, dataset: Dataset, *, keep: bool) -> Record:
    """Evaluate a trial on the validation split; its model stays only to `keep` it.

    A recipe that cannot be carried out (no such budget, training diverges) is an outcome too.
    """
    from pipeline.stages.retest import retest

    result, failed = None, None
    with recording() as seconds:
        try:
            _make(trial, params, dataset)
            with part("re-test"):
                result = retest(trial, target, dataset, "val")
        except InputError as error:
            failed = str(error)
    rounded = {name: round(value, 3) for name, value in seconds.items()}
    if not keep:
        clean(trial)
    return Record(id=trial.method, result=result, failed=failed, seconds=rounded)


def write(record: Record, target: Target) -> None:
    """Keep a trial's record: from now on it is finished."""
    files.write_json(layout.trial_record(target.name, record.id), record.model_dump(mode="json"))


def test(trial: Candidate, target: Target, params: Params, dataset: Dataset) -> Result:
    """The re-test of a chosen trial on the test split, which no choice has seen; made anew where it is not kept.

    Raises:
        InputError: its model has to be made anew, and cannot be.
    """
    from pipeline.stages.retest import retest

    kept = layout.trial_record(target.name, f"{trial.method}-test")
    try:
        return read_result(kept)
    except InputError:  # not there, or damaged
        pass
    if not trial.exported.exists():
        _make(trial, params, dataset)
    result = retest(trial, target, dataset)
    result.write(kept)
    return result


def clean(trial: Candidate) -> None:
    """Delete a trial's model, and what a killed process left half-written of it; its record stays."""
    for folder in (trial.compressed, trial.exported):
        for found in (folder, *folder.parent.glob(f".{folder.name}.*")):
            shutil.rmtree(found, ignore_errors=True)


def _make(trial: Candidate, params: Params, dataset: Dataset) -> None:
    from pipeline.stages.compress import compress
    from pipeline.stages.export import export

    clean(trial)
    with part("compress"):
        compress(trial, params, dataset)
    with part("export"):
        export(trial)


@lru_cache
def _content(folder: Path) -> str:
    """A hash of the data set."""
    return code.content(folder, ["."])
