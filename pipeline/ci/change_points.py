"""From which commit on a number is another one: PELT with the squared error, by the library ruptures.

A change has to explain more than chance would: the penalty is that of the Bayesian information criterion for noise of
known size (R. Killick, P. Fearnhead, I. A. Eckley, Optimal detection of changepoints with a linear computational cost,
JASA 107, 2012). The noise is the median difference from one commit to the next, which steps hardly touch; numbers that
never vary by themselves, as emulated ones do not, have none, so that any step is a change.
"""

from collections.abc import Sequence
from math import log

import numpy as np

FEWEST = 5  # numbers that tell noise from a change
EXACT = 1e-6  # of the size of a number: what a sum may differ by


def change_points(values: Sequence[float]) -> list[int]:
    """The indices at which a new level begins; never the first."""
    if len(values) < FEWEST:
        return []
    from ruptures import KernelCPD

    signal = np.asarray(values) - np.median(values)
    least = EXACT * max(float(np.abs(values).max()), 1e-12)
    noise = max(_noise(signal), least)
    found = KernelCPD(kernel="linear", min_size=1).fit(signal / noise).predict(pen=3 * log(len(values)))
    return [int(index) for index in found[:-1]]  # the last one is the end


def _noise(signal: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> float:
    """The standard deviation of one number, from the median size of the differences between two."""
    return float(1.4826 * np.median(np.abs(np.diff(signal))) / 2**0.5)
