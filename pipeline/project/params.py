"""params.yaml, typed and checked: what the pipeline builds, how, and what it must reach."""

import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

import models
from pipeline.compress.recipe import Recipe
from pipeline.data.cutting import Split
from pipeline.project import layout
from pipeline.records.gates import Gates
from pipeline.records.targets import describe, load_target
from pipeline.system.errors import InputError
from pipeline.train.settings import FineTune


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Params(_Strict):
    """The whole of params.yaml."""

    seed: int = Field(ge=0)
    models: list[str] = Field(min_length=1)
    methods: list[str] = Field(min_length=1)
    targets: list[str] = Field(min_length=1)
    width: float = 1.0
    split: Split
    train: FineTune
    recipes: dict[str, Recipe]
    gates: Gates
    audit_samples: int = Field(default=8, gt=0)

    @field_validator("models", "methods", "targets")
    @classmethod
    def _each_once(cls, values: list[str]) -> list[str]:
        if repeated := {value for value in values if values.count(value) > 1}:
            raise ValueError(f"listed twice: {', '.join(sorted(repeated))}")
        return values

    @field_validator("recipes", mode="before")
    @classmethod
    def _from_lists(cls, value: Any) -> Any:
        return {name: {"steps": steps} for name, steps in value.items()} if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _names_are_known(self) -> "Params":
        for name in self.models:
            models.spec(name)
        for name, recipe in self.recipes.items():
            for target in recipe.targets:
                if refusal := load_target(target).refusal(recipe.precision):
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

    def recipe(self, method: str) -> Recipe:
        """The recipe of a method.

        Raises:
            InputError: there is none of that name.
        """
        if method not in self.recipes:
            raise InputError(f"no recipe called {method!r} in params.yaml; recipes: {', '.join(sorted(self.recipes))}")
        return self.recipes[method]


def load_params(path: Path = layout.PARAMS) -> Params:
    """Read and check params.yaml.

    Raises:
        InputError: the file is missing, is no YAML mapping, or a value in it is unknown or out of range.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"no {path} here: run this in the folder of a project; `edgeproof init` makes one") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path}: cannot be read as YAML: {' '.join(str(error).split())}") from error
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        raise InputError(f"{path}: {describe(error)}") from error
