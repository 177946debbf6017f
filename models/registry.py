"""All networks, out of the families' files. Importing this, and asking for names and specs, does not import torch."""

from __future__ import annotations

import ast
import importlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

import models
from models import weights
from pipeline.system.errors import Refused, unknown

if TYPE_CHECKING:
    from torch import nn

Rgb = tuple[float, float, float]
IMAGENET_CLASSES = 1000
# Mean and standard deviation that a network's images are scaled by.
SCALINGS: dict[str, tuple[Rgb, Rgb]] = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}


@dataclass(frozen=True)
class ModelSpec:
    """What a caller must know of a network before building it."""

    name: str
    input_size: int  # pixels, width = height
    any_size: bool  # fully convolutional up to a pooling: takes smaller images as well
    mean: Rgb  # of RGB in 0..1: the network takes (image - mean) / std
    std: Rgb
    has_width: bool  # takes a width multiplier; weights are random unless it is 1
    pretrained: bool  # ImageNet weights exist (for width 1)
    description: str  # one line, with the paper


@dataclass(frozen=True)
class _Entry:
    spec: ModelSpec
    module: str  # of the family
    builder: str  # its function: (num_classes[, width]) -> Network
    source: weights.Source | None


@cache
def _entries() -> dict[str, _Entry]:
    """Every network, by name, out of the `MODELS` of each family's file."""
    entries = {}
    for module in iter_modules(models.__path__):
        finder: Any = module.module_finder
        found = finder.find_spec(f"models.{module.name}")
        for name, facts in _literal(Path(found.origin)).items():
            entries[name] = _entry(name, found.name, **facts)
    return entries


def _literal(file: Path) -> dict[str, dict[str, Any]]:
    """What a file assigns to `MODELS`; empty where it is no family."""
    for statement in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "MODELS":
            found: dict[str, dict[str, Any]] = ast.literal_eval(statement.value)
            return found
    return {}


def _entry(
    name: str,
    module: str,
    builder: str,
    description: str,
    input_size: int = 224,
    any_size: bool = True,
    scaling: str = "imagenet",
    has_width: bool = False,
    pretrained: dict[str, Any] | None = None,
) -> _Entry:
    mean, std = SCALINGS[scaling]
    spec = ModelSpec(name, input_size, any_size, mean, std, has_width, pretrained is not None, description)
    return _Entry(spec, module, builder, weights.Source(**pretrained) if pretrained else None)


def names() -> list[str]:
    """The networks that `build` knows, sorted."""
    return sorted(_entries())


def spec(name: str) -> ModelSpec:
    """What is known of network `name`; InputError if there is none."""
    return _find(name).spec


def build(name: str, num_classes: int, width: float = 1.0, pretrained: bool | None = None) -> nn.Module:
    """Network `name`: input (N, 3, S, S) float32, normalised as its spec says; output (N, num_classes) logits.

    `pretrained`: None takes ImageNet weights where they exist for this width, True insists on them, False starts at
    random (torch's current seed), as every width but 1 does. The head is new, but for EfficientNet-Lite0 with 1000
    classes, which are taken to be ImageNet's. InputError for an unknown name, a width that the network does not take or
    outside 0.1..2, fewer than one class, or weights that do not exist or cannot be fetched.
    """
    entry = _find(name)
    if num_classes < 1:
        raise Refused(f"a network needs at least 1 class, not {num_classes}")
    if not 0.1 <= width <= 2.0:
        raise Refused(f"width {width} is outside 0.1..2.0")
    if width != 1.0 and not entry.spec.has_width:
        raise Refused(f"{name} takes no width; those that do: {', '.join(n for n in names() if spec(n).has_width)}")
    source = entry.source if width == 1.0 else None
    if pretrained and source is None:
        at_width = f" at width {width}" if entry.source else ""
        raise Refused(f"{name} has no pretrained weights{at_width}; leave `pretrained` out or set it to false")

    module = importlib.import_module(entry.module)
    make = getattr(module, entry.builder)
    network: nn.Module = make(num_classes, width) if entry.spec.has_width else make(num_classes)
    if source is not None and pretrained is not False:
        imagenet = module.imagenet_names(weights.load(source))
        head = {key: tensor for key, tensor in network.state_dict().items() if key.startswith("classifier.")}
        network.load_state_dict(head | imagenet if num_classes == IMAGENET_CLASSES else imagenet | head)
    return network


def _find(name: str) -> _Entry:
    if name in _entries():
        return _entries()[name]
    raise unknown("model", name, names())
