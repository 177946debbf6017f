"""What somebody looks like: a small colour histogram, to tell people apart who were in one box.

Brightness and two colour differences, each in a histogram of its own, for the upper and the lower half of a box:
a jacket and trousers. Compared as in kernel tracking (Comaniciu, Ramesh and Meer 2003) by the Hellinger distance.
Must run on Python 3.6.
"""

from math import sqrt

import cv2
import numpy as np

from runners.edge.loop.regions import Box

ROWS, COLUMNS = 24, 10  # pixels looked at: histograms of more tell people apart no better
BLEND = 0.2  # how much of a new look goes into what is known
ALIKE = 0.35  # distance at which the same person and another are equally likely, by the default clip's training part
STEEPNESS = 20.0  # how fast the odds turn around that distance
LIMIT = 4.0  # no look says more than this, since light changes and backs differ from fronts

_BRIGHT = np.searchsorted((20, 35, 50, 70, 90, 120, 160), np.arange(256), side="right")
# A difference of two colours, -255 to 255, stands at its own index: the negative ones at the end.
_COLOUR = np.searchsorted((-20, -8, 0, 8, 16, 32, 64), np.roll(np.arange(-255, 256), -255), side="right")
_HALF = np.arange(0, 24, 8)[:, None, None] + 24 * (np.arange(ROWS) >= ROWS // 2)[None, :, None]


def look(frame: np.ndarray, box: Box) -> np.ndarray:
    """The square roots of a box's histograms in a frame (H, W, 3; uint8 BGR): 48 numbers, their squares add up to 1.

    The outer parts of the box are left out: they show more of the ground than of the person. A box outside the frame
    looks like everything a little.
    """
    left, top = max(box.x + box.w // 5, 0), max(box.y + box.h // 20, 0)
    right, bottom = box.x + box.w - box.w // 5, box.y + box.h - box.h // 20
    if min(right, frame.shape[1]) <= left or min(bottom, frame.shape[0]) <= top:
        return np.full(48, sqrt(1 / 48.0))
    pixels = cv2.resize(frame[top:bottom, left:right], (COLUMNS, ROWS), interpolation=cv2.INTER_NEAREST)
    blue, green, red = cv2.split(pixels.astype(np.int16))
    bins = np.stack((_BRIGHT[(blue + green + red) // 3], _COLOUR[red - green], _COLOUR[blue - green])) + _HALF
    return np.asarray(np.sqrt(np.bincount(bins.ravel(), minlength=48) / float(bins.size)))


def blend(known: np.ndarray, new: np.ndarray) -> np.ndarray:
    """What is known of somebody after another look."""
    return np.sqrt((1 - BLEND) * known**2 + BLEND * new**2)


def unlikeness(known: np.ndarray, new: np.ndarray) -> float:
    """Log-odds that a look is not of the somebody who is known: negative where it is."""
    distance = sqrt(max(0.0, 1.0 - float(np.dot(known, new))))
    return min(max(STEEPNESS * (distance - ALIKE), -LIMIT), LIMIT)
