"""Seeded noise, where only two runs of a network are held against each other and no data is at hand."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.data.own.selection import fingerprint
from pipeline.system.errors import BadData


@dataclass(frozen=True)
class RandomSamples:
    """`count` samples of this shape from the standard normal distribution, without labels; see `Samples`."""

    shape: tuple[int, int, int]
    count: int
    seed: int

    labels = None
    notes = ()

    @property
    def sha256(self) -> str:
        """Identity of the samples."""
        return fingerprint("standard normal", *self.shape, self.count, self.seed, labels=None)

    @property
    def description(self) -> str:
        """For people."""
        return f"{self.count:,} random inputs (seed {self.seed})"

    def __len__(self) -> int:
        return self.count

    def batches(self, size: int) -> Iterator[NDArray[np.float32]]:
        """(n, *shape); a sample depends on its index and the seed, not on the size of its batch."""
        for start in range(0, self.count, size):
            numbers = range(start, min(start + size, self.count))
            yield np.stack([self._sample(number) for number in numbers])

    def _sample(self, number: int) -> NDArray[np.float32]:
        return np.random.default_rng([self.seed, number]).standard_normal(self.shape, np.float32)


def random_samples(shape: tuple[int, int, int], count: int, seed: int = 0) -> RandomSamples:
    """`count` seeded random inputs of this shape (in the network's own order of dimensions), without labels.

    Raises:
        InputError: `count` is less than 1 or `seed` is negative.
    """
    if count < 1 or seed < 0:
        raise BadData(f"{count} random inputs with seed {seed}: need at least one, and a seed of 0 or more")
    return RandomSamples(shape, count, seed)
