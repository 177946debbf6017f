"""The data set that every later stage reads: labelled regions with their split.

It is a folder of PNG regions at their own resolution and `samples.csv` (file, class, split, group).
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from pipeline.data.images import Image, read_image
from pipeline.data.tables import read_table
from pipeline.system.errors import BadData
from runners.edge.loop import regions

SplitName = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = get_args(SplitName)
COLUMNS = ("file", "class", "split", "group")  # of manifests and of samples.csv
LONGEST_NAME = 255  # of a file or a folder, in bytes


@dataclass(frozen=True)
class Sample:
    """One labelled image: a file below the data set's folder, its class and its split.

    `group` names what it hangs together by with others (a person, a camera, a track), '' where nothing is known.
    """

    file: str
    label: str
    split: SplitName
    group: str = ""


@dataclass(frozen=True)
class Quarantined:
    """A file that is no usable image, and why."""

    file: str
    reason: str


@dataclass(frozen=True)
class Dataset:
    """A built data set, read lazily."""

    folder: Path
    classes: list[str]
    samples: list[Sample]

    def split(self, name: SplitName) -> list[Sample]:
        """The samples of one split, in the order of the table."""
        return [sample for sample in self.samples if sample.split == name]

    def labels(self, name: SplitName) -> npt.NDArray[np.int64]:
        """The class indices (N,) of one split."""
        return np.array([self.classes.index(sample.label) for sample in self.split(name)], np.int64)

    def groups(self, name: SplitName) -> npt.NDArray[np.int64]:
        """Numbers (N,) of what the samples of one split hang together by; see `numbered`."""
        return numbered([sample.group for sample in self.split(name)])

    def load(self, name: SplitName, size: int) -> tuple[Image, npt.NDArray[np.int64]]:
        """All regions of a split as (N, size, size, 3) uint8 RGB with their class indices (N,)."""
        samples = self.split(name)
        images = np.empty((len(samples), size, size, 3), np.uint8)
        for image, sample in zip(images, samples, strict=True):
            image[:] = regions.fit(read_image(self.folder / sample.file), size)
        return images, self.labels(name)


def open_dataset(folder: Path) -> Dataset:
    """Open a data set that `build` made.

    Raises:
        InputError: it is missing or its table is damaged.
    """
    rows = list(read_table(folder / "samples.csv", ("file", "class", "split")))
    samples = [
        Sample(row["file"], row["class"], split_name(row["split"], folder), row.get("group", "")) for row in rows
    ]
    return Dataset(folder, sorted({sample.label for sample in samples}), samples)


def check_classes(samples: Iterable[Sample]) -> None:
    """InputError unless there are two classes or more, each of which can name a folder."""
    classes = {sample.label for sample in samples}
    if len(classes) < 2:
        raise BadData(f"need usable images of at least two classes, found {', '.join(sorted(classes)) or 'none'}")
    for label in classes:
        if not label or label in (".", "..") or os.sep in label or len(os.fsencode(label)) > LONGEST_NAME:
            raise BadData(f"class {label!r} cannot name a folder")
        if not label.isprintable():
            raise BadData(f"class {label!r} has characters that cannot be printed; rename it")


def split_name(value: str, where: Path) -> SplitName:
    """The split that `value` names; InputError if it names none."""
    if value not in SPLITS:
        raise BadData(f"{where}: split {value!r} is none of {', '.join(SPLITS)}")
    return value


def numbered(groups: Sequence[str]) -> npt.NDArray[np.int64]:
    """A number (N,) for each name of a group; what has none ('') stands for itself."""
    numbers: dict[str | int, int] = {}
    return np.array([numbers.setdefault(name or index, len(numbers)) for index, name in enumerate(groups)], np.int64)


def rows(samples: Iterable[Sample]) -> Iterator[tuple[str, str, str, str]]:
    """The samples as rows of a table: `COLUMNS`."""
    return ((sample.file, sample.label, sample.split, sample.group) for sample in samples)
