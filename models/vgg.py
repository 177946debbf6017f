"""VGG-16. Simonyan and Zisserman, https://arxiv.org/abs/1409.1556 (table 1, column D)."""

from __future__ import annotations

from torch import nn

from models.blocks import Network

# What is known before building. Read as text, without importing this file: it would load torch. Literals only.
MODELS = {
    "vgg-16": {
        "builder": "build",
        "description": "VGG-16; 138 M parameters (https://arxiv.org/abs/1409.1556)",
        "any_size": False,
    },
}

# channels of the 3x3 convolutions between two poolings
STAGES = [(64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512)]


def build(num_classes: int) -> Network:
    """Random weights. Input (N, 3, 224, 224), output (N, num_classes) logits."""
    features: list[nn.Module] = []
    channels = 3
    for stage in STAGES:
        for outputs in stage:
            conv = nn.Conv2d(channels, outputs, 3, padding=1)
            nn.init.kaiming_normal_(conv.weight, mode="fan_out")  # 13 layers with no batch norm need it to train
            assert conv.bias is not None
            nn.init.zeros_(conv.bias)
            features += [conv, nn.ReLU()]
            channels = outputs
        features.append(nn.MaxPool2d(2))
    classifier = nn.Sequential(
        nn.Flatten(),
        nn.Linear(512 * 7 * 7, 4096),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(4096, 4096),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(4096, num_classes),
    )
    return Network(nn.Sequential(*features), classifier)
