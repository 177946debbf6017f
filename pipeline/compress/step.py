"""What every step of a recipe is: settings, a place in the order, and work to do."""

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from pipeline.records.targets import Precision

if TYPE_CHECKING:
    from pipeline.compress.budget import Objective
    from pipeline.compress.state import State

Self = TypeVar("Self", bound="ToSpeed")


class Step(BaseModel):
    """A step with its settings; its docstring and theirs are what `edgeproof methods` shows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    gives: ClassVar[Precision | None] = None  # the precision of a candidate that it makes
    goes_before: ClassVar[dict[str, str]] = {}  # steps that may not come earlier, and why
    excludes: ClassVar[dict[str, str]] = {}  # steps that may not be there at all, and why
    once: ClassVar[bool] = False
    last: ClassVar[str | None] = None  # why nothing may follow it
    example: ClassVar[dict[str, Any]] = {}  # settings that suit any network

    @classmethod
    def title(cls) -> str:
        """The step's name in a recipe."""
        return cls.__module__.rsplit(".", 1)[-1]

    @abstractmethod
    def apply(self, state: "State") -> None:
        """Do the step's work.

        Raises:
            InputError: it cannot be done to this network, with these settings.
        """


class ForTarget(Step):
    """A step that may be meant for a target."""

    target: str | None = Field(default=None, description="the device that it is for")


class ToSpeed(ForTarget):
    """A step that goes as far as it has to for a target's predicted speed, or as far as another setting says."""

    frames_per_s: float | None = Field(
        default=None, gt=0, description="with `target`: the speed to reach, instead of its objective"
    )

    def with_one_of(self: Self, setting: str, which: str) -> Self:
        """Itself, where just one of `setting` and `target` is given; else a ValueError that says `which`."""
        given: Any = getattr(self, setting)
        if (given is None) == (self.target is None):
            raise ValueError(f"give {which}")
        if self.frames_per_s is not None and self.target is None:
            raise ValueError("frames_per_s goes with `target`")
        return self

    def objective(self, target: str, precision: Precision) -> "Objective":
        """What is asked of the network; InputError for an unknown target."""
        from pipeline.compress.budget import Objective
        from pipeline.records.targets import load_target

        profile = load_target(target)
        return Objective(profile, precision, self.frames_per_s or profile.objective.frames_per_s)
