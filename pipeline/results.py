"""The one record of what was measured: a candidate on a target in a lane.

Written as JSON by every stage and test that measures, read by the gates and the report. Units stand in the
names. A field that was not measured is null, never zero, and `not_measured` says why.
"""

import importlib.metadata
import subprocess
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipeline import files
from pipeline.errors import InputError
from pipeline.targets import Precision, describe

Lane = Literal["emulated", "device"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Accuracy(_Strict):
    """Top-1 accuracy: `correct` of `n` samples."""

    correct: int = Field(ge=0)
    n: int = Field(gt=0)

    @model_validator(mode="after")
    def _no_more_than_all(self) -> "Accuracy":
        if self.correct > self.n:
            raise ValueError(f"{self.correct} correct of {self.n}")
        return self

    @property
    def percent(self) -> float:
        """0 to 100."""
        return 100.0 * self.correct / self.n


class Accuracies(_Strict):
    """The same test samples under different arithmetic.

    fp32: the FP32 parent; target: the candidate as the target calculates; host: the candidate on this machine
    without a cap (what an ordinary cloud test reports); unsaturated: the candidate's quantization with
    accumulators that never overflow, as on a CPU with VNNI.
    """

    fp32: Accuracy | None = None
    target: Accuracy | None = None
    host: Accuracy | None = None
    unsaturated: Accuracy | None = None


class Predicted(_Strict):
    """Speed by a fitted model, not by measurement; `error_percent` is that model's own error on unseen networks."""

    inferences_per_s: float = Field(gt=0)
    latency_ms: float = Field(gt=0)
    error_percent: float = Field(ge=0)
    notes: list[str] = []


class Measured(_Strict):
    """What a real board showed: raw latencies, and power with the rail and sampler that gave it."""

    latency_ms: list[float] = Field(min_length=1)
    regions_per_s: float = Field(gt=0)
    power_w: float | None = Field(default=None, gt=0)
    power_rail: str | None = None
    power_sampler: str | None = None
    temperature_before_c: float | None = None
    temperature_after_c: float | None = None
    throttled: bool | None = None


class Result(_Strict):
    """One candidate (model x method) on one target in one lane.

    `confusion` counts test samples by true class (row) and the target's answer (column), `predictions` are those
    answers as indices into `classes`, in the order of the test split; `grade` says how sure the emulation is.
    """

    schema_version: Literal[1] = 1
    model: str
    method: str
    target: str
    lane: Lane
    precision: Precision
    refused: str | None = None
    grade: Literal["exact", "bounded", "unaudited"] | None = None
    accuracy: Accuracies = Accuracies()
    agreement_percent: float | None = Field(default=None, ge=0, le=100)
    classes: list[str] = []
    confusion: list[list[int]] = []
    predictions: list[int] = []
    size_bytes: int | None = Field(default=None, gt=0)
    predicted: Predicted | None = None
    measured: Measured | None = None
    not_measured: dict[str, str] = {}
    model_sha256: str | None = None
    data_sha256: str | None = None
    git_commit: str | None = None
    host_isa: str | None = None
    versions: dict[str, str] = {}

    @property
    def candidate(self) -> str:
        """Model and method as one name."""
        return f"{self.model}/{self.method}"

    @property
    def accuracy_drop_points(self) -> float | None:
        """Percentage points lost on the target against the FP32 parent (negative: gained)."""
        if self.accuracy.fp32 is None or self.accuracy.target is None:
            return None
        return self.accuracy.fp32.percent - self.accuracy.target.percent

    def write(self, path: Path) -> None:
        """Write the record as JSON, whole or not at all."""
        files.write_json(path, self.model_dump(mode="json"))


def read_result(path: Path) -> Result:
    """Read one record.

    Raises:
        InputError: the file is missing, is not JSON, or is no valid record.
    """
    try:
        return Result.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such result; run `dvc repro` first") from error
    except ValidationError as error:
        raise InputError(f"{path}: not a result record: {describe(error)}") from error


def git_commit() -> str | None:
    """The commit checked out here, or None outside a Git repository."""
    answer = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return answer.stdout.strip() or None


def versions(*packages: str) -> dict[str, str]:
    """Installed versions of the packages a measurement rests on."""
    return {name: importlib.metadata.version(name) for name in packages}
