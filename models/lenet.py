"""LeNet-5 and LeNet-300-100, the small networks that compression papers report first.

LeCun et al., Gradient-based learning applied to document recognition, 1998, https://doi.org/10.1109/5.726791;
here for three colours, with ReLU and max pooling.
"""

from __future__ import annotations

from torch import nn

from models.blocks import Network


def lenet_5(num_classes: int) -> Network:
    """Random weights. Input (N, 3, 32, 32), output (N, num_classes) logits."""
    features = nn.Sequential(
        nn.Conv2d(3, 6, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
    )
    classifier = nn.Sequential(
        nn.Flatten(),
        nn.Linear(16 * 5 * 5, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, num_classes),
    )
    return Network(features, classifier)


def lenet_300_100(num_classes: int) -> Network:
    """Random weights. Input (N, 3, 28, 28), output (N, num_classes) logits."""
    features = nn.Sequential(
        nn.Flatten(),
        nn.Linear(3 * 28 * 28, 300),
        nn.ReLU(),
        nn.Linear(300, 100),
        nn.ReLU(),
    )
    return Network(features, nn.Sequential(nn.Linear(100, num_classes)))
