"""How sure a drop is: parent and candidate answered the same samples, so only the answers that changed count.

The interval is Tango's for a difference of paired proportions, from the score test (T. Tango, Equivalence test and
confidence interval for the difference in proportions for the paired-sample design, Statistics in Medicine 17, 1998,
https://doi.org/10.1002/(SICI)1097-0258(19980430)17:8<891::AID-SIM780>3.0.CO;2-B). Answers that hang together, such as
the pixels of one picture or the regions of one person, tell less than as many that do not: their counts are divided by
the design effect first (J. N. K. Rao and A. J. Scott, A simple method for the analysis of clustered binary data,
Biometrics 48, 1992).
"""

from collections.abc import Callable
from math import ceil, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

CONFIDENCE = 0.9  # of the intervals that are shown where nobody asks for another
MOST = 1e7  # samples that nobody will collect

Booleans = NDArray[np.bool_]
Interval = tuple[float, float]
Counts = tuple[float, float, float]  # lost, won, of all


class Paired(BaseModel):
    """Of `n` answers, `lost` were right before and are wrong now, and `won` were wrong and are right.

    `design_effect` is how many of these answers tell as much as one that hangs together with no other.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    lost: int = Field(ge=0)
    won: int = Field(ge=0)
    n: int = Field(gt=0)
    design_effect: float = Field(default=1.0, ge=1)

    @model_validator(mode="after")
    def _no_more_than_all(self) -> "Paired":
        if self.lost + self.won > self.n:
            raise ValueError(f"{self.lost} lost and {self.won} won of {self.n}")
        return self

    @property
    def drop_points(self) -> float:
        """Percentage points lost (negative: gained)."""
        return 100.0 * (self.lost - self.won) / self.n

    def interval(self, confidence: float = CONFIDENCE) -> Interval:
        """Where the drop is that as many samples as one likes would show, in points, with this confidence (0 to 1)."""
        low, high = _interval(self._counts(1.0), confidence)
        return 100 * low, 100 * high

    def certainty(self, limit_points: float) -> float:
        """How sure it is, 0 to 1, that no more than the limit is lost: the confidence of the score test."""
        return NormalDist().cdf(-_score(self._counts(1.0), limit_points / 100))

    def needed(self, limit_points: float, confidence: float) -> int | None:
        """About how many such answers would tell on which side of the limit the drop is; None where no number would."""

        def undecided(times: float) -> bool:
            low, high = _interval(self._counts(times), confidence)
            return low <= limit_points / 100 < high

        enough = 1.0
        while undecided(enough):
            enough *= 1.1
            if enough * self.n > MOST:
                return None
        found = ceil(enough * self.n)
        step: int = 10 ** max(0, len(str(found)) - 2)
        return ceil(found / step) * step

    def _counts(self, times: float) -> Counts:
        share = times / self.design_effect
        return self.lost * share, self.won * share, self.n * share


def paired(before: Booleans, after: Booleans, groups: NDArray[np.int64] | None = None) -> Paired:
    """Which of the answers (N, ...) were right before and after.

    `groups` (N,) numbers what samples hang together by; by default each stands for itself, with all its answers.
    """
    change = before.astype(np.int64) - after
    if groups is None:
        groups = np.arange(len(change))
    return Paired(
        lost=int((change > 0).sum()),
        won=int((change < 0).sum()),
        n=change.size,
        design_effect=_design_effect(change.reshape(len(change), -1), groups),
    )


def kept(before: NDArray[np.int64], after: NDArray[np.int64]) -> Paired:
    """Which of the answers (N, ...) are others now, whether right or wrong; none is -1."""
    same = (before == after) & (before >= 0)
    return paired(np.ones_like(same), same)


def _design_effect(change: NDArray[np.int64], groups: NDArray[np.int64]) -> float:
    """The variance of the mean change (N, answers) over groups (N,), as a multiple of what single answers would have.

    Answers that vary less than that are taken as single ones, and those of one group alone, which tell nothing of
    another, as one.
    """
    mean, count = change.mean(), len(np.unique(groups))
    if count == 1:
        return float(change.size)
    single = float(np.square(change - mean).sum())
    if count == change.size or single == 0:
        return 1.0
    sums = np.bincount(np.unique(groups, return_inverse=True)[1], weights=(change - mean).sum(axis=1))
    return max(1.0, float(np.square(sums).sum()) * count / (count - 1) / single)


def _interval(counts: Counts, confidence: float) -> Interval:
    lost, won, n = counts
    quantile, found = NormalDist().inv_cdf((1 + confidence) / 2), (lost - won) / n
    return (
        _crossing(lambda drop: _score(counts, drop) - quantile, -1.0, found),
        _crossing(lambda drop: _score(counts, drop) + quantile, found, 1.0),
    )


def _crossing(of: Callable[[float], float], low: float, high: float) -> float:
    """Where a falling function is zero; the outer end where it is nowhere."""
    from scipy.optimize import brentq

    if low == high:
        return low
    first, last = of(low), of(high)
    if first <= 0 or last >= 0:
        return low if first <= 0 else high
    return float(brentq(of, low, high))


def _score(counts: Counts, drop: float) -> float:
    """How many standard deviations the drop that was found lies above this one."""
    lost, won, n = counts
    a = 2 * n
    b = -lost - won + (2 * n - lost + won) * drop
    c = -won * drop * (1 - drop)
    share = (sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)
    variance = n * (2 * share + drop * (1 - drop))
    above = lost - won - n * drop
    if above == 0:
        return 0.0
    return above / sqrt(max(variance, np.finfo(float).tiny))
