"""The newest whole frame of a camera: written by the thread that reads, taken by the program when it has time.

Three buffers that never grow: one is being filled, one holds the newest frame, one is with the program.
"""

import threading
from typing import NamedTuple, Optional

import cv2
import numpy as np

from runners.edge.bell import Bell
from runners.edge.camera.y4m import Buffer


class Frame(NamedTuple):
    """A frame of a camera: its number (from 1), when its last byte came (monotonic clock), its pixels.

    `i420` is (3/2 H, W), uint8: the luminance, then U and V at half the size. It is the camera's memory, and the
    program's until it takes the next frame.
    """

    camera: str
    number: int
    monotonic_s: float
    i420: np.ndarray

    @property
    def grey(self) -> np.ndarray:
        """The luminance (H, W), uint8, without copying."""
        return self.i420[: self.i420.shape[0] * 2 // 3]

    def bgr(self, into: Optional[np.ndarray] = None) -> np.ndarray:
        """The frame as (H, W, 3) uint8 BGR, in `into` where given."""
        return np.asarray(cv2.cvtColor(self.i420, cv2.COLOR_YUV2BGR_I420, into))


class Slot:
    """The exchange of buffers between one thread that fills and one that takes."""

    def __init__(self, camera: str, bell: Bell, every_frame: bool) -> None:
        self.received = self.delivered = self.dropped = 0
        self._camera, self._bell, self._every_frame = camera, bell, every_frame
        self._change = threading.Condition()
        self._newest: Optional[Buffer] = None
        self._held: Optional[Buffer] = None
        self._fresh = self._closed = False
        self._came_s = 0.0

    def put(self, filled: Buffer, monotonic_s: float) -> Buffer:
        """Hand in the newest frame and get a buffer for the next; with `every_frame`, once the last one is taken."""
        with self._change:
            while self._every_frame and self._fresh and not self._closed:
                self._change.wait()  # without a limit, so no clock is asked
            empty = self._newest
            self.received += 1
            self.dropped += self._fresh
            self._newest, self._came_s, self._fresh = filled, monotonic_s, True
        self._bell.ring()
        return Buffer(*filled.size) if empty is None or empty.size != filled.size else empty

    def take(self) -> Optional[Frame]:
        """The newest frame, if none has taken it."""
        with self._change:
            if not self._fresh or self._newest is None:
                return None
            taken = self._newest
            self._newest, self._held = self._held, taken
            self._fresh = False
            self.delivered += 1
            self._change.notify()
            return Frame(self._camera, self.received, self._came_s, taken.i420)

    @property
    def is_fresh(self) -> bool:
        """Whether there is a frame to take."""
        return self._fresh

    def close(self) -> None:
        """Nobody waits here any more."""
        with self._change:
            self._closed = True
            self._change.notify()
