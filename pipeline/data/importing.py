"""A user's own images become the project's data/."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from pipeline.data import captured
from pipeline.data.dataset import COLUMNS, Quarantined, Sample, check_classes, rows
from pipeline.data.folders import Entry, Found, read_folders
from pipeline.data.images import read_image
from pipeline.data.manifests import read_manifest
from pipeline.data.splits import hold_out, in_two_splits, parted_groups, split_of
from pipeline.data.tables import read_table, write_table
from pipeline.system import files
from pipeline.system.errors import BadData, InputError, shown
from pipeline.system.written import Known, Output

COMMAND = "edgeproof data import"
MARK = "imported.json"  # a folder with it was made here, and its images become regions as the pipeline's do


class Imported(NamedTuple):
    """What came in, which files are no images, and what a person should know of the source, a line each."""

    samples: list[Sample]
    quarantined: list[Quarantined]
    notes: list[str]


def import_data(source: Path, data: Path) -> Imported:
    """Copy a user's own images into the folder `data` with a manifest; files that are no images stay out.

    What `data` holds is replaced only where it came from here or is the default data.

    `source` is a manifest CSV (`file,class[,split][,group]`; files beside it or in `images/`), a folder with such a
    `manifest.csv`, or a folder of class folders, with or without `train/val/test` above them. Without a split, 15 %
    of each class are held out for validation and 25 % for the test, at random with a fixed seed. With `train` and
    `val` only, `val` becomes the test split. Images of one group are held out together; where the given splits part
    them, a note says so.

    Raises:
        InputError: `source` is neither or is not clear, has fewer than two classes with usable images or too few of
            them to split, or lies in `data` or around it; `data` holds what was not written here.
    """
    try:
        manifest = source / "manifest.csv" if (source / "manifest.csv").is_file() else source
    except OSError as error:
        raise BadData(f"{source}: cannot be read ({error.strerror or error})") from error
    output = Output(data, COMMAND, (manifest,), _known, "move them to another folder, and import from there")
    with output.claimed():
        return _import(source, output)


def read_source(source: Path) -> Found:
    """What a manifest, a folder with a `manifest.csv`, or a folder of class folders says of its images.

    Captured regions that an imported folder has beside them count with it.

    Raises:
        InputError: `source` is none of them, or is not clear.
    """
    try:
        manifest = source / "manifest.csv" if (source / "manifest.csv").is_file() else source
        found = read_manifest(manifest, manifest.parent) if manifest.is_file() else read_folders(source)
    except OSError as error:
        raise BadData(f"{source}: cannot be read ({error.strerror or error})") from error
    more = [
        Entry(f"{captured.FOLDER}/{one.file}", one.label, one.split, one.group)
        for one in (captured.read(source) if (source / MARK).is_file() else [])
    ]
    found = replace(found, entries=[*found.entries, *more])
    if found.entries and not found.names:
        raise BadData(f"{source}: holds {len(found.entries):,} files and no class folders; give every class a folder")
    return found


def _known(data: Path) -> Known:
    """What earlier versions left in `data` without a record: an import, or the default data."""
    from pipeline.data import fetch

    try:
        listed = {row["file"] for row in read_table(data / "manifest.csv", ("file", "class", "split"))}
        list(read_table(data / "quarantine.csv", ("file", "reason")))
    except InputError:
        return fetch.default(data)
    names = {name for name in listed if name.startswith("images/")} | {"manifest.csv", "quarantine.csv", MARK}
    return dict.fromkeys(names)


def _import(source: Path, output: Output) -> Imported:
    found = read_source(source)
    good = []
    quarantined = []
    for entry in tqdm(found.entries, desc="checking images", unit="image", disable=None):
        try:
            read_image(found.folder / entry.file)
            good.append(entry)
        except InputError as error:
            quarantined.append(Quarantined(shown(found.folder / entry.file), shown(error)))
    try:
        check_classes(Sample("", entry.label, "train") for entry in good)
    except BadData as error:
        why = f"; {len(quarantined):,} files cannot be used, such as {quarantined[0].reason}" if quarantined else ""
        raise BadData(f"{source}: {error}{why}") from error
    given = [split_of(entry.split) for entry in good]
    groups = [entry.group for entry in good]
    splits = hold_out([entry.label for entry in good], given, source, groups)
    notes = list(found.notes)
    if any(given) and (without := given.count(None)):
        notes.append(f"images that name no split count as train, of which a part may be held out ({without:,})")
    leaks = in_two_splits((found.folder / entry.file, split) for entry, split in zip(good, splits, strict=True))
    leaks += parted_groups(zip(groups, splits, strict=True))
    notes += [f"{leak}; `edgeproof data check` finds more and mends it" for leak in leaks]
    samples = []
    with output.replaced() as folder:
        for index, (entry, split) in enumerate(zip(good, splits, strict=True)):
            file = found.folder / entry.file
            sample = Sample(f"images/{entry.label}/{index:06d}{_suffix(file)}", entry.label, split, entry.group)
            (folder / sample.file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, folder / sample.file)
            samples.append(sample)
        write_table(folder / "manifest.csv", list(COLUMNS), rows(samples))
        files.write_json(folder / MARK, {"by": COMMAND, "framing": "square"})
        write_table(folder / "quarantine.csv", ["file", "reason"], ((q.file, q.reason) for q in quarantined))
    return Imported(samples, quarantined, notes)


def _suffix(file: Path) -> str:
    """A file's suffix in lower case, or none where it is no word: an image is known by its bytes."""
    suffix = file.suffix.lower()
    return suffix if suffix[1:].isascii() and suffix[1:].isalnum() else ""
