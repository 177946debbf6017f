"""A picture for people to look at, with boxes, numbers and what was decided. Must run on Python 3.6."""

import threading
from typing import List, NamedTuple, Optional

import cv2
import numpy as np

from runners.edge.loop.regions import Box

DECIDED, UNDECIDED = (80, 220, 80), (200, 200, 200)  # BGR
QUALITY = 80  # of a JPEG, of 100


class Mark(NamedTuple):
    """What stands at a box."""

    box: Box
    text: str
    is_decided: bool


class Shown:
    """A picture (720, 1280, 3; uint8 BGR) of its own, drawn on when somebody asks for it, and on their thread."""

    def __init__(self, picture: np.ndarray, marks: List[Mark], time_s: float) -> None:
        self.time_s = time_s
        self._picture, self._marks = picture, marks
        self._lock = threading.Lock()
        self._jpeg: Optional[bytes] = None

    def drawn(self) -> np.ndarray:
        """The picture with its marks."""
        with self._lock:
            return self._drawn()

    def jpeg(self) -> bytes:
        """The same as a JPEG, which is made once for all who ask."""
        with self._lock:
            if self._jpeg is None:
                made, content = cv2.imencode(".jpg", self._drawn(), (cv2.IMWRITE_JPEG_QUALITY, QUALITY))
                self._jpeg = content.tobytes() if made else b""
            return self._jpeg

    def _drawn(self) -> np.ndarray:
        for box, text, is_decided in self._marks:
            colour = DECIDED if is_decided else UNDECIDED
            cv2.rectangle(self._picture, (box.x, box.y), (box.x + box.w, box.y + box.h), colour, 2)
            place = max(box.x, 0), max(box.y - 6, 14)
            cv2.putText(self._picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, 1, cv2.LINE_AA)
        self._marks = []
        return self._picture
