"""MobileNetV3-Small. Howard et al., Searching for MobileNetV3, https://arxiv.org/abs/1905.02244 (table 2)."""

from __future__ import annotations

from torch import nn

from models.blocks import InvertedResidual, Network, Style, conv_bn, divisible, initialise

# What is known before building. Read as text, without importing this file: it would load torch. Literals only.
MODELS = {
    "mobilenet-v3-small": {
        "builder": "build",
        "description": "MobileNetV3-Small; 2.5 M parameters (https://arxiv.org/abs/1905.02244)",
        "has_width": True,
    },
}

RELU = Style(nn.ReLU, eps=1e-3)
HSWISH = Style(nn.Hardswish, eps=1e-3)

# kernel, hidden channels, channels, squeeze-excite, style, stride
BLOCKS = [
    (3, 16, 16, True, RELU, 2),
    (3, 72, 24, False, RELU, 2),
    (3, 88, 24, False, RELU, 1),
    (5, 96, 40, True, HSWISH, 2),
    (5, 240, 40, True, HSWISH, 1),
    (5, 240, 40, True, HSWISH, 1),
    (5, 120, 48, True, HSWISH, 1),
    (5, 144, 48, True, HSWISH, 1),
    (5, 288, 96, True, HSWISH, 2),
    (5, 576, 96, True, HSWISH, 1),
    (5, 576, 96, True, HSWISH, 1),
]


def build(num_classes: int, width: float = 1.0) -> Network:
    """Random weights; `width` scales every layer. Input (N, 3, 224, 224), output (N, num_classes) logits."""
    channels = divisible(16 * width)
    features: list[nn.Module] = [conv_bn(3, channels, 3, 2, HSWISH)]
    for kernel, hidden, outputs, squeeze_excite, style, stride in BLOCKS:
        hidden, outputs = divisible(hidden * width), divisible(outputs * width)
        features.append(InvertedResidual(channels, hidden, outputs, kernel, stride, style, squeeze_excite))
        channels = outputs
    pooled, last = divisible(576 * width), divisible(1024 * width)
    features.append(conv_bn(channels, pooled, 1, 1, HSWISH))
    classifier = nn.Sequential(
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(pooled, last),
        nn.Hardswish(),
        nn.Dropout(0.2),
        nn.Linear(last, num_classes),
    )
    network = Network(nn.Sequential(*features), classifier)
    initialise(network)
    return network
