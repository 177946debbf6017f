"""From data/ to the data set that every later stage reads: labelled regions with their split.

`data/` is either the default clip with its labels (boxes in frames) or a user's own images with a manifest.
The data set is a folder of PNG regions at their own resolution and `samples.csv` (file, class, split).
"""

import csv
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from pipeline import files
from pipeline.clip import read_frames
from pipeline.config import Split
from pipeline.errors import InputError
from pipeline.fetch import CLIP_NAME
from runners.edge import regions

SplitName = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = get_args(SplitName)
MAX_IMAGE_BYTES = 64 << 20
HELD_OUT = {"val": 0.15, "test": 0.25}

Image = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Sample:
    """One labelled image: a file below the data set's folder, its class and its split."""

    file: str
    label: str
    split: SplitName


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

    def load(self, name: SplitName, size: int) -> tuple[Image, npt.NDArray[np.int64]]:
        """All regions of a split as (N, size, size, 3) uint8 RGB with their class indices (N,)."""
        samples = self.split(name)
        images = np.empty((len(samples), size, size, 3), np.uint8)
        for image, sample in zip(images, samples, strict=True):
            image[:] = regions.fit(read_image(self.folder / sample.file), size)
        return images, np.array([self.classes.index(sample.label) for sample in samples], np.int64)


def read_image(path: Path) -> Image:
    """Decode an image file as (H, W, 3) uint8 BGR.

    Raises:
        InputError: the file is missing, too large, or no image that OpenCV can decode whole.
    """
    try:
        size = path.stat().st_size
        if size > MAX_IMAGE_BYTES:
            raise InputError(f"{path}: {size >> 20} MiB is more than an image should have")
        image = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR) if size else None
    except (OSError, cv2.error) as error:
        raise InputError(f"{path}: cannot be read as an image ({type(error).__name__})") from error
    if image is None:
        raise InputError(f"{path}: not an image, or a damaged one")
    return cast(Image, image)


def import_data(source: Path, data: Path) -> tuple[list[Sample], list[Quarantined]]:
    """Copy a user's own images into the folder `data` with a manifest; files that are no images stay out.

    `source` is a manifest CSV (`file,class[,split]`; files beside it or in `images/` beside it), a folder with such a
    `manifest.csv`, or a folder of class folders, with or without `train/val/test` above them. Without a split, 15 %
    are held out for validation and 25 % for the test, by class and at random with a fixed seed. With `train` and
    `val` only, `val` becomes the test split.

    Raises:
        InputError: `source` is neither, or has fewer than two classes with usable images.
    """
    manifest = source / "manifest.csv" if (source / "manifest.csv").is_file() else source
    listed = _read_manifest(manifest) if manifest.is_file() else read_folders(source)
    good: list[tuple[Path, str, str]] = []
    quarantined = []
    for file, label, split in tqdm(listed, desc="checking images", unit="image", disable=None):
        try:
            read_image(file)
            good.append((file, label, split))
        except InputError as error:
            quarantined.append(Quarantined(str(file), str(error)))
    samples = _with_splits([(label, split) for _, label, split in good])
    _check_classes(samples)
    with files.replacing_folder(data) as folder:
        for sample, (file, _, _) in zip(samples, good, strict=True):
            target = folder / sample.file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target.with_suffix(file.suffix.lower()))
        stored = [
            Sample(str(Path(sample.file).with_suffix(file.suffix.lower())), sample.label, sample.split)
            for sample, (file, _, _) in zip(samples, good, strict=True)
        ]
        _write_table(folder / "manifest.csv", ["file", "class", "split"], _rows(stored))
        _write_table(folder / "quarantine.csv", ["file", "reason"], ((q.file, q.reason) for q in quarantined))
    return stored, quarantined


