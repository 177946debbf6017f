"""What somebody looks like: a small colour histogram, to tell people apart who were in one box.

Brightness and two colour differences, each in a histogram of its own, for the upper and the lower half of a box:
a jacket and trousers. Compared as in kernel tracking (Comaniciu, Ramesh and Meer 2003) by the Hellinger distance.
Must run on Python 3.6.
"""

from math import sqrt
from typing import List, Sequence

import cv2
import numpy as np

from runners.edge.loop.regions import Box

ROWS, COLUMNS = 24, 10  # pixels looked at: histograms of more tell people apart no better
BLEND = 0.2  # how much of a new look goes into what is known
ALIKE = 0.35  # distance at which the same person and another are equally likely, by the default clip's training part
STEEPNESS = 20.0  # how fast the odds turn around that distance
LIMIT = 4.0  # no look says more than this, since light changes and backs differ from fronts

_BRIGHT = np.searchsorted((20, 35, 50, 70, 90, 120, 160), np.arange(3 * 255 + 1) // 3, side="right")  # by B + G + R
# A difference of two colours, -255 to 255, stands at its own index: the negative ones at the end.
_COLOUR = np.searchsorted((-20, -8, 0, 8, 16, 32, 64), np.roll(np.arange(-255, 256), -255), side="right")
_HALF = 24 * (np.arange(ROWS) >= ROWS // 2)[:, None]
_NOTHING = np.full(48, sqrt(1 / 48.0))


def looks(frame: np.ndarray, boxes: Sequence[Box]) -> List[np.ndarray]:
    """The square roots of each box's histograms in a frame (H, W, 3; uint8 BGR): 48 numbers, their squares add up to 1.

    The outer parts of a box are left out: they show more of the ground than of the person. A box outside the frame
    looks like everything a little. All boxes are calculated together, since NumPy takes its time by the call.
    """
    parts = [_inner(frame, box) for box in boxes]
    pixels = np.zeros((len(boxes), ROWS, COLUMNS, 3), np.uint8)
    for part, of_box in zip(parts, pixels):
        if part.size:
            cv2.resize(part, (COLUMNS, ROWS), of_box, interpolation=cv2.INTER_NEAREST)
    blue, green, red = np.moveaxis(pixels.astype(np.int16), 3, 0)
    first = 48 * np.arange(len(boxes))[:, None, None] + _HALF
    bins = np.stack(
        (first + _BRIGHT[blue + green + red], first + 8 + _COLOUR[red - green], first + 16 + _COLOUR[blue - green])
    )
    counts = np.bincount(bins.ravel(), minlength=48 * len(boxes)).reshape(-1, 48)
    found = np.sqrt(counts / float(3 * ROWS * COLUMNS))
    return [row if part.size else _NOTHING for part, row in zip(parts, found)]


def _inner(frame: np.ndarray, box: Box) -> np.ndarray:
    left, top = max(box.x + box.w // 5, 0), max(box.y + box.h // 20, 0)
    right, bottom = box.x + box.w - box.w // 5, box.y + box.h - box.h // 20
    return frame[top : max(bottom, top), left : max(right, left)]


def blend(known: np.ndarray, new: np.ndarray) -> np.ndarray:
    """What is known of somebody after another look."""
    return np.sqrt((1 - BLEND) * known**2 + BLEND * new**2)


def unlikeness(known: np.ndarray, new: np.ndarray) -> float:
    """Log-odds that a look is not of the somebody who is known: negative where it is."""
    distance = sqrt(max(0.0, 1.0 - float(np.dot(known, new))))
    return min(max(STEEPNESS * (distance - ALIKE), -LIMIT), LIMIT)
