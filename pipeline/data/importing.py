"""A user's own images become the project's data/."""

import shutil
from collections import Counter
from pathlib import Path
from typing import cast

import numpy as np
from tqdm import tqdm

from pipeline.data.dataset import Quarantined, Sample, SplitName, check_classes, rows, split_name
from pipeline.data.folders import read_folders, read_manifest
from pipeline.data.images import read_image
from pipeline.data.tables import read_table, write_table
from pipeline.system import files
from pipeline.system.errors import InputError
from pipeline.system.written import Known, Output

COMMAND = "edgeproof data import"
MARK = "imported.json"  # a folder with it was made here, and its images become regions as the pipeline's do
HELD_OUT = {"val": 0.15, "test": 0.25}


def import_data(source: Path, data: Path) -> tuple[list[Sample], list[Quarantined]]:
    """Copy a user's own images into the folder `data` with a manifest; files that are no images stay out.

    What `data` holds is replaced only where it came from here or is the default data.

    `source` is a manifest CSV (`file,class[,split]`; files beside it or in `images/` beside it), a folder with such a
    `manifest.csv`, or a folder of class folders, with or without `train/val/test` above them. Without a split, 15 %
    are held out for validation and 25 % for the test, by class and at random with a fixed seed. With `train` and
    `val` only, `val` becomes the test split.

    Raises:
        InputError: `source` is neither, has fewer than two classes with usable images, or lies in `data` or around it;
            `data` holds what was not written here.
    """
    manifest = source / "manifest.csv" if (source / "manifest.csv").is_file() else source
    output = Output(data, COMMAND, (manifest,), _known, "move them to another folder, and import from there")
    with output.claimed():
        return _import(source, manifest, output)


def _known(data: Path) -> Known:
    """What earlier versions left in `data` without a record: an import, or the default data."""
    from pipeline.data import fetch

    try:
        listed = {row["file"] for row in read_table(data / "manifest.csv", ("file", "class", "split"))}
        list(read_table(data / "quarantine.csv", ("file", "reason")))
    except InputError:
        return fetch.default()
    names = {name for name in listed if name.startswith("images/")} | {"manifest.csv", "quarantine.csv", MARK}
    return dict.fromkeys(names)


def _import(source: Path, manifest: Path, output: Output) -> tuple[list[Sample], list[Quarantined]]:
    listed = read_manifest(manifest) if manifest.is_file() else read_folders(source)
    good: list[tuple[Path, str, str]] = []
    quarantined = []
    for file, label, split in tqdm(listed, desc="checking images", unit="image", disable=None):
        try:
            read_image(file)
            good.append((file, label, split))
        except InputError as error:
            quarantined.append(Quarantined(str(file), str(error)))
    samples = _with_splits([(label, split) for _, label, split in good])
    check_classes(samples)
    with output.replaced() as folder:
        for sample, (file, _, _) in zip(samples, good, strict=True):
            target = folder / sample.file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target.with_suffix(file.suffix.lower()))
        stored = [
            Sample(str(Path(sample.file).with_suffix(file.suffix.lower())), sample.label, sample.split)
            for sample, (file, _, _) in zip(samples, good, strict=True)
        ]
        write_table(folder / "manifest.csv", ["file", "class", "split"], rows(stored))
        files.write_json(folder / MARK, {"by": COMMAND, "framing": "square"})
        write_table(folder / "quarantine.csv", ["file", "reason"], ((q.file, q.reason) for q in quarantined))
    return stored, quarantined


def _with_splits(labelled: list[tuple[str, str]]) -> list[Sample]:
    """Give every (class, split or '') its place and split; see `import_data` for the rule."""
    from sklearn.model_selection import train_test_split

    splits = [split_name(split, Path("manifest")) if split else None for _, split in labelled]
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
