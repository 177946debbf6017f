"""Seeded noise, where only two runs of a network are held against each other and no data is at hand."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.data.own.selection import fingerprint
from pipeline.processes.samples import Inputs
from pipeline.system.errors import BadData


@dataclass(frozen=True)
class RandomSamples:
    """`count` samples of this shape from the standard normal distribution, without labels; see `Samples`.

    As `pixels` they are equally likely values of 0 to 255.
    """

    shape: tuple[int, int, int]
    count: int
    seed: int
    pixels: bool = False

    labels = None
    notes = ()

    @property
    def sha256(self) -> str:
        """Identity of the samples."""
        return fingerprint(
            "pixels" if self.pixels else "standard normal", *self.shape, self.count, self.seed, labels=None
        )

    @property
    def description(self) -> str:
        """For people."""
        return f"{self.count:,} random inputs (seed {self.seed})"

    def __len__(self) -> int:
        return self.count

    def batches(self, size: int) -> Iterator[Inputs]:
        """(n, *shape); a sample depends on its index and the seed, not on the size of its batch."""
        for start in range(0, self.count, size):
            numbers = range(start, min(start + size, self.count))
            yield np.stack([self._sample(number) for number in numbers])

    def _sample(self, number: int) -> Inputs:
        random = np.random.default_rng([self.seed, number])
        if self.pixels:
            return random.integers(0, 256, self.shape, np.uint8)
        return random.standard_normal(self.shape, np.float32)


def random_samples(shape: tuple[int, int, int], count: int, seed: int = 0, *, pixels: bool = False) -> RandomSamples:
    """`count` seeded random inputs of this shape (in the network's own order of dimensions), without labels.

    They are `pixels` for a network that takes those.

    Raises:
        InputError: `count` is less than 1 or `seed` is negative.
    """
    if count < 1 or seed < 0:
        raise BadData(f"{count} random inputs with seed {seed}: need at least one, and a seed of 0 or more")
    return RandomSamples(shape, count, seed, pixels)
