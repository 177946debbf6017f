"""The regions of a split as a network takes them, a batch at a time."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from models import ModelSpec
from pipeline.data.dataset import Dataset, SplitName
from runners.edge.loop.regions import normalise


class Regions:
    """Labelled regions of one split with their groups; `samples` of them drawn at random, or all in order."""

    def __init__(
        self, dataset: Dataset, spec: ModelSpec, split: SplitName, samples: int | None = None, seed: int = 0
    ) -> None:
        self._spec = spec
        self._images, self.labels = dataset.load(split, spec.input_size)
        self.groups = dataset.groups(split)
        if samples is not None:
            chosen = np.random.default_rng(seed).permutation(len(self._images))[:samples]
            self._images, self.labels, self.groups = self._images[chosen], self.labels[chosen], self.groups[chosen]

    def __len__(self) -> int:
        return len(self._images)

    def batches(self, size: int) -> Iterator[NDArray[np.float32]]:
        """Batches (n <= size, 3, S, S), normalised."""
        for start in range(0, len(self._images), size):
            yield normalise(self._images[start : start + size], self._spec.mean, self._spec.std)
