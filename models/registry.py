"""The one list of networks. Importing it, and asking for names and specs, does not import torch."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models import weights
from pipeline.errors import InputError, unknown

if TYPE_CHECKING:
    from torch import nn

Rgb = tuple[float, float, float]
IMAGENET_CLASSES = 1000
HALF: Rgb = (0.5, 0.5, 0.5)
IMAGENET_MEAN: Rgb = (0.485, 0.456, 0.406)
IMAGENET_STD: Rgb = (0.229, 0.224, 0.225)


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
    builder: str  # "module:function" in this package: (num_classes[, width]) -> Network
    source: weights.Source | None


def _entry(
    name: str,
    builder: str,
    description: str,
    input_size: int = 224,
    any_size: bool = True,
    mean: Rgb = IMAGENET_MEAN,
    std: Rgb = IMAGENET_STD,
    has_width: bool = False,
    source: weights.Source | None = None,
) -> _Entry:
    spec = ModelSpec(name, input_size, any_size, mean, std, has_width, source is not None, description)
    return _Entry(spec, builder, source)


_ENTRIES = {
    entry.spec.name: entry
    for entry in [
        _entry(
            "efficientnet-lite0",
            "efficientnet_lite:build",
            "EfficientNet-Lite0, made for integer hardware; 4.7 M parameters (https://arxiv.org/abs/1905.11946)",
            mean=HALF,
            std=HALF,
            has_width=True,
            source=weights.EFFICIENTNET_LITE0,
        ),
        _entry(
            "mobilenet-v2",
            "mobilenet_v2:build",
            "MobileNetV2; 3.5 M parameters (https://arxiv.org/abs/1801.04381)",
            has_width=True,
            source=weights.MOBILENET_V2,
        ),
        _entry(
            "mobilenet-v3-small",
            "mobilenet_v3:build",
            "MobileNetV3-Small; 2.5 M parameters (https://arxiv.org/abs/1905.02244)",
            has_width=True,
        ),
        _entry(
            "squeezenet-1.1",
            "squeezenet:build",
            "SqueezeNet 1.1; 1.2 M parameters (https://arxiv.org/abs/1602.07360)",
        ),
        _entry(
            "alexnet",
            "alexnet:build",
            "AlexNet; 61 M parameters (https://arxiv.org/abs/1404.5997)",
            any_size=False,
        ),
        _entry(
            "vgg-16",
            "vgg:build",
            "VGG-16; 138 M parameters (https://arxiv.org/abs/1409.1556)",
            any_size=False,
        ),
        _entry(
            "lenet-5",
            "lenet:lenet_5",
            "LeNet-5 on 32x32 images; 0.06 M parameters (https://doi.org/10.1109/5.726791)",
            input_size=32,
            any_size=False,
            mean=HALF,
            std=HALF,
        ),
        _entry(
            "lenet-300-100",
            "lenet:lenet_300_100",
            "LeNet-300-100, fully connected, on 28x28 images; 0.7 M parameters (https://doi.org/10.1109/5.726791)",
            input_size=28,
            any_size=False,
            mean=HALF,
            std=HALF,
        ),
    ]
}


def names() -> list[str]:
    """The networks that `build` knows, sorted."""
    return sorted(_ENTRIES)


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
        raise InputError(f"a network needs at least 1 class, not {num_classes}")
    if not 0.1 <= width <= 2.0:
        raise InputError(f"width {width} is outside 0.1..2.0")
    if width != 1.0 and not entry.spec.has_width:
        raise InputError(f"{name} takes no width; those that do: {', '.join(n for n in names() if spec(n).has_width)}")
    source = entry.source if width == 1.0 else None
    if pretrained and source is None:
        at_width = f" at width {width}" if entry.source else ""
        raise InputError(f"{name} has no pretrained weights{at_width}; leave `pretrained` out or set it to false")

    module_name, function = entry.builder.split(":")
    module = importlib.import_module(f"models.{module_name}")
    make = getattr(module, function)
    network: nn.Module = make(num_classes, width) if entry.spec.has_width else make(num_classes)
    if source is not None and pretrained is not False:
        imagenet = module.imagenet_names(weights.load(source))
        head = {key: tensor for key, tensor in network.state_dict().items() if key.startswith("classifier.")}
        network.load_state_dict(head | imagenet if num_classes == IMAGENET_CLASSES else imagenet | head)
    return network


def _find(name: str) -> _Entry:
    if name in _ENTRIES:
        return _ENTRIES[name]
    raise unknown("model", name, names())
