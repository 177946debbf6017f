"""What a real board showed. A field that was not measured is null, never zero: a sensor that is absent reads as one."""

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Fingerprint(_Strict):
    """Which board it was, and what ran on it. Numbers are compared under equal fingerprints only.

    `versions` are those of drivers and runtimes by name, `os_image` is the distribution's or the JetPack's.
    """

    board: str
    serial: str | None = None
    soc: str | None = None
    kernel: str | None = None
    os_image: str | None = None
    versions: dict[str, str] = {}
    power_mode: str | None = None
    governor: str | None = None
    microcode: str | None = None


class Watts(_Strict):
    """Power on one rail, with the sampler that read it and how often.

    `sustained_w` is the mean over minutes at a steady temperature with all regions of a frame; it is what a limit is
    held against. `by_state_w` is by what the program was doing: `idle`, `regions_0`, `regions_4`, `model_switch`.
    `mode` says how the sensor was set, `longest_gap_s` the longest time between two readings, `own_core` the core that
    the sampler had to itself, null where it shared one with the program.
    """

    rail: str
    sampler: str
    sample_hz: float = Field(gt=0)
    sustained_w: float | None = Field(default=None, gt=0)
    idle_w: float | None = Field(default=None, gt=0)
    by_state_w: dict[str, PositiveFloat] = {}
    energy_per_frame_j: float | None = Field(default=None, gt=0)
    mode: str | None = None
    longest_gap_s: float | None = Field(default=None, gt=0)
    own_core: int | None = Field(default=None, ge=0)


class Health(_Strict):
    """What the board was like at one moment: clocks by cluster, temperatures by thermal zone, fan, throttling.

    Over a run, clocks are means, temperatures and fan the highest. `signs` say by what it was seen to be throttled.
    """

    clocks_mhz: dict[str, PositiveFloat] = {}
    temperatures_c: dict[str, float] = {}
    fan_percent: float | None = Field(default=None, ge=0, le=100)
    throttled: bool | None = None
    signs: list[str] = []


class Measured(_Strict):
    """Speed, power and health of one candidate on a board.

    `latency_ms` are raw times of the network alone for one batch of `regions_per_frame`, and `regions_per_s` is what it
    then classifies. `frames_per_s` is of the whole program with that many regions in a frame. `load_ms` is from
    the start to the first answer, `switch_ms` the pause when the model changes.
    """

    fingerprint: Fingerprint
    regions_per_frame: int = Field(gt=0)
    latency_ms: list[PositiveFloat] = Field(min_length=1)
    regions_per_s: float = Field(gt=0)
    frames_per_s: dict[int, PositiveFloat] = {}
    frames_dropped: int | None = Field(default=None, ge=0)
    load_ms: float | None = Field(default=None, gt=0)
    switch_ms: float | None = Field(default=None, gt=0)
    peak_memory_mib: int | None = Field(default=None, gt=0)
    power: Watts | None = None
    before: Health = Health()
    during: Health = Health()
    after: Health = Health()

    @property
    def throttled(self) -> bool | None:
        """Whether the board held itself back at any time; None where it does not tell."""
        told = [health.throttled for health in (self.before, self.during, self.after) if health.throttled is not None]
        return any(told) if told else None

    @property
    def signs(self) -> list[str]:
        """What it was seen by, each once."""
        return list(dict.fromkeys(sign for one in (self.before, self.during, self.after) for sign in one.signs))

    @property
    def loop_per_s(self) -> float | None:
        """Frames a second of the whole program with all regions of a frame, which a limit is held against."""
        return self.frames_per_s.get(self.regions_per_frame)

    @property
    def power_w(self) -> float | None:
        """What a limit on power is held against."""
        return self.power.sustained_w if self.power else None
