"""params.yaml, typed and checked: what the pipeline builds, how, and what it must reach."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

import models
from pipeline.errors import InputError
from pipeline.targets import Precision, describe, load_target

PARAMS_FILE = Path("params.yaml")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Split(_Strict):
    """Frame ranges [first, last] of the default clip; a user's own data states its split per file instead."""

    train: tuple[int, int]
    val: tuple[int, int]
    test: tuple[int, int]

    @model_validator(mode="after")
    def _ordered_in_time(self) -> "Split":
        edges = [*self.train, *self.val, *self.test]
        if edges != sorted(set(edges)):
            raise ValueError("train, val and test must be frame ranges that follow each other in time")
        return self


class Training(_Strict):
    """How a network is fitted. One epoch sees at most `samples_per_epoch` regions, drawn anew each time."""

    epochs: int = Field(gt=0)
    patience: int = Field(gt=0)
    batch: int = Field(gt=1)
    learning_rate: float = Field(gt=0)
    samples_per_epoch: int = Field(gt=1)


class FineTune(Training):
    """Training of the FP32 parent from pretrained weights; the first `freeze` share of its blocks stays as it is."""

    freeze: float = Field(ge=0, lt=1)


class Prune(_Strict):
    """Structured channel pruning to a share of the parent's multiply-accumulates."""

    step: Literal["prune"]
    macs: float = Field(gt=0, lt=1)


class Retrain(Training):
    """Re-training with distillation from the FP32 parent; `distill` is the share of the loss that it makes up."""

    step: Literal["retrain"]
    distill: float = Field(ge=0, le=1)


class Quantize(_Strict):
    """INT8 post-training quantization, fitted to the arithmetic of `target` where one is named."""

    step: Literal["quantize"]
    preset: Literal["mixed", "performance"] = "mixed"
    target: str | None = None
    calibration_samples: int = Field(gt=0)


class HalfPrecision(_Strict):
    """Weights and activations in FP16."""

    step: Literal["fp16"]


Step = Annotated[Prune | Retrain | Quantize | HalfPrecision, Field(discriminator="step")]


class Method(_Strict):
    """A compression recipe: its steps in order. Steps on the network come before those on the exported graph."""

    steps: list[Step]

    @model_validator(mode="after")
    def _graph_steps_end_it(self) -> "Method":
        if any(isinstance(step, Quantize | HalfPrecision) for step in self.steps[:-1]):
            raise ValueError("quantize and fp16 change the exported graph: only the last step can be one of them")
        return self

    @property
    def precision(self) -> Precision:
        """What the candidate is calculated in."""
        last = self.steps[-1] if self.steps else None
        return "int8" if isinstance(last, Quantize) else "fp16" if isinstance(last, HalfPrecision) else "fp32"


class Gates(_Strict):
    """Limits every candidate must keep, besides the target's own objective (rate and power)."""

    accuracy_drop_points: float = Field(ge=0)


class Params(_Strict):
    """The whole of params.yaml."""

    seed: int = Field(ge=0)
    models: list[str] = Field(min_length=1)
    methods: list[str] = Field(min_length=1)
    targets: list[str] = Field(min_length=1)
    width: float = 1.0
    split: Split
    train: FineTune
    recipes: dict[str, Method]
    gates: Gates

    @field_validator("models", "methods", "targets")
    @classmethod
    def _each_once(cls, values: list[str]) -> list[str]:
        if repeated := {value for value in values if values.count(value) > 1}:
            raise ValueError(f"listed twice: {', '.join(sorted(repeated))}")
        return values

    @field_validator("recipes", mode="before")
    @classmethod
    def _from_lists(cls, value: Any) -> Any:
        return {name: {"steps": _steps(steps)} for name, steps in value.items()} if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _names_are_known(self) -> "Params":
        for name in self.models:
            models.spec(name)
        for recipe in self.recipes.values():
            for step in recipe.steps:
                if isinstance(step, Quantize) and step.target and (refusal := load_target(step.target).refusal("int8")):
                    raise ValueError(f"recipes: {refusal}")
        for name in self.methods:
            if name not in self.recipes:
                raise ValueError(f"methods: no recipe called {name!r}; recipes: {', '.join(sorted(self.recipes))}")
            if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
                raise ValueError(f"methods: {name!r} names a folder: use a-z, 0-9, - and _ only")
        profiles = [load_target(name) for name in self.targets]
        for name in self.methods:
            refusals = [profile.refusal(self.recipes[name].precision) for profile in profiles]
            if all(refusals):
                raise ValueError(f"methods: {name!r} fits none of the targets: {'; '.join(str(r) for r in refusals)}")
        return self

    def recipe(self, method: str) -> Method:
        """The recipe of a method.

        Raises:
            InputError: there is none of that name.
        """
        if method not in self.recipes:
            raise InputError(f"no recipe called {method!r} in params.yaml; recipes: {', '.join(sorted(self.recipes))}")
        return self.recipes[method]


def _steps(value: Any) -> Any:
    """`[{prune: {macs: 0.5}}, fp16]` as the list of tagged steps that the recipe is checked as."""
    if not isinstance(value, list):
        return value
    steps: list[Any] = []
    for item in value:
        if isinstance(item, str):
            steps.append({"step": item})
        elif isinstance(item, dict) and len(item) == 1:
            name, settings = next(iter(item.items()))
            steps.append({"step": name, **(settings or {})})
        else:
            steps.append(item)
    return steps


def load_params(path: Path = PARAMS_FILE) -> Params:
    """Read and check params.yaml.

    Raises:
        InputError: the file is missing, is no YAML mapping, or a value in it is unknown or out of range.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path} not found: run this in the folder of the repository") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path}: cannot be read as YAML: {' '.join(str(error).split())}") from error
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        raise InputError(f"{path}: {describe(error)}") from error
