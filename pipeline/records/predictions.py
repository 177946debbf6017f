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

    `inferences_per_s` is the compute rate: the host's work before and after is not in it. `frames_per_s` is that of the
    whole camera program, with all regions of the target's objective in each frame, and `frames_range` what the errors
    of network and cores leave open; both are empty where nothing is known of the target's cores. `parts_ms` is what
    else a frame takes of one core, and `network_share` what the objective's frame leaves for the network over what it
    takes: below 1 it is too slow. `latency_ms` is for one run of `batch` images. `power_w` is at this
    rate without rest; what kind of number it is, says `power_basis`. The errors are medians over published models
    that were left out of the fit; `notes` says what they do not cover. `layers` is empty where nobody asked for them.
    """

    target: str
    precision: Precision
    batch: int
    inferences_per_s: float = Field(gt=0)
    frames_per_s: float | None = Field(default=None, gt=0)
    frames_range: tuple[float, float] | None = None
    parts_ms: dict[str, float] = {}
    network_share: float | None = None
    latency_ms: float = Field(gt=0)
    power_w: float | None
    power_basis: str
    error_percent: float = Field(ge=0)
    power_error_percent: float | None
    notes: tuple[str, ...]
    layers: list[LayerTime] = []
