"""Makes the heads of people in a captured region unrecognisable. Must run on Python 3.6.

It knows no faces: of each box of what moves it takes the part where the head of somebody upright is, and leaves a few
coarse cells of it, from which nothing can be calculated back. Who sits, bends, carries a child or stands still beside a
box keeps their face, as does the smaller of two in one box, and gait, clothes and place are as they were.
"""

from typing import Iterable

import cv2
import numpy as np

from runners.edge.loop.regions import Box

HEAD = 0.22  # of a box's height: a head is an eighth of a body, and boxes begin late or early
ABOVE, BESIDE = 0.08, 0.1  # of height and width, what a box may have missed
CELLS = 4  # each way


def blur(region: np.ndarray, boxes: Iterable[Box]) -> None:
    """Blur the heads of these boxes in place, in a region (H, W, 3) whose pixels they are in."""
    height, width = region.shape[:2]
    for box in boxes:
        left, right = box.x - round(BESIDE * box.w), box.x + box.w + round(BESIDE * box.w)
        top, bottom = box.y - round(ABOVE * box.h), box.y + round(HEAD * box.h) + 1
        left, right, top, bottom = max(left, 0), min(right, width), max(top, 0), min(bottom, height)
        if left < right and top < bottom:
            part = region[top:bottom, left:right]
            cells = cv2.resize(part, (CELLS, CELLS), interpolation=cv2.INTER_AREA)
            region[top:bottom, left:right] = cv2.resize(
                cells, (right - left, bottom - top), interpolation=cv2.INTER_NEAREST
            )
