"""Where things lie, from stage to stage. All of it below the repository's folder; `artifacts/` is DVC's."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.records.results import Lane


PARAMS = Path("params.yaml")
DATA = Path("data")
ARTIFACTS = Path("artifacts")
DATASET = ARTIFACTS / "dataset"
REPORT = ARTIFACTS / "report"
METRICS = ARTIFACTS / "metrics.json"
SEARCH = ARTIFACTS / "search"
REPEAT = ARTIFACTS / "repeat"
INGEST = ARTIFACTS / "ingest"
CHECKPOINTS = ARTIFACTS / "checkpoints"  # no stage's output, so that a kill loses nothing of a training


def recipe(method: str) -> Path:
    """A method's recipe with the facts of the targets that it names."""
    return ARTIFACTS / "recipes" / f"{method}.json"


def parent(model: str) -> Path:
    """The trained FP32 network."""
    return ARTIFACTS / "train" / model


def parent_weights(model: str) -> Path:
    """Its weights."""
    return parent(model) / "weights.safetensors"


def parent_logits(model: str, split: str) -> Path:
    """The FP32 parent's answers on the `val` or the `test` split, (N, classes) float32."""
    return parent(model) / f"{split}_logits.npy"


def result(lane: "Lane", model: str, method: str, target: str) -> Path:
    """The record of a candidate on a target, in the cloud or on a board."""
    return ARTIFACTS / "results" / lane / model / method / f"{target}.json"


def search(target: str) -> Path:
    """The report of a search, and one record a trial."""
    return SEARCH / target


def trial_record(target: str, trial: str) -> Path:
    """What a search's trial came to."""
    return search(target) / "trials" / f"{trial}.json"
