"""A recipe: which steps a candidate is made by, in order, and what comes of them."""

from typing import Any

from pydantic import BaseModel, ConfigDict, SerializeAsAny, ValidationError, field_validator, model_validator

from pipeline.compress import steps
from pipeline.compress.step import ForTarget, Step
from pipeline.records.targets import Precision, describe
from pipeline.system.errors import InputError


class Recipe(BaseModel):
    """A compression method: its steps in order, as params.yaml has them, `[{prune: {macs: 0.5}}, fp16]`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: list[SerializeAsAny[Step]]

    @field_validator("steps", mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        return [_step(item) for item in value] if isinstance(value, list) else value

    @model_validator(mode="after")
    def _no_step_undoes_another(self) -> "Recipe":
        titles = [step.title() for step in self.steps]
        for index, step in enumerate(self.steps):
            name, before = step.title(), titles[:index]
            for other, why in step.goes_before.items():
                if other in before:
                    raise ValueError(f"{name} goes before {other}: {why}")
            for other, why in step.excludes.items():
                if other in titles:
                    raise ValueError(why)
            if step.once and name in before:
                raise ValueError(f"{name} can be there once only")
            if step.last and index < len(titles) - 1:
                raise ValueError(step.last)
        return self

    @property
    def precision(self) -> Precision:
        """What the candidate is calculated in."""
        return next((step.gives for step in self.steps if step.gives), "fp32")

    @property
    def targets(self) -> list[str]:
        """The targets that its steps name."""
        return sorted({step.target for step in self.steps if isinstance(step, ForTarget) and step.target})

    def as_yaml(self) -> list[Any]:
        """The steps as they stand under `recipes` in params.yaml."""
        written = [(step.title(), step.model_dump(exclude_defaults=True)) for step in self.steps]
        return [{name: settings} if settings else name for name, settings in written]


def _step(item: Any) -> Any:
    """A step out of `{prune: {macs: 0.5}}`, or its name alone; what is neither is left for the check of types."""
    if isinstance(item, Step):
        return item
    if isinstance(item, str):
        item = {item: None}
    if not isinstance(item, dict) or len(item) != 1:
        raise ValueError(f"a step is a name, or a name with its settings, not {item!r}")
    name, settings = next(iter(item.items()))
    if not isinstance(settings, dict | None):
        raise ValueError(f"{name}: its settings have to be a mapping, not {settings!r}")
    try:
        return steps.step(str(name)).model_validate(settings or {})
    except InputError as error:
        raise ValueError(str(error)) from error
    except ValidationError as error:
        raise ValueError(f"{name}: {describe(error).removeprefix('file: ')}") from error