def build(data: Path, out: Path, split: Split) -> tuple[list[Sample], list[Quarantined]]:
    """Build the data set folder `out` from `data`.

    Raises:
        InputError: `data` holds neither the clip with labels nor a manifest, the clip is shorter than its labels,
            or a split has no samples.
    """
    with files.replacing_folder(out) as folder:
        (folder / "regions").mkdir()
        if (data / "manifest.csv").exists():
            samples, quarantined = _from_manifest(data, folder)
        elif (data / "labels.csv").exists():
            samples, quarantined = _from_clip(data / CLIP_NAME, data / "labels.csv", folder, split), []
        else:
            raise InputError(f"{data}/ holds no data: run `edgeproof data fetch` or `edgeproof data import DIR`")
        _check_classes(samples)
        for name in SPLITS:
            if not any(sample.split == name for sample in samples):
                raise InputError(f"{data}/: the {name} split has no usable images")
        _write_table(folder / "samples.csv", ["file", "class", "split"], _rows(samples))
        _write_table(folder / "quarantine.csv", ["file", "reason"], ((q.file, q.reason) for q in quarantined))
        counts = {name: dict(sorted(Counter(s.label for s in samples if s.split == name).items())) for name in SPLITS}
        files.write_json(folder / "summary.json", {**counts, "quarantined": len(quarantined)})
    return samples, quarantined


def open_dataset(folder: Path) -> Dataset:
    """Open a data set that `build` made.

    Raises:
        InputError: it is missing or its table is damaged.
    """
    rows = list(read_table(folder / "samples.csv", ("file", "class", "split")))
    samples = [Sample(row["file"], row["class"], _split_name(row["split"], folder)) for row in rows]
    return Dataset(folder, sorted({sample.label for sample in samples}), samples)


def _from_clip(clip: Path, labels: Path, folder: Path, split: Split) -> list[Sample]:
    wanted: dict[int, list[dict[str, str]]] = {}
    for row in read_table(labels, ("frame", "x", "y", "w", "h", "class")):
        if (
            row.get("certain", "1") == "1"
        ):  # a region whose class its annotator could not tell teaches and tests nothing
            wanted.setdefault(int(row["frame"]), []).append(row)
    samples = []
    number = -1
    for number, frame in enumerate(read_frames(clip)):
        name = _split_of_frame(number, split)
        for row in wanted.get(number, []) if name else []:
            box = regions.Box(*(int(row[key]) for key in "xywh"))
            file = f"regions/{number:05d}-{box.x}-{box.y}.png"
            _write_image(folder / file, regions.cut(frame, box))
            samples.append(Sample(file, row["class"], cast(SplitName, name)))
    if number < max(wanted, default=0):
        raise InputError(f"{clip} ends at frame {number}, but {labels} goes on to {max(wanted)}: not the labelled clip")
    return samples


def _from_manifest(data: Path, folder: Path) -> tuple[list[Sample], list[Quarantined]]:
    samples, quarantined = [], []
    rows = list(read_table(data / "manifest.csv", ("file", "class", "split")))
    for index, row in enumerate(tqdm(rows, desc="reading images", unit="image", disable=None)):
        try:
            region = _square(read_image(data / row["file"]))
        except InputError as error:
            quarantined.append(Quarantined(row["file"], str(error)))
            continue
        file = f"regions/{index:06d}.png"
        _write_image(folder / file, region)
        samples.append(Sample(file, row["class"], _split_name(row["split"], data)))
    return samples, quarantined


def _square(image: Image) -> Image:
    """A whole image as a region: squared by repeating its edge pixels, so that nothing is distorted."""
    height, width = image.shape[:2]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    padding = (top, side - height - top, left, side - width - left)
    return cast(Image, cv2.copyMakeBorder(image, *padding, cv2.BORDER_REPLICATE))


def _split_of_frame(number: int, split: Split) -> SplitName | None:
    ranges = {"train": split.train, "val": split.val, "test": split.test}
    return next((name for name in SPLITS if ranges[name][0] <= number <= ranges[name][1]), None)


