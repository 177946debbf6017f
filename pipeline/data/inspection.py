"""What is wrong with a data set before anything is trained on it: leaks between splits, bad files, doubtful labels."""

import os
from collections import Counter, defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from tqdm import tqdm

from pipeline.data import doubtful, look_alikes
from pipeline.data.dataset import COLUMNS, SPLITS
from pipeline.data.folders import Entry
from pipeline.data.images import Image, read_image
from pipeline.data.importing import read_source
from pipeline.data.look_alikes import Joined, Pair, Print
from pipeline.data.splits import differing_classes, hold_out, parted
from pipeline.data.tables import write_table
from pipeline.system import files
from pipeline.system.errors import BadData, InputError, shown
from runners.edge.loop import regions


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Alike(_Strict):
    """Two files that show the same in two splits; `same_class` says whether their labels agree."""

    first: str
    second: str
    splits: tuple[str, str]
    same_class: bool
    alike: float  # correlation of the pictures, 1 for the same bytes


class Parted(_Strict):
    """A group that is in more than one split, with the number of its images in each."""

    group: str
    images: dict[str, int]


class Doubtful(_Strict):
    """A file whose most alike pictures hardly ever have its class but another, `share` (0 to 1) of them by weight."""

    file: str
    label: str
    rather: str
    share: float


class Unreadable(_Strict):
    """A file that is no usable image, and why."""

    file: str
    reason: str


class Findings(_Strict):
    """All that `inspect` found. `labels_unchecked` says why nobody looked at the labels, None where they were.

    Splits are '' where the source names none; then all that shows the same is found, since a split would part it.
    """

    counts: dict[str, dict[str, int]]
    unreadable: list[Unreadable]
    duplicates: list[Alike]
    look_alikes: list[Alike]
    parted_groups: list[Parted]
    lacking_classes: list[str]
    doubtful: list[Doubtful]
    labels_unchecked: str | None
    notes: list[str]

    @property
    def leaks(self) -> bool:
        """Whether the test would see what was trained on."""
        return bool(self.duplicates or self.look_alikes or self.parted_groups)


class Inspected(NamedTuple):
    """The files of a source that are images, below its folder, with their prints and hashes, and the findings."""

    folder: Path
    entries: list[Entry]
    prints: list[Print]
    hashes: list[str]
    findings: Findings


def inspect(source: Path, labels: bool = True) -> Inspected:
    """Look through a source of images as `edgeproof data import` takes it; at its `labels` too, if they are asked for.

    Raises:
        InputError: `source` is none, is not clear, or holds no images.
    """
    found = read_source(source)
    entries, prints, hashes, unreadable = [], [], [], []
    for entry in tqdm(found.entries, desc="reading images", unit="image", disable=None):
        try:
            image = read_image(found.folder / entry.file)
            hashes.append(files.sha256(found.folder / entry.file))
        except InputError as error:
            unreadable.append(Unreadable(file=entry.file, reason=shown(error)))
            continue
        entries.append(entry)
        prints.append(Print.of(image))
    if not entries:
        why = f"; {unreadable[0].reason}" if unreadable else ""
        raise BadData(f"{source}: holds no usable images{why}")
    same = _same_bytes(entries, hashes)
    near = [pair for pair in look_alikes.find(prints, _apart(entries)) if hashes[pair.first] != hashes[pair.second]]
    doubts, unchecked = _doubts(found.folder, entries) if labels else ([], "not asked for")
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for entry in entries:
        counts[entry.split][entry.label] += 1
    lacking = differing_classes((entry.label, entry.split) for entry in entries)
    findings = Findings(
        counts={split: dict(sorted(counts[split].items())) for split in ("", *SPLITS) if split in counts},
        unreadable=unreadable,
        duplicates=[_alike(pair, entries) for pair in same],
        look_alikes=[_alike(pair, entries) for pair in near],
        parted_groups=_parted(entries),
        lacking_classes=lacking,
        doubtful=doubts,
        labels_unchecked=unchecked,
        notes=[note for note in found.notes if note not in lacking],
    )
    return Inspected(found.folder, entries, prints, hashes, findings)


def write_mended(inspected: Inspected, source: Path, manifest: Path) -> dict[str, int]:
    """Write a manifest in which what shows the same or has one group is one group, and every group in one split.

    Returns the number of images of each split. Unreadable files are left out.

    Raises:
        InputError: there are too few groups to split.
    """
    entries = inspected.entries
    joined = Joined(len(entries))
    first_of: dict[tuple[str, str], int] = {}
    for index, (entry, sha256) in enumerate(zip(entries, inspected.hashes, strict=True)):
        joined.join(first_of.setdefault(("bytes", sha256), index), index)
        if entry.group:
            joined.join(first_of.setdefault(("group", entry.group), index), index)
    for pair in look_alikes.find(inspected.prints):
        joined.join(pair.first, pair.second)
    members = defaultdict(list)
    for index in range(len(entries)):
        members[joined.root(index)].append(index)
    groups = [""] * len(entries)
    for indices in members.values():
        known = sorted({entries[index].group for index in indices} - {""})
        name = " + ".join(known) or (f"like {entries[indices[0]].file}" if len(indices) > 1 else "")
        for index in indices:
            groups[index] = name
    splits = hold_out([entry.label for entry in entries], [None] * len(entries), source, groups)
    beside = manifest.resolve().parent
    rows = [
        (Path(os.path.relpath((inspected.folder / entry.file).resolve(), beside)).as_posix(), entry.label, split, group)
        for entry, split, group in zip(entries, splits, groups, strict=True)
    ]
    with files.replacing(manifest) as temporary:
        write_table(temporary, list(COLUMNS), rows)
    return {split: splits.count(split) for split in SPLITS}


def _small(path: Path) -> Image:
    return np.asarray(regions.fit(regions.squared(read_image(path)), doubtful.SIZE), np.uint8)


def _apart(entries: list[Entry]) -> NDArray[np.int64]:
    """A number (N,) for each split; what names none is apart from all."""
    numbers = {name: number for number, name in enumerate(SPLITS, start=-len(SPLITS))}
    return np.array([numbers.get(entry.split, index) for index, entry in enumerate(entries)], np.int64)  # type: ignore[call-overload]


def _same_bytes(entries: list[Entry], hashes: list[str]) -> list[Pair]:
    apart = _apart(entries)
    seen: dict[str, list[int]] = defaultdict(list)
    pairs = []
    for index, sha256 in enumerate(hashes):
        other = next((known for known in seen[sha256] if apart[known] != apart[index]), None)
        if other is not None:
            pairs.append(Pair(other, index, 1.0))
        seen[sha256].append(index)
    return pairs


def _alike(pair: Pair, entries: list[Entry]) -> Alike:
    first, second = entries[pair.first], entries[pair.second]
    return Alike(
        first=first.file,
        second=second.file,
        splits=(first.split, second.split),
        same_class=first.label == second.label,
        alike=round(pair.alike, 4),
    )


def _parted(entries: list[Entry]) -> list[Parted]:
    found = parted((entry.group, entry.split) for entry in entries)
    return [Parted(group=group, images=dict(images)) for group, images in sorted(found.items())]


def _doubts(folder: Path, entries: list[Entry]) -> tuple[list[Doubtful], str | None]:
    images = (_small(folder / entry.file) for entry in entries)
    try:
        features = doubtful.describe(images, len(entries))
    except InputError as error:
        return [], shown(error)
    labels = [entry.label for entry in entries]
    return [
        Doubtful(file=entries[one.number].file, label=labels[one.number], rather=one.rather, share=round(one.share, 4))
        for one in doubtful.find(features, labels)
    ], None
