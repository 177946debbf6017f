"""Regions that lie in a .npy file, made into what the network takes as the camera program does it.

Pictures are (N, S, S, 3) in uint8 RGB and are normalised here as the model's `input.json` says. What never was a
picture of eight bits is (N, 3, S, S) in float32 and taken as it is. Must run on Python 3.6.
"""

import numpy as np

from runners.contract.model_input import ModelInput
from runners.edge.loop.regions import normalise


class KeptRegions:
    """Of one file, read where they are asked for."""

    def __init__(self, file: str, wanted: ModelInput) -> None:
        """Open the file.

        Raises:
            ValueError: it is missing or damaged, or holds no regions that the model takes; the message is one line.
        """
        try:
            self._regions = found = np.lib.format.open_memmap(file, mode="r")
        except (OSError, ValueError) as error:
            raise ValueError("{}: no regions can be read there: {}".format(file, error)) from error
        size, self._wanted = wanted.size, wanted
        self._are_pictures = found.dtype == np.uint8 and found.shape[1:] == (size, size, 3)
        as_taken = found.dtype == np.float32 and found.shape[1:] == (3, size, size)
        if not (self._are_pictures or as_taken) or not found.size:
            text = "{}: the model takes regions of {} pixels, and these are {} in {}"
            raise ValueError(text.format(file, size, found.shape, found.dtype))

    def __len__(self) -> int:
        return len(self._regions)

    def batch(self, first: int, count: int) -> np.ndarray:
        """As many of them from `first` on as there are, at most `count`: (n, 3, S, S) float32."""
        found = np.ascontiguousarray(self._regions[first : first + count])
        return normalise(found, self._wanted.mean, self._wanted.std) if self._are_pictures else found
