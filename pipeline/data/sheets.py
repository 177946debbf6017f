"""Contact sheets of a clip's moving regions, and the labels that a person gave them by looking at the sheets.

The way from a clip to `labels/vtest.csv`: `make_sheets` draws the tracked regions, somebody looks at them and
writes `labels/segments.csv` (which track shows what, from which frame to which), `label_rows` joins the two.
"""

import csv
import random
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.data.clip import read_frames
from pipeline.data.images import write_png
from pipeline.data.overlap import OverlapTracker
from pipeline.system.errors import BadData
from pipeline.system.written import Output
from runners.edge.loop.proposer import Proposer
from runners.edge.loop.regions import CONTEXT, Box, crop, iou

Image = npt.NDArray[np.uint8]

CLASSES = ("background", "person", "person_carrying")
DROPPED = "dropped"  # in segments.csv: a still box that shows somebody after all; gives no row

TILE, CAPTION, COLUMNS, ROWS = 190, 14, 8, 5  # a bag or a sheet of paper is still visible in a tile of 190 pixels
PICTURE = Box(160, 0, 960, 720)  # where a 4:3 clip lies in the frame; to its left and right is black


class Region(NamedTuple):
    """What is looked at: frame number (from 0), track number (negative: a still box) and box in the frame."""

    frame: int
    track: int
    box: Box


class Segment(NamedTuple):
    """One line of segments.csv: what a track shows from `first` to `last`, both included."""

    track: int
    first: int
    last: int
    label: str
    certain: int

    def covers(self, region: Region) -> bool:
        """Whether the region belongs to this segment."""
        return region.track == self.track and self.first <= region.frame <= self.last


class Label(NamedTuple):
    """One row of vtest.csv, without the header."""

    frame: int
    track: int
    x: int
    y: int
    w: int
    h: int
    label: str
    source: str
    certain: int


LABEL_HEADER = ("frame", "track", "x", "y", "w", "h", "class", "source", "certain")


def tracked_frames(clip: Path) -> Iterator[tuple[Image, list[Region]]]:
    """Every frame of a clip, (720, 1280, 3) uint8 BGR, with the regions that move in it. Raises InputError."""
    propose, track = Proposer(), OverlapTracker()
    for number, frame in enumerate(read_frames(clip)):
        boxes = propose(frame)
        yield frame, [Region(number, name, box) for name, box in zip(track(boxes), boxes, strict=True)]


def tracked_regions(clip: Path) -> Iterator[Region]:
    """Every moving region of a clip as (frame number, track, Box), in the order of the frames. Raises InputError."""
    for _, regions in tracked_frames(clip):
        yield from regions


