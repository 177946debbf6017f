"""Whether what a camera shows has drifted from what the network was trained and tested on. Must run on Python 3.6.

Six numbers of each region are compared with those of the samples that a bundle brings: mean and standard deviation of
each colour channel as the network takes it. One region says little, since people stand before light and dark ground;
the mean over the last regions of many people says how light, colour or contrast have changed. It costs some 30
microseconds a region and asks nothing of the network, which may be sure and wrong on pictures that are unlike its own.
A camera at a place that the training set has not seen drifts from its first day, as it should.
"""

import os
from collections import deque
from typing import Deque, Dict, Optional

import numpy as np

from runners.contract import model_input
from runners.edge.loop.kept_regions import KeptRegions

WINDOW = 256  # regions over which the mean is taken
LEAST_SAMPLES = 16  # with 8, a tenth of the default clip seems to have drifted from itself
# How far, in standard deviations of single samples. On the default clip, with 16 samples at random, the mean of 256
# regions in a row is farther away in 1.5 % of all cases, at half the brightness always.
LIMIT = 1.25
LEAST_SPREAD = 0.02  # of the values that the network takes: samples that are all alike say little of others
ROWS = 28  # of a region that are looked at


def looks(regions: np.ndarray) -> np.ndarray:
    """(N, 6) of regions (N, 3, S, S): mean and standard deviation of each channel."""
    step = max(regions.shape[-1] // ROWS, 1)
    seen = np.asarray(regions[:, :, ::step, ::step], np.float32).reshape(len(regions), 3, -1)
    return np.concatenate((seen.mean(2), seen.std(2)), axis=1)


class Reference:
    """What the samples look like."""

    def __init__(self, samples: np.ndarray) -> None:
        seen = looks(samples)
        self.mean, self.spread = seen.mean(0), np.maximum(seen.std(0, ddof=1), LEAST_SPREAD)


def reference(file: str, model: str) -> Optional[Reference]:
    """Of the samples in a file of a bundle, as the model in the folder `model` takes them; None where there are none,
    or too few to judge by."""
    try:
        samples = KeptRegions(file, model_input.read(os.path.join(model, model_input.NAME)))
    except ValueError:
        return None
    return Reference(samples.batch(0, len(samples))) if len(samples) >= LEAST_SAMPLES else None


class Drift:
    """Watches each camera's regions. Memory is bounded by the number of cameras."""

    def __init__(self, expected: Reference) -> None:
        self._expected = expected
        self._seen: Dict[str, Deque[np.ndarray]] = {}

    def look(self, camera: str, region: np.ndarray) -> bool:
        """Whether a camera has drifted, after one more of its regions (3, S, S)."""
        seen = self._seen.setdefault(camera, deque(maxlen=WINDOW))
        seen.append(looks(region[None])[0])
        if len(seen) < WINDOW:
            return False
        away = np.abs(np.mean(seen, axis=0) - self._expected.mean) / self._expected.spread
        return bool(away.max() > LIMIT)
