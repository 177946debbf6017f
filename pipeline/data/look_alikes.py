"""Pictures that show the same: re-encoded, resized, a little cropped, brighter or darker.

Hashes (ImageHash's pHash and dHash: the picture's low frequencies, and where it gets brighter) say which pairs are
worth a look; the correlation of the two pictures, one laid over the other at the best place and size, says whether they
are the same. A hash alone cannot: people who stand upright in the middle have hashes as near as two crops of one photo.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from tqdm import tqdm

from pipeline.data.images import Image

SIDE = 48  # pixels of the small pictures that are laid over each other
SMALLEST = 0.83  # side of what a crop leaves, as a share of the whole
BORDER = 0.06  # of a picture that its second hash leaves out, so that crops are near to it
NEAR = 24  # bits of 128 in which the hashes of a pair may differ
ALIKE = 0.945  # correlation of pictures that show the same
FLAT = 2.0  # grey levels of standard deviation, below which a picture shows nothing to compare
AT_ONCE = 1 << 22  # pairs whose hashes are compared at once


@dataclass(frozen=True)
class Print:
    """What is kept of a picture: the hashes (2, 16) uint8 of the whole and of its inside, and a small grey picture
    (SIDE, SIDE) float32."""

    hashes: NDArray[np.uint8]
    small: NDArray[np.float32]

    @classmethod
    def of(cls, image: Image) -> "Print":
        """The print of (H, W, 3) uint8 BGR."""
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        top, left = (round(BORDER * side) for side in grey.shape)
        inside = grey[top : grey.shape[0] - top, left : grey.shape[1] - left]
        return cls(np.stack([_hash(grey), _hash(inside)]), _shrunk(grey, SIDE).astype(np.float32))


@dataclass(frozen=True)
class Pair:
    """Two pictures by their indices, the first the lower, and how far they show the same, 0 to 1."""

    first: int
    second: int
    alike: float


def find(prints: list[Print], apart: NDArray[np.int64] | None = None) -> list[Pair]:
    """All pairs that show the same, in order; of those `apart` (N,) numbers alike only such as differ in it.

    Without `apart` a pair whose pictures others join already is left out.
    """
    found: list[Pair] = []
    joined = Joined(len(prints))
    shows = np.array([one.small.std() >= FLAT for one in prints], bool)
    candidates = list(_near(np.stack([one.hashes for one in prints]), apart)) if prints else []
    for first, second in tqdm(candidates, desc="comparing images", unit="pair", disable=None):
        if not (shows[first] and shows[second]):
            continue
        if apart is None and joined.root(first) == joined.root(second):
            continue
        alike = correlation(prints[first].small, prints[second].small)
        if alike >= ALIKE:
            found.append(Pair(first, second, alike))
            joined.join(first, second)
    return sorted(found, key=lambda pair: (pair.first, pair.second))


def correlation(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """The best correlation, -1 to 1, of one small picture with any part of the other that a slight crop could leave."""
    best = -1.0
    for whole, part in ((first, second), (second, first)):
        for side in range(SIDE, round(SMALLEST * SIDE) - 1, -1):
            found = cv2.matchTemplate(whole, _shrunk(part, side), cv2.TM_CCOEFF_NORMED)
            best = max(best, float(found.max()))
    return best


class Joined:
    """Numbers of which some were joined, directly or by others (a union-find)."""

    def __init__(self, count: int) -> None:
        self._above = list(range(count))

    def root(self, number: int) -> int:
        """The same number for all that are joined."""
        while self._above[number] != number:
            self._above[number] = self._above[self._above[number]]
            number = self._above[number]
        return number

    def join(self, first: int, second: int) -> None:
        """Join two, and all that are joined with either."""
        self._above[self.root(second)] = self.root(first)


def _hash(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    picture = Pillow.fromarray(_shrunk(grey, 64))
    bits = [imagehash.phash(picture).hash, imagehash.dhash(picture).hash]
    return np.packbits(np.concatenate([part.ravel() for part in bits]))


def _shrunk(picture: NDArray[np.generic], side: int) -> NDArray[np.generic]:
    return np.asarray(cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA))


def _near(hashes: NDArray[np.uint8], apart: NDArray[np.int64] | None) -> Iterator[tuple[int, int]]:
    """Pairs of pictures whose hashes (N, 2, 16) differ in few bits, the whole of one against whole or inside."""
    words = hashes.view(np.uint64)  # (N, 2, 2)
    step = max(1, AT_ONCE // len(words))
    for start in range(0, len(words), step):
        block, rest = words[start : start + step], words[start:]
        bits = np.full((len(block), len(rest)), 255, np.uint8)
        for one, other in ((0, 0), (0, 1), (1, 0)):
            differ = np.bitwise_count(block[:, None, one] ^ rest[None, :, other]).sum(-1, dtype=np.uint8)
            np.minimum(bits, differ, out=bits)
        if apart is not None:
            bits[apart[start : start + step, None] == apart[None, start:]] = 255
        for first, second in np.argwhere(bits <= NEAR):
            if first < second:
                yield start + int(first), start + int(second)