def still_boxes(regions: list[Region], count: int, seed: int = 7, margin: int = 16, around: int = 12) -> list[Region]:
    """Up to `count` upright boxes where nothing moves: background that a background differencer would never propose.

    A box borrows its size from a random upright region, lies inside PICTURE and keeps `margin` pixels away from
    every region of the frames up to `around` before and after it. Tracks are -1, -2, ... People who stand still
    are not proposed either, so the boxes have to be looked at. The same seed gives the same boxes; there are fewer
    than `count` where there is no room, and none where nothing upright moves.
    """
    rng = random.Random(seed)
    moving = defaultdict(list)
    for region in regions:
        moving[region.frame].append(grown(region.box, margin))
    sizes = [(r.box.w, r.box.h) for r in regions if 1.5 * r.box.w < r.box.h < PICTURE.h // 2]
    found: list[Region] = []
    if not sizes:
        return found
    frames = range(min(moving), max(moving) + 1)
    for _ in range(100 * count):
        if len(found) == count:
            break
        frame, (w, h) = rng.choice(frames), rng.choice(sizes)
        x, y = rng.randint(PICTURE.x, PICTURE.x + PICTURE.w - w), rng.randint(PICTURE.y, PICTURE.y + PICTURE.h - h)
        box = Box(x, y, w, h)
        near = (other for n in range(frame - around, frame + around + 1) for other in moving.get(n, ()))
        if not any(iou(box, other) > 0 for other in near):
            found.append(Region(frame, -len(found) - 1, box))
    return found


def grown(box: Box, margin: int) -> Box:
    """The box with `margin` more pixels on each side."""
    return Box(box.x - margin, box.y - margin, box.w + 2 * margin, box.h + 2 * margin)


def make_sheets(clip: Path, out: Path, stride: int = 5) -> int:
    """Write sheets of a clip's tracks to `out`/sheet_000.png, ...; returns how many.

    A track shows every `stride`-th of its regions and its last, captioned with track and frame number.
    Raises InputError, also where `out` holds other things than such sheets.
    """
    with _output(out).claimed():
        tiles: dict[int, dict[int, Image]] = defaultdict(dict)  # by track, then by number of the region in its track
        for frame, regions in tracked_frames(clip):
            for region in regions:
                shown = tiles[region.track]
                number = max(shown, default=-1) + 1
                if number and (number - 1) % stride:
                    del shown[number - 1]  # was shown only in case it would be the last
                shown[number] = tile(frame, region.box, f"track {region.track} frame {region.frame}")
        return write_sheets([image for track in sorted(tiles) for image in tiles[track].values()], out)


def _output(out: Path) -> Output:
    return Output(out, "edgeproof data sheets")


def tile(frame: Image, box: Box, caption: str) -> Image:
    """The region around a box, (TILE + CAPTION, TILE, 3) uint8 BGR, above a caption.

    A yellow line under the region is as wide as the box: it tells whose region it is among people side by side.
    """
    image = cv2.copyMakeBorder(crop(frame, box, TILE)[..., ::-1], 0, CAPTION, 0, 0, cv2.BORDER_CONSTANT)
    half = round(TILE * box.w / (2 * CONTEXT * max(box.w, box.h)))
    cv2.line(image, (TILE // 2 - half, TILE), (TILE // 2 + half, TILE), (0, 255, 255), 2)
    cv2.putText(image, caption, (2, TILE + CAPTION - 3), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 1)
    return np.asarray(image, np.uint8)


def write_sheets(tiles: list[Image], out: Path) -> int:
    """Lay tiles of one size out as pages of COLUMNS x ROWS and write them as PNG; returns the number of pages.

    Raises InputError if `out` holds other things than such sheets.
    """
    pages = range(0, len(tiles), COLUMNS * ROWS)
    with _output(out).replaced() as folder:
        for number, start in enumerate(pages):
            page = tiles[start : start + COLUMNS * ROWS]
            page += [np.zeros_like(page[0])] * (-len(page) % COLUMNS)
            rows = [np.hstack(page[i : i + COLUMNS]) for i in range(0, len(page), COLUMNS)]
            write_png(folder / f"sheet_{number:03d}.png", np.vstack(rows))
    return len(pages)


def read_segments(path: Path) -> list[Segment]:
    """The segments of a segments.csv. Raises InputError if it is missing or a line of it is not a segment."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            segments = [
                Segment(int(r["track"]), int(r["first_frame"]), int(r["last_frame"]), r["class"], int(r["certain"]))
                for r in csv.DictReader(file)
            ]
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, TypeError, ValueError) as error:
        raise BadData(f"{path}: {error!r}") from error
    for segment in segments:
        if segment.label not in (*CLASSES, DROPPED) or segment.certain not in (0, 1) or segment.first > segment.last:
            raise BadData(f"{path}: not a segment: {segment}")
    return segments


def label_rows(regions: list[Region], still: list[Region], segments: list[Segment], step: int = 2) -> list[Label]:
    """The rows of vtest.csv: moving regions of every `step`-th frame that a segment covers, then still boxes.

    A still box is background unless its segment drops it, as the segments do where somebody stands in the box.
    """
    by_track = defaultdict(list)
    for segment in segments:
        by_track[segment.track].append(segment)
    rows = []
    for region in (*(r for r in regions if r.frame % step == 0), *still):
        source = "still" if region.track < 0 else "proposal"
        found = next((s for s in by_track[region.track] if s.covers(region)), None)
        label = found.label if found else "background" if region.track < 0 else DROPPED
        if label != DROPPED:
            rows.append(Label(region.frame, region.track, *region.box, label, source, found.certain if found else 1))
    return rows


def write_labels(clip: Path, segments: Path, out: Path, still: int = 360) -> int:
    """Label a clip's regions and `still` still boxes by its segments.csv; returns the rows. Raises InputError."""
    lines = read_segments(segments)
    regions = list(tracked_regions(clip))
    rows = label_rows(regions, still_boxes(regions, still), lines)
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(LABEL_HEADER)
        writer.writerows(rows)
    return len(rows)
