"""AlexNet in its one-column form. Krizhevsky, One weird trick, https://arxiv.org/abs/1404.5997"""

from __future__ import annotations

from torch import nn

from models.blocks import Network

# What is known before building. Read as text, without importing this file: it would load torch. Literals only.
MODELS = {
    "alexnet": {
        "builder": "build",
        "description": "AlexNet; 61 M parameters (https://arxiv.org/abs/1404.5997)",
        "any_size": False,
    },
}


def build(num_classes: int) -> Network:
    """Random weights. Input (N, 3, 224, 224), output (N, num_classes) logits."""
    features = nn.Sequential(
        nn.Conv2d(3, 64, 11, stride=4, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2),
        nn.Conv2d(64, 192, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2),
        nn.Conv2d(192, 384, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2),
    )
    classifier = nn.Sequential(
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(256 * 6 * 6, 4096),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(4096, 4096),
        nn.ReLU(),
        nn.Linear(4096, num_classes),
    )
    return Network(features, classifier)
