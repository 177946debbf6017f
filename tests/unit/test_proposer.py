"""Proposals: what moves in front of a fixed camera becomes a box, and nothing else does."""

import numpy as np
import pytest

from runners.edge.loop.proposer import Proposer
from runners.edge.loop.regions import FRAME_HEIGHT, FRAME_WIDTH, Box, iou

CLOTHES = np.random.default_rng(0).integers(0, 128, (FRAME_HEIGHT, FRAME_WIDTH, 3), np.uint8) + 120
ENTERS, SPEED = 20, 8  # number of the frame, pixels a frame


def figure(number: int, width: int, height: int) -> Box:
    """Where somebody is who walks to the right."""
    return Box(200 + SPEED * number, 300, width, height)


def frame_with(number: int, width: int, height: int) -> np.ndarray:
    """A grey road, and from frame ENTERS on somebody in patterned clothes on it."""
    frame = np.full((FRAME_HEIGHT, FRAME_WIDTH, 3), 90, np.uint8)
    if number >= ENTERS:
        x, y, w, h = figure(number, width, height)
        frame[y : y + h, x : x + w] = CLOTHES[:h, :w]
    return frame


@pytest.mark.parametrize(("width", "height"), [(61, 141), (33, 71)])
def test_what_moves_is_proposed(width: int, height: int) -> None:
    propose = Proposer()
    for number in range(40):
        found = propose(frame_with(number, width, height))
        if number < ENTERS:
            assert found == []
        else:
            assert max(iou(figure(number, width, height), box) for box in found) > 0.65
    assert propose(frame_with(40, width, height), limit=0) == []


@pytest.mark.parametrize(("width", "height"), [(10, 141), (61, 40)])
def test_what_is_too_small_to_be_somebody_is_not_proposed(width: int, height: int) -> None:
    propose = Proposer()
    for number in range(22):
        assert propose(frame_with(number, width, height)) == []


def test_boxes_come_largest_first_and_inside_the_frame() -> None:
    propose = Proposer()
    for number in range(ENTERS):
        propose(frame_with(number, 61, 141))
    frame = frame_with(ENTERS, 61, 141)
    frame[-200:, -100:] = CLOTHES[-200:, -100:]
    in_the_corner, walking = propose(frame)
    assert iou(in_the_corner, Box(FRAME_WIDTH - 100, FRAME_HEIGHT - 200, 100, 200)) > 0.9
    assert in_the_corner.x + in_the_corner.w == FRAME_WIDTH
    assert in_the_corner.y + in_the_corner.h == FRAME_HEIGHT
    assert iou(walking, figure(ENTERS, 61, 141)) > 0.65
