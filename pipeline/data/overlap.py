"""Tracks for the labelling sheets: what moves, followed from frame to frame by the overlap of its boxes alone.

The labels of the default clip name tracks by these numbers, so they must come out the same for ever. A device follows
people with `runners/edge/tracking/tracker.py`, which is better at it and may become better still.
"""

from runners.edge.loop.regions import Box, iou


class OverlapTracker:
    """Greedy matching by intersection over union. A crossing gives new numbers, which somebody who labels can see."""

    def __init__(self, min_iou: float = 0.3, max_missed: int = 8) -> None:
        self.min_iou = min_iou
        self.max_missed = max_missed
        self._boxes: dict[int, Box] = {}
        self._missed: dict[int, int] = {}
        self._next = 0

    def __call__(self, boxes: list[Box]) -> list[int]:
        """The track number of each box of the next frame, in the order given; new numbers for new things."""
        pairs = sorted(
            ((iou(old, box), track, index) for track, old in self._boxes.items() for index, box in enumerate(boxes)),
            key=lambda pair: (-pair[0], pair[1], pair[2]),
        )
        numbers: dict[int, int] = {}
        taken: set[int] = set()
        for overlap, track, index in pairs:
            if overlap >= self.min_iou and track not in taken and index not in numbers:
                numbers[index] = track
                taken.add(track)
        for index in range(len(boxes)):
            if index not in numbers:
                numbers[index] = self._next
                self._next += 1
        for track in list(self._boxes):
            self._missed[track] = 0 if track in taken else self._missed[track] + 1
            if self._missed[track] > self.max_missed:
                del self._boxes[track], self._missed[track]
        for index, track in numbers.items():
            self._boxes[track] = boxes[index]
            self._missed[track] = 0
        return [numbers[index] for index in range(len(boxes))]
