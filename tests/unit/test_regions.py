"""Regions: the code that the device and the training set share."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runners.edge.loop.regions import (
    FRAME_HEIGHT,
    FRAME_WIDTH,
    Box,
    Cropper,
    crop,
    cut,
    fit,
    iou,
    normalise,
    squared,
    to_frame,
)

FRAME = np.random.default_rng(0).integers(0, 255, (FRAME_HEIGHT, FRAME_WIDTH, 3), np.uint8)

boxes = st.builds(
    Box, st.integers(-50, FRAME_WIDTH - 1), st.integers(-50, FRAME_HEIGHT - 1), st.integers(1, 800), st.integers(1, 800)
)


@given(boxes)
def test_every_box_gives_a_square_region_of_the_right_size(box: Box) -> None:
    region = cut(FRAME, box)
    assert region.shape[0] == region.shape[1] >= 1.19 * max(box.w, box.h) - 1
    assert crop(FRAME, box, 64).shape == (64, 64, 3)
    assert np.array_equal(crop(FRAME, box, 64), fit(region, 64))


@given(st.builds(Box, st.integers(-900, 2200), st.integers(-900, 1600), st.integers(1, 800), st.integers(1, 800)))
def test_beyond_the_frame_its_edge_pixels_are_repeated(box: Box) -> None:
    region = cut(FRAME, box)
    side = region.shape[0]
    rows = np.arange(side) + box.y + box.h // 2 - side // 2
    columns = np.arange(side) + box.x + box.w // 2 - side // 2
    nearest = np.clip(rows, 0, FRAME_HEIGHT - 1)[:, None], np.clip(columns, 0, FRAME_WIDTH - 1)
    assert np.array_equal(region, FRAME[nearest])


@given(st.lists(boxes, max_size=6))
def test_a_batch_of_crops_is_the_same_in_every_bit_as_each_cropped_and_normalised(found: list[Box]) -> None:
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    cropper = Cropper(mean, std)
    planes = np.empty((3, 32, 32), np.float32)  # what an earlier region leaves in it is no part of the next
    for box in found:
        cropper(FRAME, box, planes)
        as_numbers = crop(FRAME, box, 32)[None].astype(np.float32)
        assert np.array_equal(planes, normalise(as_numbers, mean, std)[0])
        assert np.array_equal(planes, normalise(crop(FRAME, box, 32)[None], mean, std)[0])


def test_a_region_inside_the_frame_is_centred_on_its_box() -> None:
    frame = np.zeros_like(FRAME)
    frame[300:400, 600:650] = 255
    region = cut(frame, Box(600, 300, 50, 100))
    ys, xs = np.nonzero(region[..., 0])
    assert region.shape == (120, 120, 3)
    assert abs(ys.mean() - 59.5) <= 1
    assert abs(xs.mean() - 59.5) <= 1


def test_regions_are_rgb() -> None:
    frame = np.zeros_like(FRAME)
    frame[..., 2] = 200  # red in OpenCV's order
    assert crop(frame, Box(100, 100, 50, 50), 8)[0, 0].tolist() == [200, 0, 0]


@given(st.integers(1, 3000), st.integers(1, 3000))
def test_any_image_fits_into_the_frame_without_distortion(width: int, height: int) -> None:
    if max(width / height, height / width) > 100:
        return
    frame = to_frame(np.full((height, width, 3), 255, np.uint8))
    assert np.array_equal(
        to_frame(np.full((height, width, 3), 255, np.uint8), to_frame(np.zeros((height, width, 3), np.uint8))), frame
    )
    assert frame.shape == (FRAME_HEIGHT, FRAME_WIDTH, 3)
    ys, xs = np.nonzero(frame[..., 0])
    found = (np.ptp(xs) + 1) / (np.ptp(ys) + 1)
    assert found == pytest.approx(width / height, rel=0.2)


@given(st.integers(1, 60), st.integers(1, 60))
def test_an_image_is_squared_by_repeating_its_edges_and_nothing_of_it_is_lost(height: int, width: int) -> None:
    image = FRAME[:height, :width]
    side = max(height, width)
    above, before = (side - height) // 2, (side - width) // 2
    around = ((above, side - height - above), (before, side - width - before), (0, 0))
    assert np.array_equal(squared(image), np.pad(image, around, mode="edge"))


@given(boxes, boxes)
def test_overlap_is_symmetric_and_between_0_and_1(a: Box, b: Box) -> None:
    assert 0 <= iou(a, b) <= 1
    assert iou(a, b) == iou(b, a)
    assert iou(a, a) == 1


def test_normalise() -> None:
    images = np.array([0, 255], np.uint8).reshape(2, 1, 1, 1).repeat(3, 3)
    out = normalise(images, (0.5, 0.5, 0.5), (0.5, 0.25, 0.5))
    assert out.shape == (2, 3, 1, 1)
    assert out.dtype == np.float32
    assert out[:, :, 0, 0].tolist() == [[-1, -2, -1], [1, 2, 1]]


def test_the_device_s_code_needs_nothing_of_the_cloud_s() -> None:
    code = (
        "import sys, runners.edge.loop.proposer, runners.edge.tracking.tracker, runners.edge.tracking.decision, "
        "runners.edge.tracking.schedule, runners.edge.update.unpack, runners.edge.backends.build_engine, "
        "runners.contract.engine_recipe, runners.contract.model_input; "
        "print([m for m in sys.modules if m.split('.')[0] in ('pipeline','models')])"
    )
    repository = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=repository)
    assert done.stdout.strip() == "[]", done.stderr