def _read_manifest(path: Path) -> list[tuple[Path, str, str]]:
    rows = list(read_table(path, ("file", "class")))
    folder = image_folder(path.parent, rows[0]["file"]) if rows else path.parent
    return [(folder / row["file"], row["class"], row.get("split") or "") for row in rows]


def image_folder(folder: Path, file: str) -> Path:
    """Where the images of a manifest in `folder` are, judged by its first `file`: in `folder` or in `images/` below."""
    below = folder / "images"
    return below if not (folder / file).exists() and (below / file).exists() else folder


def read_folders(source: Path) -> list[tuple[Path, str, str]]:
    """All files of a tree of class folders as (file, class, split or ''), sorted; `train/val/test` may stand above.

    Raises:
        InputError: `source` is no folder.
    """
    if not source.is_dir():
        raise InputError(f"{source} is neither a folder of class folders nor a manifest CSV")
    folders = sorted(path for path in source.iterdir() if path.is_dir())
    split_folders = [path for path in folders if path.name in SPLITS]
    pairs = [(path, path.name) for path in split_folders] if split_folders else [(source, "")]
    return [
        (file, label.name, split)
        for folder, split in pairs
        for label in sorted(path for path in folder.iterdir() if path.is_dir())
        for file in sorted(label.rglob("*"))
        if file.is_file()
    ]


def _with_splits(labelled: list[tuple[str, str]]) -> list[Sample]:
    """Give every (class, split or '') its place and split; see `import_data` for the rule."""
    from sklearn.model_selection import train_test_split

    splits = [_split_name(split, Path("manifest")) if split else None for _, split in labelled]
    indices = np.arange(len(labelled))
    labels = np.array([label for label, _ in labelled])
    if "test" not in splits and "val" in splits:
        splits = ["test" if split == "val" else split for split in splits]
    for name, share in HELD_OUT.items():
        free = [i for i in indices if splits[i] in (None, "train")]
        if name not in splits and len(free) > len(set(labels)):
            counts = Counter(labels[free])
            stratify = labels[free] if min(counts.values()) > 1 else None
            _, held = train_test_split(free, test_size=share, random_state=0, stratify=stratify)
            for index in held:
                splits[index] = cast(SplitName, name)
    return [
        Sample(f"images/{label}/{index:06d}", label, split or "train")
        for index, ((label, _), split) in enumerate(zip(labelled, splits, strict=True))
    ]


def _check_classes(samples: Iterable[Sample]) -> None:
    classes = {sample.label for sample in samples}
    if len(classes) < 2:
        raise InputError(f"need usable images of at least two classes, found {', '.join(sorted(classes)) or 'none'}")
    for label in classes:
        if not label or label in (".", "..") or os.sep in label:
            raise InputError(f"class {label!r} cannot name a folder")


def _split_name(value: str, where: Path) -> SplitName:
    if value not in SPLITS:
        raise InputError(f"{where}: split {value!r} is none of {', '.join(SPLITS)}")
    return value


def _write_image(path: Path, image: Image) -> None:
    ok, encoded = cv2.imencode(".png", image)
    if not ok:
        raise InputError(f"{path}: OpenCV could not encode the region")
    path.write_bytes(encoded.tobytes())


def _rows(samples: Iterable[Sample]) -> Iterator[tuple[str, str, str]]:
    return ((sample.file, sample.label, sample.split) for sample in samples)


def _write_table(path: Path, header: list[str], rows: Iterable[tuple[str, ...]]) -> None:
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def read_table(path: Path, columns: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """The rows of a CSV file that has these `columns` (others too), as text.

    Raises:
        InputError: the file cannot be read, or lacks a column.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            missing = [column for column in columns if column not in (reader.fieldnames or [])]
            if missing:
                raise InputError(f"{path}: no column {', '.join(missing)}; it needs {', '.join(columns)}")
            for line, row in enumerate(reader, start=2):
                if any(row[column] is None for column in columns):
                    raise InputError(f"{path}: line {line} has too few columns")
                yield row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read ({type(error).__name__}: {error})") from error
