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


class Resize(_Strict):
    """Regions of fewer pixels: of `size` x `size`, or of the most at which a target is fast enough.

    With `target`, the size goes down until the prediction for it, in the precision that the recipe ends in, reaches
    `regions_per_s`, by default the target's own objective, within the target's watts.
    """

    step: Literal["resize"]
    size: int | None = Field(default=None, ge=32)
    target: str | None = None
    regions_per_s: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _one_budget(self) -> "Resize":
        if (self.size is None) == (self.target is None):
            raise ValueError("give one of `size` (pixels) and `target` (its speed decides)")
        if self.regions_per_s is not None and self.target is None:
            raise ValueError("regions_per_s goes with `target`")
        return self


class Prune(_Strict):
    """Structured channel pruning to a budget: a share of the network's multiply-accumulates, or a target's speed.

    With `target`, channels go until the prediction for it, in the precision that the recipe ends in, reaches
    `regions_per_s`, by default the target's own objective, within the target's watts.
    """

    step: Literal["prune"]
    macs: float | None = Field(default=None, gt=0, lt=1)
    target: str | None = None
    regions_per_s: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _one_budget(self) -> "Prune":
        if (self.macs is None) == (self.target is None):
            raise ValueError("give one budget: `macs` (a share) or `target` (its speed)")
        if self.regions_per_s is not None and self.target is None:
            raise ValueError("regions_per_s goes with `target`")
        return self


class Retrain(Training):
    """Re-training with distillation from the FP32 parent; `distill` is the share of the loss that it makes up.

    What earlier steps made of the network stays: after `quantize` it is trained in the target's 8-bit arithmetic, after
    `cluster` the shared values are trained and who shares them is kept.
    """

    step: Literal["retrain"]
    distill: float = Field(ge=0, le=1)


class Quantize(_Strict):
    """INT8 post-training quantization, fitted to the arithmetic of `target` where one is named."""

    step: Literal["quantize"]
    preset: Literal["mixed", "performance"] = "mixed"
    target: str | None = None
    calibration_samples: int = Field(gt=0)


class Cluster(_Strict):
    """Weight sharing: each layer's weights take at most 2**bits values, so that a download holds short indices.

    Biases are corrected for it on `calibration_samples`.
    """

    step: Literal["cluster"]
    bits: int = Field(ge=2, le=8)
    calibration_samples: int = Field(default=32, gt=0)


class HalfPrecision(_Strict):
    """Weights and activations in FP16, but for layers that overflow on any of `calibration_samples`."""

    step: Literal["fp16"]
    calibration_samples: int = Field(default=32, gt=0)


Step = Annotated[Resize | Prune | Retrain | Quantize | Cluster | HalfPrecision, Field(discriminator="step")]


class Method(_Strict):
    """A compression recipe: its steps in order."""

    steps: list[Step]

    @model_validator(mode="after")
    def _no_step_undoes_another(self) -> "Method":
        kinds = [type(step) for step in self.steps]
        for kind, earlier, why in (
            (Resize, Prune, "resize goes before prune: which channels matter depends on the size"),
            (Resize, Quantize, "resize goes before quantize: what was calibrated at another size does not hold"),
            (Resize, Cluster, "resize goes before cluster: from there on the network is a graph of one size"),
            (Prune, Quantize, "prune goes before quantize: channels are taken out of the floating-point network"),
            (Prune, Cluster, "prune goes before cluster: it would leave values that nothing shares"),
            (Quantize, Cluster, "cluster goes after quantize: rounding to 8 bits would undo the sharing"),
            (Resize, Resize, "resize can be there once only"),
            (Quantize, Quantize, "quantize can be there once only"),
            (Cluster, Cluster, "cluster can be there once only"),
            (HalfPrecision, Quantize, "fp16 and quantize exclude each other"),
        ):
            if any(step is kind and earlier in kinds[:index] for index, step in enumerate(kinds)):
                raise ValueError(why)
        if HalfPrecision in kinds[:-1]:
            raise ValueError("fp16 changes the exported graph: it can be the last step only")
        return self

    @property
    def precision(self) -> Precision:
        """What the candidate is calculated in."""
        kinds = {type(step) for step in self.steps}
        return "int8" if Quantize in kinds else "fp16" if HalfPrecision in kinds else "fp32"


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
        for name, recipe in self.recipes.items():
            for step in recipe.steps:
                target = step.target if isinstance(step, Resize | Prune | Quantize) else None
                if target and (refusal := load_target(target).refusal(recipe.precision)):
                    raise ValueError(f"recipes.{name}: {refusal}")
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
