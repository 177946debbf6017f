"""release.yaml: which lanes a release needs, and how it gets to the devices. Without the file the defaults hold."""

from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from pipeline.records.results import Lane
from pipeline.records.targets import describe
from pipeline.system.errors import InputError

FILE = Path("release.yaml")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Phases(_Strict):
    """How a new version is rolled out.

    `steps` are per cent of the devices. Within a step they come one after the other during `hours`. The next step
    begins when those have passed and, of the devices known to be in this one, `reported_percent` and at least
    `least_devices` (or all, where there are fewer) run the new version with a passed self-test. It is taken back as
    soon as more than `failed_percent` of the devices that told how it ended gave it up; with a `slow_percent` also as
    soon as more than that, of those that run it and told their frames a second, are slower than was promised.
    """

    steps: list[int] = Field(default=[1, 10, 50, 100], min_length=1)
    hours: int = Field(default=6, ge=0, le=24 * 30)
    least_devices: int = Field(default=5, ge=1)
    reported_percent: float = Field(default=80, gt=0, le=100)
    failed_percent: float = Field(default=5, ge=0, lt=100)
    slow_percent: float | None = Field(default=None, ge=0, lt=100)

    @field_validator("steps")
    @classmethod
    def _rise_to_all(cls, steps: list[int]) -> list[int]:
        if steps != sorted(set(steps)) or steps[0] < 1 or steps[-1] != 100:
            raise ValueError("give rising per cents that end with 100, such as [1, 10, 50, 100]")
        return steps

    def after(self, percent: int) -> int | None:
        """The step after one, None after the last."""
        return next((step for step in self.steps if step > percent), None)


class ReleaseSettings(_Strict):
    """The whole of release.yaml. A required lane must pass; a board's record that is there must never fail."""

    lanes: list[Lane] = Field(default=["emulated"], min_length=1)
    rollout: Phases = Phases()


def load_settings(path: Path = FILE) -> ReleaseSettings:
    """Read and check release.yaml.

    Raises:
        InputError: it is no YAML mapping, or a value in it is unknown or out of range.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ReleaseSettings()
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path}: cannot be read as YAML: {' '.join(str(error).split())}") from error
    try:
        return ReleaseSettings.model_validate({} if values is None else values)
    except ValidationError as error:
        raise InputError(f"{path}: {describe(error)}") from error
