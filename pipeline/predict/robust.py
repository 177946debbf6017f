"""Robust least squares for a handful of parameters: Levenberg-Marquardt in NumPy (loading SciPy takes longer)."""

from collections.abc import Callable

import numpy as np

from pipeline.predict.roofline import Array

_STEP = 1e-5  # of the numeric derivative; parameters are logarithms
_TOLERANCE = 1e-8  # relative gain below which the search ends


def minimise(residuals: Callable[[Array], Array], start: Array, reach: Array) -> Array:
    """The parameters near `start` with the least soft-L1 cost, each at most `reach` away from it.

    Soft L1 counts a residual r as 2 (sqrt(1 + r^2) - 1): squared while small, linear once it is an outlier.
    """
    best, damping = start, 1e-3
    off = residuals(best)
    for _ in range(100):
        slopes = np.stack([(residuals(best + _STEP * unit) - off) / _STEP for unit in np.eye(len(best))], axis=1)
        weighted = slopes.T / np.sqrt(1 + off**2)
        curvature = weighted @ slopes
        step = np.linalg.solve(curvature + damping * np.diag(np.diag(curvature)), -weighted @ off)
        candidate = np.clip(best + step, start - reach, start + reach)
        candidate_off = residuals(candidate)
        gain = 1 - _cost(candidate_off) / _cost(off)
        if gain <= 0:
            damping *= 4
            if damping > 1e9:
                break
            continue
        best, off, damping = candidate, candidate_off, damping / 4
        if gain < _TOLERANCE:
            break
    return best


def _cost(residuals: Array) -> float:
    return float(np.sum(np.sqrt(1 + residuals**2) - 1)) + 1e-12
