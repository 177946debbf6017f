"""Region proposals on the default clip: how many of the labelled people they find, and what they cost.

Against two others: the same differencing at half the frame's size, as edgeproof had it before, and the straightforward
one at full size. The labels are what `Proposer` proposes, so its own share of them is no finding; those that the others
find, and what it finds of them, are.
"""

import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.data.clip import CLIP_NAME, read_frames
from runners.edge.loop.proposer import MIN_HEIGHT, MIN_WIDTH, Proposer
from runners.edge.loop.regions import Box, iou
from tests.benchmarks import identities

CLIP = Path(__file__).resolve().parents[2] / "data" / CLIP_NAME
FRAMES = 400  # of the clip's 795
Boxes = dict[int, list[Box]]


class Straightforward:
    """MOG2 on the frame halved `halvings` times; opened and closed, as differencing usually is."""

    def __init__(self, halvings: int) -> None:
        self.factor = 2**halvings
        self.background = cv2.createBackgroundSubtractorMOG2(history=300, varThreshold=25, detectShadows=True)
        self.open = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
        self.close = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (10 // self.factor | 1, 22 // self.factor | 1))

    def __call__(self, frame: np.ndarray) -> list[Box]:
        scale = 1 / self.factor
        small = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        mask = cv2.threshold(self.background.apply(small), 200, 255, cv2.THRESH_BINARY)[1]
        mask = cv2.morphologyEx(cv2.morphologyEx(mask, cv2.MORPH_OPEN, self.open), cv2.MORPH_CLOSE, self.close)
        boxes = []
        for x, y, w, h, area in cv2.connectedComponentsWithStats(mask, connectivity=8)[2][1:].tolist():
            if h * self.factor >= MIN_HEIGHT and w * self.factor >= MIN_WIDTH and area >= 0.2 * w * h:
                boxes.append(Box(x * self.factor, y * self.factor, w * self.factor, h * self.factor))
        return boxes


def covered(these: Boxes, by: Boxes) -> float:
    """The share of these boxes that one of the others of their frame lies over, by an IoU of 0.5."""
    found = [any(iou(box, other) >= 0.5 for other in by.get(n, [])) for n, boxes in these.items() for box in boxes]
    return sum(found) / len(found)


def test_proposals_find_whom_slower_ones_find_in_a_fraction_of_the_time(capsys: pytest.CaptureFixture[str]) -> None:
    if not CLIP.is_file():
        pytest.skip(f"{CLIP} is not there: run `edgeproof data fetch`")
    ways: dict[str, Callable[[np.ndarray], list[Box]]] = {
        "now": Proposer(),
        "half size": Straightforward(1),
        "full size": Straightforward(0),
    }
    spent, found = dict.fromkeys(ways, 0.0), {name: dict[int, list[Box]]() for name in ways}
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    for number, frame in zip(range(FRAMES), read_frames(CLIP), strict=False):
        for name, propose in ways.items():
            started = time.process_time()
            boxes = propose(frame)
            spent[name] += time.process_time() - started
            if number and number % 2 == 0:  # as labelled: even frames, and in the first everything is new
                found[name][number] = boxes
    cv2.setNumThreads(threads)
    labels = defaultdict(list)
    for row in identities.label_rows():
        if int(row["frame"]) < FRAMES:
            labels[int(row["frame"])].append(identities.box_of(row))
    recall = {name: covered(labels, boxes) for name, boxes in found.items()}
    precision = {name: covered(boxes, labels) for name, boxes in found.items()}
    with capsys.disabled():
        for name in ways:
            print(
                f"\n{name}: recall {recall[name]:.1%}, precision {precision[name]:.1%} by the labels; "
                f"finds {covered(found['half size'], found[name]):.1%} of what half size finds; "
                f"{spent[name] / spent['now']:.1f} times the time",
                end="",
            )
    assert recall["now"] >= max(recall["half size"], 0.99)
    assert precision["now"] >= max(precision["half size"], 0.99)
    assert covered(found["half size"], found["now"]) >= covered(found["half size"], found["full size"]) - 0.03
    assert spent["now"] < spent["half size"] / 3
    assert spent["now"] < spent["full size"] / 8
