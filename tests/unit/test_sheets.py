"""Contact sheets and labels: on a synthetic clip of one rectangle that walks, and on the labels of vtest.avi."""

import csv
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import pytest

from pipeline.data import sheets
from pipeline.data.overlap import OverlapTracker
from pipeline.data.sheets import Label, Region, Segment
from pipeline.system.errors import InputError
from runners.edge.loop.regions import FRAME_HEIGHT, FRAME_WIDTH, Box, iou

LABELS = Path(sheets.__file__).parent / "labels"
FRAMES, WALKS_FROM = 80, 56
SOME = Box(300, 300, 40, 100)


def left(frame: int) -> int:
    """The rectangle's left edge in pixels of the clip, which the 1280x720 frame shows three times as large."""
    return 10 + 10 * (frame - WALKS_FROM)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of 4:3 in which a dark rectangle enters at the left in frame WALKS_FROM and walks to the right."""
    path = tmp_path_factory.mktemp("clip") / "walk.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (320, 240))
    for number in range(FRAMES):
        image = np.full((240, 320, 3), 200, np.uint8)
        if number >= WALKS_FROM:
            x = left(number)
            image[80:140, x : x + 24] = 20
        writer.write(image)
    writer.release()
    return path


@pytest.fixture(scope="module")
def walk(clip: Path) -> list[Region]:
    """The tracked regions of the rectangle, without what the first frame proposes before there is a background."""
    return [region for region in sheets.tracked_regions(clip) if region.frame >= WALKS_FROM]


def test_tracked_regions_follow_the_rectangle_as_one_track(walk: list[Region]) -> None:
    assert [region.frame for region in walk] == list(range(WALKS_FROM, FRAMES))
    assert len({region.track for region in walk}) == 1
    for frame, _, box in walk:
        assert iou(box, Box(160 + 3 * left(frame), 240, 72, 180)) > 0.6


def size(picture: Path) -> tuple[int, int]:
    """Height and width of a picture in pixels."""
    image = cv2.imread(str(picture))
    assert image is not None
    return image.shape[0], image.shape[1]


@pytest.mark.parametrize(("stride", "shown"), [(1, range(56, 80)), (5, [56, 61, 66, 71, 76, 79]), (99, [56, 79])])
def test_sheets_show_every_nth_region_and_the_last(
    clip: Path, walk: list[Region], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stride: int, shown: Iterable[int]
) -> None:
    monkeypatch.setattr(sheets, "tile", lambda frame, box, caption: caption)
    monkeypatch.setattr(sheets, "write_sheets", lambda tiles, out: tiles)
    captions = cast(list[str], sheets.make_sheets(clip, tmp_path / "sheets", stride))
    track = walk[0].track
    assert [c for c in captions if c.startswith(f"track {track} ")] == [f"track {track} frame {n}" for n in shown]


def test_sheets_are_pngs_of_whole_tiles(clip: Path, tmp_path: Path) -> None:
    count = sheets.make_sheets(clip, tmp_path / "new" / "folder", stride=1)
    files = sorted((tmp_path / "new" / "folder").glob("*.png"))
    assert len(files) == count == 1
    height, width = size(files[0])
    assert width == sheets.COLUMNS * sheets.TILE
    assert height % (sheets.TILE + sheets.CAPTION) == 0


def test_more_tiles_than_fit_make_more_sheets(tmp_path: Path) -> None:
    tiles = [np.zeros((6, 4, 3), np.uint8)] * (sheets.COLUMNS * sheets.ROWS + 1)
    assert sheets.write_sheets(tiles, tmp_path) == 2
    assert size(tmp_path / "sheet_001.png") == (6, 4 * sheets.COLUMNS)


def test_missing_clip_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not found"):
        next(sheets.tracked_regions(tmp_path / "none.avi"))


def test_a_file_that_is_no_video_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "text.avi").write_text("not a video")
    with pytest.raises(InputError, match="not a video"):
        next(sheets.tracked_regions(tmp_path / "text.avi"))


def test_truncated_clip_is_an_input_error(clip: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.avi"
    cut.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    with pytest.raises(InputError, match=f"truncated, .* of {FRAMES} frames"):
        sheets.make_sheets(cut, tmp_path / "sheets")


def test_still_boxes_stay_in_the_picture_and_away_from_what_moves(walk: list[Region]) -> None:
    still = sheets.still_boxes(walk, 50, margin=10, around=3)
    assert [region.track for region in still] == list(range(-1, -51, -1))
    for frame, _, box in still:
        assert sheets.PICTURE.x <= box.x <= sheets.PICTURE.x + sheets.PICTURE.w - box.w
        assert 0 <= box.y <= FRAME_HEIGHT - box.h
        near = [region.box for region in walk if abs(region.frame - frame) <= 3]
        assert not any(iou(box, sheets.grown(other, 10)) for other in near)
    assert still == sheets.still_boxes(walk, 50, margin=10, around=3)
    assert still != sheets.still_boxes(walk, 50, seed=8, margin=10, around=3)


def test_still_boxes_end_where_nothing_moves_or_no_room_is_left(walk: list[Region]) -> None:
    assert sheets.still_boxes([], 5) == []
    assert sheets.still_boxes(walk, 5, margin=1000) == []


def test_label_rows_join_regions_with_segments() -> None:
    moving = [Region(frame, track, SOME) for frame in range(6) for track in (0, 1)]
    still = [Region(3, -1, SOME), Region(3, -2, SOME)]
    segments = [
        Segment(0, 0, 2, "person", 1),
        Segment(0, 3, 9, "person_carrying", 0),
        Segment(-2, 3, 3, sheets.DROPPED, 1),
    ]
    assert sheets.label_rows(moving, still, segments) == [
        Label(0, 0, *SOME, "person", "proposal", 1),
        Label(2, 0, *SOME, "person", "proposal", 1),
        Label(4, 0, *SOME, "person_carrying", "proposal", 0),
        Label(3, -1, *SOME, "background", "still", 1),
    ]


def test_write_labels_writes_what_the_segments_say(clip: Path, walk: list[Region], tmp_path: Path) -> None:
    segments = tmp_path / "segments.csv"
    segments.write_text(f"track,first_frame,last_frame,class,certain,note\n{walk[0].track},60,69,person,1,walks\n")
    count = sheets.write_labels(clip, segments, tmp_path / "labels.csv", still=4)
    with (tmp_path / "labels.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == count == 9
    assert [(row["frame"], row["class"]) for row in rows[:5]] == [(str(n), "person") for n in range(60, 70, 2)]
    assert {(row["source"], row["class"]) for row in rows[5:]} == {("still", "background")}


@pytest.mark.parametrize("line", ["0,5,2,person,1,", "0,0,2,dog,1,", "0,0,2,person,maybe,", "0,0"])
def test_a_bad_segment_is_an_input_error(tmp_path: Path, line: str) -> None:
    path = tmp_path / "segments.csv"
    path.write_text(f"track,first_frame,last_frame,class,certain,note\n{line}\n")
    with pytest.raises(InputError, match=r"segments\.csv"):
        sheets.read_segments(path)


def test_missing_segments_are_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.csv"):
        sheets.read_segments(tmp_path / "none.csv")


def vtest_labels() -> list[Label]:
    """The rows of the labels that come with the product."""
    with (LABELS / "vtest.csv").open(newline="") as file:
        reader = csv.DictReader(file)
        assert tuple(reader.fieldnames or ()) == sheets.LABEL_HEADER
        return [
            Label(frame, track, x, y, w, h, row["class"], row["source"], int(row["certain"]))
            for row in reader
            for frame, track, x, y, w, h in [[int(row[name]) for name in sheets.LABEL_HEADER[:6]]]
        ]


def test_vtest_labels_are_valid() -> None:
    for row in vtest_labels():
        assert row.label in sheets.CLASSES
        assert row.source == ("still" if row.track < 0 else "proposal")
        assert row.certain in (0, 1)
        assert 0 <= row.frame < 795
        assert min(row.w, row.h) > 0
        assert 0 <= row.x <= FRAME_WIDTH - row.w
        assert 0 <= row.y <= FRAME_HEIGHT - row.h


def test_vtest_labels_have_no_duplicates_and_enough_of_each_class() -> None:
    rows = vtest_labels()
    assert len({(row.frame, row.track) for row in rows}) == len({row[:6] for row in rows}) == len(rows)
    assert Counter(row.source for row in rows)["proposal"] >= 1400
    assert all(count >= 300 for count in Counter(row.label for row in rows).values())


def test_vtest_labels_are_what_the_segments_say() -> None:
    rows = vtest_labels()
    segments = sheets.read_segments(LABELS / "segments.csv")
    moving = [Region(row.frame, row.track, Box(*row[2:6])) for row in rows if row.track >= 0]
    still = [Region(row.frame, row.track, Box(*row[2:6])) for row in rows if row.track < 0]
    assert sheets.label_rows(moving, still, segments) == rows


def test_a_lost_track_gets_a_new_number() -> None:
    track = OverlapTracker(max_missed=2)
    here = Box(100, 100, 50, 100)
    assert track([here]) == [0]
    assert track([]) == []
    assert track([here]) == [0]
    for _ in range(3):
        track([])
    assert track([here, Box(600, 100, 50, 100)]) == [1, 2]


def test_a_track_does_not_jump_to_what_barely_touches_it() -> None:
    track = OverlapTracker(min_iou=0.3)
    here, beside, far = Box(100, 100, 50, 100), Box(140, 100, 50, 100), Box(600, 100, 50, 100)
    assert 0 < iou(here, beside) < 0.3
    assert track([here]) == [0]
    assert track([beside]) == [1]
    assert track([far]) == [2]
    assert track([here]) == [0], "the first one was missed for two frames only"
