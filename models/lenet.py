"""LeNet-5 and LeNet-300-100, the small networks that compression papers report first.

LeCun et al., Gradient-based learning applied to document recognition, 1998, https://doi.org/10.1109/5.726791;
here for three colours, with ReLU and max pooling.
"""

from __future__ import annotations

from torch import nn

from models.blocks import Network

# What is known before building. Read as text, without importing this file: it would load torch. Literals only.
MODELS = {
    "lenet-5": {
        "builder": "lenet_5",
        "description": "LeNet-5 on 32x32 images; 0.06 M parameters (https://doi.org/10.1109/5.726791)",
        "input_size": 32,
        "any_size": False,
        "scaling": "half",
    },
    "lenet-300-100": {
        "builder": "lenet_300_100",
        "description": "LeNet-300-100, fully connected, on 28x28 images; 0.7 M parameters (https://doi.org/10.1109/5.726791)",
        "input_size": 28,
        "any_size": False,
        "scaling": "half",
    },
}


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
