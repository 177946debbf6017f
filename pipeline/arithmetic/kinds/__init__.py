"""How the cloud stands in for a target: one file a kind of emulation, found by the name in the target's YAML.

A kind says where a model has to run to learn what the target answers (`plan`), what the target's arithmetic does to
numbers, and how to tell people about it. Whoever needs to know asks the kind; nobody compares its name.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, ClassVar

from pipeline.processes.child import Place
from pipeline.records.results import CloudBasis, Grade
from pipeline.records.targets import Precision, Target
from pipeline.system.errors import Refused, unknown

if TYPE_CHECKING:
    from onnx import ModelProto

    from pipeline.arithmetic.fp16.engine import Fp16Engine


@dataclass(frozen=True)
class Plan:
    """The places that a model runs in, and what each stands for.

    `target` calculates as the target does; where only an interval is known, `bounds` are its ends and `target` is None.
    `host` is this machine as it is. `cloud` is a server whose 8-bit sums do not saturate, None where none can be had
    here. `audit` is where a few samples are replayed, in the target's emulator, which the audit starts; it makes
    `grade` exact. `analysis` tells layer by layer what happened, in a few samples; else `layers_from` names the bound
    that does so in passing. What cannot be had here is in `not_measured` with the reason.
    """

    host: Place
    grade: Grade
    target: Place | None = None
    bounds: Mapping[str, Place] = field(default_factory=dict)
    cloud: Place | None = None
    cloud_basis: CloudBasis | None = None
    audit: Place | None = None
    analysis: Place | None = None
    layers_from: str | None = None
    not_measured: Mapping[str, str] = field(default_factory=dict)


class Kind(ABC):
    """One way to stand in for a target."""

    saturates: ClassVar[bool] = False  # 8-bit sums do, by the rule of pipeline/arithmetic/saturation
    replays_everything: ClassVar[bool] = False  # `target` is in the target's emulator, so that no audit is needed

    @abstractmethod
    def explain(self, target: Target) -> str:
        """How the emulation works, in one sentence for `edgeproof targets show`."""

    @abstractmethod
    def plan(self, target: Target, precision: Precision) -> Plan:
        """Where a model of this precision has to run."""

    def refusal(self, model: Path, target: Target) -> str | None:
        """Why this file cannot be run for the target, or None when it can."""
        return None

    def fp16_engine(self, model: "ModelProto", threads: int) -> "Fp16Engine":
        """The model as the target calculates it in FP16, with FP32 sums.

        Raises:
            InputError: the target's kind has no FP16 arithmetic, or the model cannot be emulated.
        """
        raise Refused("how this target calculates in FP16 is not known here: take INT8 or FP32")


def names() -> list[str]:
    """The kinds that there are, sorted."""
    return sorted(module.name.replace("_", "-") for module in iter_modules(__path__))


def of(target: Target) -> Kind:
    """The kind of a target's emulation.

    Raises:
        InputError: there is no such kind.
    """
    return named(target.emulation.kind)


@cache
def named(name: str) -> Kind:
    """The kind called `name`; InputError if there is none."""
    if name not in names():
        raise unknown("kind of emulation", name, names())
    module = import_module(f"{__name__}.{name.replace('-', '_')}")
    kind: Kind = module.KIND
    return kind


def with_fp16() -> list[Kind]:
    """All kinds that emulate an FP16 arithmetic: what is to run on any target must survive each of them."""
    kinds = [named(name) for name in names()]
    return [kind for kind in kinds if type(kind).fp16_engine is not Kind.fp16_engine]


def needs_onnx(model: Path, target: Target) -> str | None:
    """The refusal of targets that are emulated on the ONNX graph, whatever file their runtime loads."""
    if model.suffix.lower() == ".onnx":
        return None
    return f"{target.name} is emulated on the ONNX graph of a network; give the ONNX file"
