"""Tracks: the same moving thing followed from frame to frame by the overlap of its boxes.

Runs on the device and behind the labelling sheets. Must run on Python 3.6.
"""

from typing import Dict, List, Set

from runners.edge.loop.regions import Box, iou


class Tracker:
    """Greedy matching by intersection over union: enough for a fixed camera and slow walkers."""

    def __init__(self, min_iou: float = 0.3, max_missed: int = 8) -> None:
        self.min_iou = min_iou
        self.max_missed = max_missed
        self._boxes: Dict[int, Box] = {}
        self._missed: Dict[int, int] = {}
        self._next = 0

    def __call__(self, boxes: List[Box]) -> List[int]:
        """The track number of each box of the next frame, in the order given; new numbers for new things."""
        pairs = sorted(
            ((iou(old, box), track, index) for track, old in self._boxes.items() for index, box in enumerate(boxes)),
            key=lambda pair: (-pair[0], pair[1], pair[2]),
        )
        numbers: Dict[int, int] = {}
        taken: Set[int] = set()
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
