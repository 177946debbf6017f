"""The one record of what was measured: a candidate on a target in a lane.

Written as JSON by every stage and test that measures, read by the gates and the report. Units stand in the
names. A field that was not measured is null, never zero, and `not_measured` says why.
"""

from pathlib import Path
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipeline.records.board import Measured
from pipeline.records.paired import Paired
from pipeline.records.predictions import Prediction
from pipeline.records.targets import Precision, describe
from pipeline.system import files
from pipeline.system.errors import InputError, Missing

Lane = Literal["emulated", "device"]
LANES: tuple[Lane, ...] = get_args(Lane)
CloudBasis = Literal["measured", "simulated"]

# exact: bit for bit the target's, proven by an audit; unaudited: the same emulation without the proof; bounded: an
# interval that the target lies in; not_measured: the audit found the emulation to differ from the target, or there was
# too little time; fails: the emulated processor, or the target's memory, does not take the model.
Grade = Literal["exact", "bounded", "unaudited", "not_measured", "fails"]


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

    def lost_points(self, after: "Accuracy") -> float:
        """Percentage points from this one down to another (negative: up), of the same samples.

        Rounded once: the difference of two rounded percentages may lie above a limit that is just kept.
        """
        return 100 * (self.correct * after.n - after.correct * self.n) / (self.n * after.n)


class Accuracies(_Strict):
    """The same test samples under different arithmetic.

    fp32: the FP32 parent; cloud: the candidate on a server CPU, whose 8-bit sums do not saturate (measured here when
    this machine has VNNI, else simulated in floating point; the record's `cloud_basis` says which); host: the
    candidate on this very machine without a cap; target: the candidate as the target calculates, and where that is
    bounded only, the worse bound.
    """

    fp32: Accuracy | None = None
    cloud: Accuracy | None = None
    host: Accuracy | None = None
    target: Accuracy | None = None


class Audit(_Strict):
    """The target's emulation against an instruction-level emulator of its CPU, on the same inputs.

    `agrees` is null when the audit could not be made, and `reason` says why. `largest_difference` is between outputs,
    as a share of the largest one where `tolerance` is not zero.
    """

    emulator: str
    samples: int = Field(ge=0)
    tolerance: float = Field(ge=0)
    qemu_version: str | None = None
    agrees: bool | None = None
    largest_difference: float | None = None
    first_difference: str | None = None
    reason: str | None = None


class SaturatedLayer(_Strict):
    """A layer whose 8-bit sums saturate on the target, over the samples analysed.

    `saturated` of `pair_sums` hit the 16-bit limit, in `channels_hit` of `channels` output channels. `output_error` is
    the root mean square change of the model's output when this layer alone saturates, `share_percent` its part of the
    squares over all layers, `half_range_error` an estimate of what is left of it after the fix: 7-bit weights in the
    output channels hit, with the bias corrected, which leaves rounding alone.
    """

    name: str
    pair_sums: int = Field(ge=0)
    saturated: int = Field(ge=0)
    channels: int = Field(ge=0)
    channels_hit: int = Field(ge=0)
    output_error: float = Field(ge=0)
    share_percent: float = Field(ge=0)
    half_range_error: float = Field(ge=0)
    fix: str


class RoundedLayer(_Strict):
    """A layer whose values are FP16 on the target: how many of its `elements` did not fit, over all samples."""

    name: str
    op: str
    elements: int = Field(ge=0)
    overflow: int = Field(ge=0)
    subnormal: int = Field(ge=0)
    flushed: int = Field(ge=0)
    max_abs: float = Field(ge=0)


class Result(_Strict):
    """One candidate (model x method) on one target in one lane.

    `predicted` is of the emulated lane, `measured` of a board's; no field of the one ever stands for the other.
    `confusion` counts test samples by true class (row) and the target's answer (column), `predictions` are those
    answers as indices into `classes`, in the order of the test split; `grade` says how sure the emulation is, `bounds`
    gives the accuracy at either end where it is an interval. `paired` counts the answers that changed between the FP32
    parent and the target, which tells how sure the drop is. `input_size` is the width and height of the regions that
    it takes, in pixels, `size_bytes` what the runtime loads, `download_bytes` what the device fetches for it.
    """

    schema_version: Literal[2] = 2
    model: str
    method: str
    target: str
    lane: Lane
    precision: Precision
    refused: str | None = None
    input_size: int | None = Field(default=None, gt=0)
    grade: Grade | None = None
    audit: Audit | None = None
    accuracy: Accuracies = Accuracies()
    paired: Paired | None = None
    bounds: dict[str, Accuracy] = {}
    cloud_basis: CloudBasis | None = None
    layers: list[SaturatedLayer | RoundedLayer] = []
    agreement_percent: float | None = Field(default=None, ge=0, le=100)
    classes: list[str] = []
    confusion: list[list[int]] = []
    predictions: list[int] = []
    size_bytes: int | None = Field(default=None, gt=0)
    download_bytes: int | None = Field(default=None, gt=0)
    predicted: Prediction | None = None
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
        return self.accuracy.fp32.lost_points(self.accuracy.target)

    @property
    def on_board(self) -> Measured | None:
        """The speed and power that a board showed; None for one that held itself back, which was not measured.

        It shows what the board does in the heat, not what it can do.
        """
        return None if self.measured is None or self.measured.throttled else self.measured

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
        raise Missing(f"{path}: no such result; run `dvc repro` first") from error
    except ValidationError as error:
        raise InputError(f"{path}: not a result record: {describe(error)}") from error
