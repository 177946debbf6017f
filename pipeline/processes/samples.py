"""What a model is fed with, wherever it runs."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Inputs = NDArray[np.float32 | np.uint8]


class Samples(Protocol):
    """Inputs that can be gone through more than once, held a batch at a time."""

    def __len__(self) -> int: ...

    def batches(self, size: int) -> Iterator[Inputs]:
        """Batches (n <= size, ...) of inputs as the model takes them: float32, or pixels in uint8."""
        ...
