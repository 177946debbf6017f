"""One track: where it is, what it looks like, and for how long it is remembered. Must run on Python 3.6."""

from typing import Optional

import numpy as np

from runners.edge.loop.regions import Box
from runners.edge.tracking.appearance import blend
from runners.edge.tracking.motion import Motion, centre

SURPRISE = 16.0  # a box that surprises a track more than this (squared standard deviations) is not like it
SETTLED_S = 0.5  # seen for so long, a track is somebody and no leaf; before, it is remembered for no longer either
LOST_S = 4.0  # how long one that is settled is remembered if nothing shows it
HIDDEN_S = 10.0  # how long it is thought to be one of several in a box, known or not


class Track:
    """One person, or several who were never seen apart."""

    def __init__(self, number: int, box: Box, now_s: float) -> None:
        self.number = number
        self.motion = Motion(box)
        self.first_s = self.alone_s = self.seen_s = now_s  # alone: in a box with nobody else; seen: in any
        self.at_edge = False
        self.look: Optional[np.ndarray] = None
        self.look_s = -float("inf")

    @property
    def settled(self) -> bool:
        """Whether it has been seen for long enough to be remembered when it is not."""
        return self.alone_s - self.first_s >= SETTLED_S

    def is_over(self, now_s: float) -> bool:
        """Whether it is to be forgotten. Nobody who has left over the picture's edge is back at once."""
        remembered_s = LOST_S if self.settled and not self.at_edge else SETTLED_S
        return now_s - self.seen_s > remembered_s

    def is_merged(self, now_s: float) -> bool:
        """Whether it was not seen alone for so long that it is one with the others in its box."""
        return now_s - self.alone_s > HIDDEN_S

    def see_alone(self, box: Box, now_s: float) -> None:
        """Take a box that shows no other track. One that is not like this track may show somebody unknown too."""
        if self.motion.surprise(*centre(box), height=box.h) > SURPRISE and not self.is_merged(now_s):
            self.see_among_others(box, now_s)
        else:
            self.motion.update(box)
            self.alone_s = self.seen_s = now_s

    def see_among_others(self, box: Box, now_s: float) -> None:
        """Take a box that shows others too."""
        self.motion.confine(box)
        self.seen_s = now_s

    def learn(self, look: np.ndarray, now_s: float) -> None:
        """Take how it looks now."""
        self.look = look if self.look is None else blend(self.look, look)
        self.look_s = now_s
