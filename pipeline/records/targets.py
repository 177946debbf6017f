"""Target profiles: one YAML file per SoC, runtime and power mode in `runners/targets/`."""

import hashlib
import json
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipeline.system.errors import InputError, unknown

Precision = Literal["fp32", "fp16", "int8"]
RuntimeName = Literal["openvino", "tensorrt", "onnxruntime"]
FACTS = ("family", "cpu", "gpu", "memory", "runtime", "precisions", "objective", "power", "emulation")

_MACS_PER_EXECUTION_UNIT = 8  # Intel's Gen9 to Gen11: two units of four lanes

TARGETS_FOLDER = Path(__file__).resolve().parents[2] / "runners" / "targets"
_SAID = {"extra_forbidden": "there is no such key", "missing": "is missing"}  # Pydantic's words are for who writes code
_MOST = 5  # fields that are named


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Cpu(_Strict):
    """The processor the host side (and, without a GPU, the network) runs on."""

    name: str
    cores: int = Field(gt=0)
    isa: str
    base_ghz: float = Field(gt=0)
    burst_ghz: float = Field(gt=0)
    l1d_kib: int = Field(gt=0)
    l2_kib: int = Field(gt=0)


class Gpu(_Strict):
    """The accelerator the network runs on: Nvidia's with its CUDA cores, or Intel's with its execution units."""

    name: str
    cuda_cores: int | None = Field(default=None, gt=0)
    compute_capability: str | None = None
    execution_units: int | None = Field(default=None, gt=0)
    clock_ghz: float = Field(gt=0)

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> "Gpu":
        if (self.cuda_cores is None) == (self.execution_units is None):
            raise ValueError("give `cuda_cores` or `execution_units`")
        if (self.cuda_cores is None) != (self.compute_capability is None):
            raise ValueError("`compute_capability` goes with `cuda_cores`")
        return self

    @property
    def lanes(self) -> int:
        """FP32 multiply-accumulates in a cycle: one a CUDA core, eight an execution unit."""
        return self.cuda_cores or _MACS_PER_EXECUTION_UNIT * (self.execution_units or 0)

    @property
    def units(self) -> str:
        """What it calculates with, in words."""
        if self.cuda_cores:
            return (
                f"{self.cuda_cores} CUDA cores at {self.clock_ghz:g} GHz, compute capability {self.compute_capability}"
            )
        return f"{self.execution_units} execution units at {self.clock_ghz:g} GHz"


class Memory(_Strict):
    """Main memory as the board has it; the bandwidth is the peak."""

    bandwidth_gb_s: float = Field(gt=0)
    total_mib: int = Field(gt=0)


class Runtime(_Strict):
    """What loads the model on the device."""

    name: RuntimeName
    version: str


class Objective(_Strict):
    """What the product asks of this target."""

    regions_per_frame: int = Field(gt=0)
    frames_per_s: float = Field(gt=0)
    power_w: float = Field(gt=0)

    @property
    def regions_per_s(self) -> float:
        """Classifications a second that the objective amounts to."""
        return self.regions_per_frame * self.frames_per_s


class Power(_Strict):
    """How watts are measured on the real board. Nothing else counts as a power measurement.

    `sampler` is a meter in runners/edge/meters. `tdp_w` is an upper bound that the maker states, for targets whose
    watts nobody has published.
    """

    sampler: str
    rails: list[str] = Field(min_length=1)
    tdp_w: float | None = Field(default=None, gt=0)


class Emulation(_Strict):
    """How the cloud reproduces this target's arithmetic.

    `kind` is a file in pipeline/arithmetic/kinds.
    `environment` is set before the child process starts: the runtimes read it once, when they load. `emulator` is the
    QEMU set-up (`edgeproof emulators`) that audits the emulation, or that calculates where nothing faster is exact.
    """

    kind: str
    grade: Literal["exact", "bounded"]
    environment: dict[str, str] = {}
    memory_limit_mib: int | None = Field(default=None, gt=0)
    emulator: str | None = None

    @model_validator(mode="after")
    def _exact_is_proven(self) -> "Emulation":
        if self.grade == "exact" and self.emulator is None:
            raise ValueError("grade exact needs an emulator that proves it")
        return self


class Target(_Strict):
    """A SoC with its runtime and power mode. Every number's origin stands in `sources`, by field name.

    `family` names the targets whose measurements speak for each other: one architecture and runtime, with other clocks
    and core counts. Without it a target stands for itself.
    """

    name: str
    description: str
    family: str | None = None
    cpu: Cpu
    gpu: Gpu | None = None
    memory: Memory
    runtime: Runtime
    precisions: dict[Precision, Literal[True] | str]
    objective: Objective
    power: Power
    emulation: Emulation
    sources: dict[str, str]

    @model_validator(mode="after")
    def _every_fact_has_a_source(self) -> "Target":
        for field in self.sources:
            if field.split(".")[0] not in type(self).model_fields:
                raise ValueError(f"sources: {field!r} is no field of a target")
        given = {field.split(".")[0] for field in self.sources}
        missing = [field for field in FACTS if field not in given and getattr(self, field) is not None]
        if missing:
            raise ValueError(f"sources: none for {', '.join(missing)}")
        return self

    @property
    def measured_as(self) -> str:
        """The family whose measurements speak for this target."""
        return self.family or self.name

    @property
    def sha256(self) -> str:
        """Identity of everything that is known of it and asked of it; not of how it is described."""
        facts = self.model_dump(mode="json", exclude={"description", "sources"})
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def refusal(self, precision: Precision) -> str | None:
        """Why this target cannot run a precision, or None when it can."""
        supported = self.precisions.get(precision, f"{precision} is not listed among its precisions")
        return None if supported is True else f"{self.name} refuses {precision}: {supported}"


def calculated_in(held: Precision, target: Target) -> Precision:
    """What a target calculates a file in whose weights are `held` in this precision: a GPU takes FP32 files in FP16."""
    if held == "int8":
        return "int8"
    return "fp16" if target.gpu else "fp32"


def target_names() -> list[str]:
    """Names of all targets that have a profile."""
    return sorted(path.stem for path in TARGETS_FOLDER.glob("*.yaml"))


def load_target(name: str) -> Target:
    """Read and check the profile of the target called `name`.

    Raises:
        InputError: there is no such target, or its file is not a valid profile.
    """
    path = TARGETS_FOLDER / f"{name}.yaml"
    if name not in target_names():
        raise unknown("target", name, target_names())
    try:
        facts = {"name": name, **yaml.safe_load(path.read_text(encoding="utf-8"))}
        if facts["name"] != name:
            raise InputError(f"{path}: is called {facts['name']} in it, but goes by its file's name; leave `name` out")
        return Target.model_validate(facts)
    except (yaml.YAMLError, UnicodeDecodeError, TypeError) as error:
        raise InputError(f"{path}: not a YAML mapping: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        raise InputError(f"{path}: {describe(error)}") from error


def describe(error: ValidationError) -> str:
    """A validation error as one line: the first few fields, each with what is wrong with it."""
    found = [
        f"{'.'.join(str(part) for part in item['loc']) or 'file'}: {_SAID.get(item['type']) or _plain(item['msg'])}"
        for item in error.errors()
    ]
    more = f"; and {len(found) - _MOST:,} more" if len(found) > _MOST else ""
    return "; ".join(found[:_MOST]) + more


def _plain(said: str) -> str:
    return said.removeprefix("Value error, ")
