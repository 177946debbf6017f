"""Fit of the roofline's few parameters to measured rates, and its error on models it has not seen."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.predict.measurements import Measurement
from pipeline.predict.robust import minimise
from pipeline.predict.roofline import CPU_PRIOR, GPU_PRIOR, Array, Prior, Work, join, work

_NOISE = 0.1  # how far measurements of one network differ between sources, as a natural logarithm
_BOUND = 4.0  # spreads of the prior that a parameter may move at most


@dataclass(frozen=True)
class Fit:
    """Parameters, with the rates that a fit without their own model gives for the rows."""

    parameters: Array
    rows: tuple[Measurement, ...]
    unseen_rates: Array

    @property
    def errors(self) -> dict[str, Array]:
        """Signed errors of the rate in per cent, by model left out."""
        measured = np.array([row.rate for row in self.rows])
        errors = (self.unseen_rates / measured - 1) * 100
        names = np.array([row.model for row in self.rows])
        return {name: errors[names == name] for name in sorted(set(names.tolist()))}

    @property
    def error_percent(self) -> float:
        """The median over the models of each model's median error."""
        return median_error(self.errors)


def fit(rows: Sequence[Measurement]) -> Fit:
    """Fit to `rows`, which must be of one family and precision and of at least two models."""
    data = _Data(rows)
    names = np.array([row.model for row in rows])
    unseen = np.zeros(len(rows))
    for name in set(names.tolist()):
        without = data.parameters(names != name)
        unseen[names == name] = data.rates(without)[names == name]
    everything = np.ones(len(rows), dtype=bool)
    return Fit(data.parameters(everything), tuple(rows), unseen)


def median_error(errors: dict[str, Array]) -> float:
    """The median over the models of each model's median absolute error."""
    return float(np.median([np.median(np.abs(values)) for values in errors.values()]))


class _Data:
    """Rows as arrays: built once, fitted many times."""

    def __init__(self, rows: Sequence[Measurement]) -> None:
        self._prior: Prior = GPU_PRIOR if rows[0].machine.is_gpu else CPU_PRIOR
        parts = [work([layer for layer, _ in row.layers], row.machine, row.batch) for row in rows]
        self._work: Work = join(parts)
        self._row = np.repeat(np.arange(len(rows)), [len(row.layers) for row in rows])
        self._count = np.array([count for row in rows for _, count in row.layers], dtype=np.float64)
        self._batch = np.array([row.batch for row in rows])
        self._measured = np.log([1000 * row.batch / row.rate for row in rows])
        per_model = Counter(row.model for row in rows)
        self._weight = np.sqrt([row.weight / per_model[row.model] for row in rows])

    def milliseconds(self, parameters: Array) -> Array:
        """Time of one run of each row."""
        times = self._work.times(parameters) * self._count
        total: Array = np.bincount(self._row, times, len(self._batch)).astype(np.float64)
        return total

    def rates(self, parameters: Array) -> Array:
        return 1000 * self._batch / self.milliseconds(parameters)

    def parameters(self, chosen: NDArray[np.bool_]) -> Array:
        """Robust least squares of the logarithms of time over the chosen rows, drawn towards the prior."""
        centre, spread = np.log(self._prior.centre), np.array(self._prior.spread)

        def residuals(logs: Array) -> Array:
            off = (np.log(self.milliseconds(np.exp(logs))) - self._measured) * self._weight / _NOISE
            return np.concatenate([off[chosen], (logs - centre) / spread])

        fitted: Array = np.exp(minimise(residuals, centre, _BOUND * spread))
        return fitted
