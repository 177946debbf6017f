"""What goes into a network: a few regions, in an array that is as long as the network wants it. NumPy only."""

from typing import Any

import numpy as np

from runners.edge.backends.unusable import Unusable


def padded(batch: Any, rows: int) -> Any:
    """The array `batch` (n, ...) with zeros behind it, (rows, ...); n is at most `rows`."""
    if len(batch) == rows:
        return batch
    full = np.zeros((rows, *batch.shape[1:]), batch.dtype)
    full[: len(batch)] = batch
    return full


def check(batch: Any, most: int, size: int) -> None:
    """See to it that `batch` is 1 to `most` regions, (n, 3, size, size) in float32.

    Raises:
        Unusable: it is not.
    """
    if batch.dtype != np.float32 or batch.shape[1:] != (3, size, size) or not 1 <= len(batch) <= most:
        wanted = "1 to {} regions of 3 x {} x {} in float32".format(most, size, size)
        raise Unusable("the network wants {}, and got {} in {}".format(wanted, batch.shape, batch.dtype))
