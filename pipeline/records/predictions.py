"""What a network is expected to do on a target; nothing in it was measured with this network."""

from pydantic import BaseModel, ConfigDict, Field

from pipeline.records.targets import Precision


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LayerTime(_Strict):
    """One layer: multiply-accumulates of one image; bytes and time of the whole batch."""

    name: str
    kind: str
    macs: int
    bytes: int
    time_ms: float


class Prediction(_Strict):
    """What a target is expected to do. Nothing in it was measured with this network.

    `inferences_per_s` is the compute rate: the host's work before and after is not in it. `frames_per_s` is that
    rate over the objective's regions per frame. `latency_ms` is for one run of `batch` images. `power_w` is at this
    rate without rest; what kind of number it is, says `power_basis`. The errors are medians over published models
    that were left out of the fit; `notes` says what they do not cover. `layers` is empty where nobody asked for them.
    """

    target: str
    precision: Precision
    batch: int
    inferences_per_s: float = Field(gt=0)
    frames_per_s: float = Field(gt=0)
    latency_ms: float = Field(gt=0)
    power_w: float | None
    power_basis: str
    error_percent: float = Field(ge=0)
    power_error_percent: float | None
    notes: tuple[str, ...]
    layers: list[LayerTime] = []
