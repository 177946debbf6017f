"""How far two runs' outputs are apart."""

import numpy as np
from numpy.typing import NDArray

from pipeline.check.record import Difference

NO_NUMBERS = 1e6  # percent: what outputs that are NaN or infinite on one side only count as

Floats = NDArray[np.float32]


def difference(outputs: Floats | None, others: Floats | None) -> Difference | None:
    """`outputs` (N, ...) against `others`; None where one is missing or has values that are no numbers."""
    if outputs is None or others is None:
        return None
    apart = outputs.astype(np.float64) - others
    if not np.isfinite(apart).all():
        return None
    rms, size = (float(np.sqrt(np.square(values).mean())) for values in (apart, others.astype(np.float64)))
    return Difference(largest=float(np.abs(apart).max()), rms=rms, relative_percent=100 * rms / size if size else 0.0)


def percent(outputs: Floats | None, others: Floats | None) -> float | None:
    """The root mean square difference as a share of the root mean square of `others`, 0 to `NO_NUMBERS`.

    None where one is missing or `others` say nothing: they are zero, or no numbers.
    """
    if outputs is None or others is None or not np.isfinite(others).all() or not others.any():
        return None
    found = difference(outputs, others)
    return NO_NUMBERS if found is None else min(found.relative_percent, NO_NUMBERS)
