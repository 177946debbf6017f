"""Tracks: a person keeps a number from box to box, through a crossing and behind a post.

Boxes come from background differencing, so two people who pass each other become one box and two boxes again (McKenna
et al. 2000 call it merge and split). A box that lies over the predicted places of several tracks shows all of them:
each keeps its number, its own motion goes on inside the box, and neither its looks nor its size are learnt from what
also shows others. When they part, the cheapest assignment by place and looks together says who is who; the longer it
took, the less the predicted place counts and the more the looks do. Must run on Python 3.6.
"""

from collections import Counter
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np

from runners.edge.loop.regions import FRAME_HEIGHT, FRAME_WIDTH, Box, overlap
from runners.edge.tracking import appearance
from runners.edge.tracking.assignment import Pair, assign
from runners.edge.tracking.motion import centre
from runners.edge.tracking.track import SURPRISE, Track

COVERED = 0.5  # part of a predicted box that must lie in a box for the track to be in it
EDGE = 6  # pixels: who was last seen so near to the picture's edge has left
LOOK_S = 0.25  # how long after one look at a track the next is learnt, at most one in a frame
FRAME = Box(0, 0, FRAME_WIDTH, FRAME_HEIGHT)


class Tracker:
    """Follows what moves in front of one camera. Memory is bounded by the number of boxes of the last seconds."""

    def __init__(self, picture: Box = FRAME, first: int = 0) -> None:
        """`picture` is the part of the frame that shows something: without the bars beside a 4:3 picture.

        `first` is the number of the first track, and `next` that of the one after all so far.
        """
        self._picture = picture
        self._tracks: List[Track] = []
        self.next = first
        self._now_s = 0.0  # goes with the caller's clock, but never back
        self._clock_s: Optional[float] = None

    def __call__(
        self, boxes: Sequence[Box], time_s: float, frame: Optional[np.ndarray] = None
    ) -> List[Tuple[int, ...]]:
        """The numbers of the tracks in each box of the next frame, in the order given: at least one for each.

        A number is given to one box only. `time_s` is when the frame was taken, by any clock; `frame` (H, W, 3; uint8
        BGR) is where people's looks are taken from, and without it the place alone decides.
        """
        step_s = 0.0 if self._clock_s is None else max(time_s - self._clock_s, 0.0)
        self._clock_s, self._now_s = time_s, self._now_s + step_s
        self._tracks = [track for track in self._tracks if not track.is_over(self._now_s)]
        for track in self._tracks:
            track.motion.predict(step_s)
        ordered = sorted(range(len(boxes)), key=lambda index: boxes[index])  # so that their order decides nothing
        inside = self._share([boxes[index] for index in ordered], step_s, frame)
        numbers: List[Tuple[int, ...]] = [()] * len(boxes)
        for index, tracks in zip(ordered, inside):
            numbers[index] = tuple(track.number for track in self._see(boxes[index], tracks))
        if frame is not None:
            self._learn(boxes, numbers, frame)
        return numbers

    def _share(self, boxes: List[Box], step_s: float, frame: Optional[np.ndarray]) -> List[List[Track]]:
        """The known tracks that each box shows."""
        inside: List[List[Track]] = [[] for _ in boxes]
        costs = self._costs(boxes)
        if frame is not None:
            self._add_looks(costs, boxes, step_s, frame)
        found = assign(costs, SURPRISE / 2 + appearance.LIMIT)
        for row, column in found.items():
            inside[column].append(self._tracks[row])
        for row, track in enumerate(self._tracks):
            if row not in found and boxes:
                place = track.motion.box
                parts = [covered(place, box) for box in boxes]
                column = parts.index(max(parts))
                # Whoever is not settled may be a piece of the one it vanishes in: an arm, a shadow.
                if parts[column] >= COVERED and (track.settled or not inside[column]):
                    inside[column].append(track)
        return inside

    def _costs(self, boxes: List[Box]) -> Dict[Pair, float]:
        """Minus the log-likelihood of each track and box that may belong together, up to a constant."""
        costs = {}
        for column, box in enumerate(boxes):
            x, y = centre(box)
            for row, track in enumerate(self._tracks):
                surprise = track.motion.surprise(x, y, box.h)
                if surprise <= SURPRISE:
                    costs[row, column] = surprise / 2
        return costs

    def _add_looks(self, costs: Dict[Pair, float], boxes: List[Box], step_s: float, frame: np.ndarray) -> None:
        """Make costs higher where somebody else's clothes are in the box, and lower where it is the same's."""
        choices, rivals = Counter(row for row, _ in costs), Counter(column for _, column in costs)
        just_before_s = self._now_s - 1.5 * step_s
        unclear = []  # looks are taken only where there is something to decide: they cost most
        for row, column in costs:
            track = self._tracks[row]
            lost = track.seen_s < just_before_s
            if track.look is not None and (lost or choices[row] > 1 or rivals[column] > 1):
                unclear.append((row, column, track.look))
        columns = sorted({column for _, column, _ in unclear})
        looks = dict(zip(columns, appearance.looks(frame, [boxes[column] for column in columns])))
        for row, column, known in unclear:
            costs[row, column] += appearance.unlikeness(known, looks[column])

    def _see(self, box: Box, tracks: List[Track]) -> List[Track]:
        """The tracks that a box is said to show, by number: of those who were in one for long only the first."""
        tracks = sorted(tracks, key=lambda track: track.number)
        tracks = [track for track in tracks if not track.is_merged(self._now_s)] or tracks[:1]
        if not tracks:
            tracks = [Track(self.next, box, self._now_s)]
            self._tracks += tracks
            self.next += 1
        elif len(tracks) == 1:
            tracks[0].see_alone(box, self._now_s)
        else:
            for track in tracks:
                track.see_among_others(box, self._now_s)
        for track in tracks:
            track.at_edge = covered(box, shrunk(self._picture, EDGE)) < 1
        return tracks

    def _learn(self, boxes: Sequence[Box], numbers: List[Tuple[int, ...]], frame: np.ndarray) -> None:
        """Learn the looks of the one that was looked at longest ago, of those to be seen alone."""
        tracks = [t for t in self._tracks if t.alone_s == self._now_s and self._now_s - t.look_s >= LOOK_S]
        if tracks:
            track = min(tracks, key=lambda track: (track.look_s, track.number))
            [look] = appearance.looks(frame, [boxes[numbers.index((track.number,))]])
            track.learn(look, self._now_s)


def covered(box: Box, other: Box) -> float:
    """The part of one box that lies in another."""
    return overlap(box, other) / float(box.area)


def shrunk(box: Box, margin: int) -> Box:
    """The box without `margin` pixels on each side."""
    return Box(box.x + margin, box.y + margin, box.w - 2 * margin, box.h - 2 * margin)
