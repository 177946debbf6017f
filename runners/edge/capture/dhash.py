"""Difference hashes: pictures that look alike have hashes that differ in few bits. Must run on Python 3.6.

The same as ImageHash's `dhash`, which shrinks with Pillow's Lanczos filter: OpenCV has no filter that comes near.
"""

from collections import deque
from functools import lru_cache
from typing import Deque, Iterable

import cv2
import numpy as np

ROWS, COLUMNS = 8, 9
MOST_BITS = 4  # of 64 in which the hashes of two pictures that are alike differ
REMEMBERED = 1000


def dhash(picture: np.ndarray) -> str:
    """Of a picture (H, W, 3; uint8 BGR), as 16 hexadecimal digits: where the picture gets brighter to the right."""
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    rows = _rounded(grey @ _lanczos(grey.shape[1], COLUMNS).T)
    small = _rounded(_lanczos(grey.shape[0], ROWS) @ rows)
    return np.packbits(small[:, 1:] > small[:, :-1]).tobytes().hex()


def differing_bits(one: str, other: str) -> int:
    """In how many bits two hashes differ."""
    return bin(int(one, 16) ^ int(other, 16)).count("1")


class Remembered:
    """The hashes of the last pictures."""

    def __init__(self, hashes: Iterable[str] = ()) -> None:
        self._hashes: Deque[str] = deque(hashes, REMEMBERED)

    def knows(self, found: str) -> bool:
        """Whether a picture that is alike is among them."""
        return any(differing_bits(found, one) <= MOST_BITS for one in self._hashes)

    def add(self, found: str) -> None:
        """Remember one more."""
        self._hashes.append(found)


@lru_cache(maxsize=64)
def _lanczos(length: int, wanted: int) -> np.ndarray:
    """What each of `length` pixels has to do with each of `wanted`, as in Pillow's Resample.c."""
    scale = length / float(wanted)
    reach = max(scale, 1.0)
    weights = np.zeros((wanted, length))
    for index in range(wanted):
        middle = (index + 0.5) * scale
        first, last = max(int(middle - 3 * reach + 0.5), 0), min(int(middle + 3 * reach + 0.5), length)
        away = (np.arange(first, last) - middle + 0.5) / reach
        weights[index, first:last] = np.where(np.abs(away) < 3, np.sinc(away) * np.sinc(away / 3), 0)
    return np.asarray(weights / weights.sum(1, keepdims=True))


def _rounded(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.clip(np.floor(values + 0.5), 0, 255))
