"""SqueezeNet 1.1. Iandola et al., https://arxiv.org/abs/1602.07360; version 1.1 is the authors' cheaper revision."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.blocks import Network

# What is known before building. Read as text, without importing this file: it would load torch. Literals only.
MODELS = {
    "squeezenet-1.1": {
        "builder": "build",
        "description": "SqueezeNet 1.1; 1.2 M parameters (https://arxiv.org/abs/1602.07360)",
    },
}


class Fire(nn.Module):
    """Squeeze (1x1), then expand by 1x1 and 3x3 side by side."""

    def __init__(self, inputs: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Sequential(nn.Conv2d(inputs, squeezed, 1), nn.ReLU())
        self.expand_1x1 = nn.Sequential(nn.Conv2d(squeezed, expanded, 1), nn.ReLU())
        self.expand_3x3 = nn.Sequential(nn.Conv2d(squeezed, expanded, 3, padding=1), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, 2 * expanded, H, W)."""
        squeezed = self.squeeze(x)
        return torch.cat([self.expand_1x1(squeezed), self.expand_3x3(squeezed)], dim=1)


def build(num_classes: int) -> Network:
    """Random weights. Input (N, 3, 224, 224), output (N, num_classes) logits.

    The head is the 1x1 convolution `classifier.1`; a ReLU and the mean over the image follow it, as in the paper.
    """
    features = nn.Sequential(
        nn.Conv2d(3, 64, 3, stride=2),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2),
        Fire(64, 16, 64),
        Fire(128, 16, 64),
        nn.MaxPool2d(3, stride=2),
        Fire(128, 32, 128),
        Fire(256, 32, 128),
        nn.MaxPool2d(3, stride=2),
        Fire(256, 48, 192),
        Fire(384, 48, 192),
        Fire(384, 64, 256),
        Fire(512, 64, 256),
    )
    head = nn.Conv2d(512, num_classes, 1)
    network = Network(features, nn.Sequential(nn.Dropout(0.5), head, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            if module is head:
                nn.init.normal_(module.weight, 0.0, 0.01)
            else:
                nn.init.kaiming_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network
