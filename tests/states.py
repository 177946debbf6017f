"""A network as the steps of a recipe see it, with random images for data."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import models
from models import ModelSpec
from pipeline.compress.state import State
from pipeline.data.dataset import Dataset
from pipeline.records.targets import Precision
from pipeline.train.checkpoint import Checkpoints

CLASSES = 3


class Noise(Dataset):
    """Random images of random classes, the same each time."""

    def __init__(self, count: int = 8) -> None:
        super().__init__(Path(), ["a", "b", "c"], [])
        object.__setattr__(self, "count", count)

    def load(self, name: str, size: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        random = np.random.default_rng(0)
        images = random.integers(0, 255, (self.count, size, size, 3), np.uint8)  # type: ignore[attr-defined]
        return images, random.integers(0, CLASSES, len(images))


def small(name: str, size: int, width: float = 1.0) -> tuple[nn.Module, ModelSpec]:
    """A network of random weights, for regions of `size` pixels."""
    torch.manual_seed(0)
    network = models.build(name, CLASSES, width, pretrained=False).eval()
    return network, replace(models.spec(name), input_size=size)


def state_of(network: nn.Module, spec: ModelSpec, precision: Precision = "fp32", seed: int = 0) -> State:
    """The network before the first step of a recipe that ends in `precision`, which trains nothing."""
    return State(
        network=network,
        spec=spec,
        dataset=Noise(),
        precision=precision,
        seed=seed,
        parent=lambda: network,
        checkpoints=Checkpoints(Path("nothing is to be trained here"), ""),
        parent_spec=spec,
    )
