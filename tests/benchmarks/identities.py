"""Who is in the boxes of the default clip's test part, and how well numbers follow them.

`people.csv` says who each labelled track shows from which frame to which, one or several people. It was made by an AI
model that looked at the tracks' contact sheets and at every third whole frame, with the widths and heights of the boxes
in between: one annotator, one look, no human check. It knows ten walks of nine people by their clothes; who left
the picture and came back after seven seconds counts as two (`leather`, `leather-again`). All 608 labelled boxes have
their people, and nobody is in two boxes of a frame. Boxes that lay over one of the clip's earlier labels took their
people from there. Who carries something is by the labels: whoever visibly does in any certain region of the walk.
"""

import csv
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from pipeline.data.sheets import LABEL_HEADER
from runners.edge.loop.regions import Box, iou

PEOPLE = Path(__file__).with_name("people.csv")
LABELS = Path(__file__).resolve().parents[2] / "pipeline" / "data" / "labels" / "vtest.csv"
CARRIERS = {"padded", "red", "blue", "leather", "leather-again"}
UNSURE = {"boot"}  # far away, leaning into a car: the annotator of the labels could not tell


class Shown(NamedTuple):
    """A labelled box and who is in it."""

    box: Box
    people: tuple[str, ...]


class Following(NamedTuple):
    """How well numbers follow people: by times that one's number changes (Bernardin and Stiefelhagen 2008), and by
    IDF1, the share of boxes under the best one-to-one naming of people and numbers (Ristani et al. 2016)."""

    people: int
    numbers: int
    switches: int
    idf1: float


def label_rows() -> list[dict[str, str]]:
    with LABELS.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == LABEL_HEADER
    return [row for row in rows if row["source"] == "proposal"]


def box_of(row: dict[str, str]) -> Box:
    return Box(*(int(row[name]) for name in "xywh"))


def truth() -> dict[int, list[Shown]]:
    """The labelled boxes of each even frame of the test part, with their people."""
    with PEOPLE.open(newline="") as file:
        spans = [(*map(int, row[:3]), tuple(row[3].split())) for row in list(csv.reader(file))[1:]]
    shown: dict[int, list[Shown]] = {}
    for row in label_rows():
        frame, track = int(row["frame"]), int(row["track"])
        found = [people for name, first, last, people in spans if name == track and first <= frame <= last]
        assert len(found) <= 1
        if found:
            shown.setdefault(frame, []).append(Shown(box_of(row), found[0]))
    return shown


def matched(boxes: list[Box], labelled: list[Shown]) -> list[tuple[int, tuple[str, ...]]]:
    """The index of each box that lies over a labelled one, and who is in that."""
    best = [max(range(len(boxes)), key=lambda i: iou(boxes[i], shown.box), default=None) for shown in labelled]
    pairs = zip(best, labelled, strict=True)
    return [(i, shown.people) for i, shown in pairs if i is not None and iou(boxes[i], shown.box) >= 0.5]


def following(frames: list[list[tuple[tuple[int, ...], tuple[str, ...]]]]) -> Following:
    """How well the numbers of boxes follow the people in them, in the order of the frames."""
    both: Counter[tuple[str, int]] = Counter()
    of_people: Counter[str] = Counter()
    of_numbers: Counter[int] = Counter()
    last: dict[str, int] = {}
    switches = 0
    for numbers, people in (pair for frame in frames for pair in frame):
        of_people.update(people)
        of_numbers.update(numbers)
        both.update((person, number) for person in people for number in numbers)
        if len(people) == 1:
            before = last.get(people[0])
            last[people[0]] = before if before in numbers else numbers[0]  # type: ignore[assignment]
            switches += before is not None and before not in numbers
    table = np.array([[both[person, number] for number in of_numbers] for person in of_people])
    rows, columns = linear_sum_assignment(-table)
    idf1 = 2 * table[rows, columns].sum() / (of_people.total() + of_numbers.total())
    return Following(len(of_people), len(of_numbers), switches, float(idf1))
