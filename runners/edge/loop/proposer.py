"""Region proposals: what moves in the frames of a fixed camera, as boxes that are worth classifying.

The boxes of the training set come from here too. Must run on Python 3.6 (JetPack 4.6) with NumPy and OpenCV only.
"""

from typing import List, Optional

import cv2
import numpy as np

from runners.edge.loop.regions import FRAME_HEIGHT, FRAME_WIDTH, Box

SCALE = 5  # differencing takes time by the pixel; at a fifth, somebody 55 pixels tall is still 11
HALF = (FRAME_WIDTH // 2, FRAME_HEIGHT // 2)
SMALL = (FRAME_WIDTH // SCALE, FRAME_HEIGHT // SCALE)
MIN_HEIGHT, MIN_WIDTH = 55, 20  # of a box, in pixels of the frame: smaller ones are mostly parts of people
MIN_FILLED = 0.2  # of a box's area
LARGEST_SHADOW = 200  # MOG2 marks shadows with 127 and what moves with 255


class Proposer:
    """Background differencing (MOG2, Zivkovic 2004) on frames of a fixed camera, at a fifth of their size.

    A small frame has little noise: nothing has to be opened, and a pixel may be seven deviations off before it moves.
    """

    def __init__(self, history: int = 300) -> None:
        self._background = cv2.createBackgroundSubtractorMOG2(history=history, varThreshold=49, detectShadows=True)
        self._close = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 5))  # tall: joins a head to its body

    def __call__(self, frame: np.ndarray, limit: Optional[int] = None) -> List[Box]:
        """Boxes of what moves in the next frame (720, 1280, 3; uint8 BGR), largest first, at most `limit` of them."""
        mask = self._background.apply(_shrunk(frame))
        mask = cv2.threshold(mask, LARGEST_SHADOW, 255, cv2.THRESH_BINARY)[1]
        mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, self._close)
        stats = cv2.connectedComponentsWithStats(mask, connectivity=8, ltype=cv2.CV_16U)[2]
        found = [
            Box(SCALE * x, SCALE * y, SCALE * w, SCALE * h)
            for x, y, w, h, filled in stats[1:].tolist()
            if SCALE * h >= MIN_HEIGHT and SCALE * w >= MIN_WIDTH and filled >= MIN_FILLED * w * h
        ]
        found.sort(key=lambda box: -box.area)
        return found[:limit]


def _shrunk(frame: np.ndarray) -> np.ndarray:
    """The frame at a fifth of its size, the same in every byte on every instruction set.

    By half OpenCV averages four pixels in whole numbers, quickly; straight to a fifth it would take four times as long.
    """
    half = cv2.resize(frame, HALF, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(half, SMALL, interpolation=cv2.INTER_LINEAR_EXACT))
