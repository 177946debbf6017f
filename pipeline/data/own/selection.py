"""Which samples are taken when not all are, and a fingerprint of what was taken."""

import hashlib

import numpy as np
from numpy.typing import NDArray


def spread(count: int, limit: int | None) -> NDArray[np.int64]:
    """`limit` indices spread evenly over `count` samples, all of them where there are no more or without a limit."""
    taken = count if limit is None else min(limit, count)
    return np.arange(taken, dtype=np.int64) * count // max(taken, 1)


def fingerprint(*parts: object, labels: NDArray[np.int64] | None) -> str:
    """SHA-256 of the text of `parts`, in order, and of the labels, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{part}\n".encode(errors="surrogateescape"))
    if labels is not None:
        digest.update(labels.astype("<i8").tobytes())
    return digest.hexdigest()
