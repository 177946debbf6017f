"""What `edgeproof check` answers, as JSON; docs/check.md explains the fields. Percentages are 0 to 100."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from pipeline.check.task import Name
from pipeline.formats.runtimes import Reading
from pipeline.records.gates import Check, Verdict
from pipeline.records.paired import Paired
from pipeline.records.predictions import Prediction
from pipeline.records.results import Accuracies, Accuracy, Audit, CloudBasis, Grade, RoundedLayer, SaturatedLayer
from pipeline.records.targets import Precision


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Model(_Strict):
    """A model file; `input_shape` has null where a dimension is free."""

    path: str
    format: str
    sha256: str
    size_bytes: int
    precision: Precision
    input_shape: list[int | None]


class Data(_Strict):
    """The samples; `random` ones show that two arithmetics differ, not what it costs. `notes` say what was left out."""

    description: str
    samples: int
    labelled: bool
    random: bool
    sha256: str
    notes: list[str] = []


class Judged(_Strict):
    """What of the model's answers is judged, and how: the `outputs` of `of` that it has.

    `classes` is the number of classes, or of tags, None where the outputs do not tell. `undecided` counts the answers
    on the target that count as none because all classes, or three of them, share the highest score.
    """

    outputs: list[str]
    of: int
    task: Name
    classes: int | None = None
    undecided: int | None = None


class Losses(_Strict):
    """Where what is lost is lost: by the file on `any_cpu` (the FP32 original against the cloud), and by the `target`'s
    arithmetic (the cloud against the target). Both in `unit`: points of accuracy, or per cent of changed answers or of
    the outputs' difference.
    """

    unit: Literal["points", "percent"]
    any_cpu: float | None = None
    target: float | None = None


class Difference(_Strict):
    """The model's outputs on the target against those in the cloud, or of the reference, over all samples.

    `relative_percent` is the root mean square difference as a share of the root mean square output.
    """

    largest: float
    rms: float
    relative_percent: float


class CheckReport(_Strict):
    """One model file on one target. `accuracy` is of the samples with labels, empty without any; its `fp32` is the
    reference's, or the model's own where it is FP32. It counts each head, tag or pixel that has a label.

    `paired` counts the answers that were lost and won on the target, or without labels those that changed; `confidence`
    is that of the interval which a verdict needs to be on one side of its limit, if one was asked for.

    `agreement` is the share of answers for which the target gives the same class as `agreement_with`. `difference` is
    with the cloud, `difference_with_reference` with the reference where there is one. `layers` comes with the costliest
    first; `float_layers` names those of an INT8 file that were seen to be calculated in floating point. `runtime` is
    what the target's runtime makes of the file; one that it does not read fails, and then the rest may be empty.
    `unaudited_accepted` says that the answers were let pass without a proof. What could not be had is null, and
    `not_measured` says why.
    """

    schema_version: Literal[2] = 2
    target: str
    precision: Precision
    model: Model
    reference: Model | None = None
    data: Data
    runtime: Reading | None = None
    judged: Judged | None = None
    verdict: Verdict
    advice: str = ""
    accuracy: Accuracies = Accuracies()
    paired: Paired | None = None
    confidence: float | None = None
    bounds: dict[str, Accuracy] = {}
    cloud_basis: CloudBasis | None = None
    agreement: float | None = Field(default=None, ge=0, le=100)
    agreement_with: Literal["reference", "cloud"] | None = None
    difference: Difference | None = None
    difference_with_reference: Difference | None = None
    losses: Losses | None = None
    grade: Grade
    audit: Audit | None = None
    unaudited_accepted: bool = False
    worst_layer: str | None = None
    layers: list[SaturatedLayer | RoundedLayer] = []
    float_layers: list[str] = []
    prediction: Prediction | None = None
    peak_memory_mib: int | None = None
    checks: list[Check] = []
    not_measured: dict[str, str] = {}
    host_isa: str
    versions: dict[str, str]
