"""What becomes of numbers that are rounded to FP16, counted."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Rounding to nearest, ties to even, makes infinities of magnitudes from the first number on, subnormals or zeros of
# those below the second, and zeros of those up to the third.
_INFINITE = 65520.0
_SUBNORMAL = 2.0**-14 - 2.0**-25
_ZERO = 2.0**-25


@dataclass
class Counts:
    """What became of the elements of one tensor when they were rounded to FP16."""

    elements: int = 0
    overflow: int = 0  # infinite or not a number, which FP16 makes of magnitudes above 65504
    subnormal: int = 0  # below 2^-14 but not zero: fewer than 11 significant bits are left
    flushed: int = 0  # zero, without having been zero before
    max_abs: float = 0.0  # the largest finite magnitude before rounding

    def add(self, values: NDArray[np.float32], sums: NDArray[np.float32] | None = None) -> None:
        """Count FP32 `values` on their way to FP16; `sums`, if given, are the FP16 sums that they were made from.

        An activation may hide from the boundary that a sum is infinite, so the larger number of both counts.
        """
        magnitudes = np.abs(values)
        largest = float(magnitudes.max(initial=0.0))
        overflow = 0
        if not largest < _INFINITE:
            overflow = int(np.count_nonzero(~(magnitudes < _INFINITE)))
            largest = float(magnitudes.max(initial=0.0, where=np.isfinite(magnitudes)))
        if sums is not None:
            overflow = max(overflow, sums.size - int(np.count_nonzero(np.isfinite(sums))))
        zero = int(np.count_nonzero(magnitudes <= _ZERO))
        self.elements += values.size
        self.overflow += overflow
        self.subnormal += int(np.count_nonzero(magnitudes < _SUBNORMAL)) - zero
        self.flushed += zero - (values.size - int(np.count_nonzero(values)))
        self.max_abs = max(self.max_abs, largest)


def together(shares: Sequence[Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Layers with their counts over all samples, from those of each share of the samples."""
    counted = {field.name for field in fields(Counts)} - {"max_abs"}
    layers = []
    for same in zip(*shares, strict=True):
        added = {name: sum(each[name] for each in same) for name in counted}
        layers.append({**same[0], **added, "max_abs": max(each["max_abs"] for each in same)})
    return layers
