"""Which image files a source holds, in which order, and what it says about their classes."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pipeline.data.folders import Found, read_folders
from pipeline.data.manifests import read_manifest
from pipeline.data.splits import in_two_splits
from pipeline.data.tables import CALLED, INDICES, read_table
from pipeline.system.errors import BadData, shown


@dataclass(frozen=True)
class Listing:
    """Files below a folder, each with its class by name, or by index (as text), or neither.

    `names` are all the class names of the source, sorted; those of splits that were not chosen too, so that a class
    keeps its index in every split.
    """

    folder: Path
    files: list[str]
    description: str
    classes: list[str] | None = None
    names: tuple[str, ...] = ()
    indices: list[str] | None = None
    notes: tuple[str, ...] = ()


def list_images(source: Path, labelled: bool = True) -> Listing:
    """The images of a manifest CSV, a folder with a `manifest.csv`, a tree of class folders, or a plain folder.

    Unless they are to be `labelled`, a manifest needs no column of classes.

    Raises:
        InputError: `source` is none of them, or holds no files.
    """
    try:
        if source.is_file() and source.suffix.lower() == ".csv":
            return list_manifest(source, source.parent, labelled)
        if not source.is_dir():
            fault = "is neither a folder, a manifest (.csv) nor arrays (.npz)" if source.exists() else "does not exist"
            raise BadData(f"{source}: {fault}; give a folder of images, a manifest or an .npz file")
        if (source / "manifest.csv").is_file():
            return list_manifest(source / "manifest.csv", source, labelled)
    except OSError as error:
        raise BadData(f"{source}: cannot be read ({error.strerror or error})") from error
    found = read_folders(source)
    if not found.entries and not found.names:
        raise BadData(f"{source}: the folder is empty; put the images there")
    if not found.entries:
        raise BadData(f"{source}: its class folders hold no files; put the images of each class into its folder")
    return _listing(found, source, "class" if found.names else None)


def list_manifest(manifest: Path, folder: Path, labelled: bool = True) -> Listing:
    """The images that a CSV names, relative to `folder` or to `images/` below it; with classes if `labelled`.

    Raises:
        InputError: the CSV lacks columns or rows, names a file outside the folder, or an unknown split.
    """
    if not folder.is_dir():
        raise BadData(f"{folder}: is no folder, so the files of {manifest} cannot be below it; give their folder")
    columns = next((list(row) for row in read_table(manifest, ("file",))), None)
    column = _told(columns or ("class",)) if labelled else None
    if labelled and not column:
        raise BadData(f"{manifest}: no column class or class_index; it needs one of them and the column file")
    found = read_manifest(manifest, folder, column)
    for line, entry in enumerate(found.entries, start=2):
        _check_inside(entry.file, folder, f"{manifest}: line {line}")
    return _listing(found, manifest, column)


def _told(columns: Collection[str]) -> str | None:
    """Which of `class` and `class_index` the columns hold; of both by other names, names say more than numbers."""
    named = {"class", *CALLED["class"]} - set(INDICES)
    if "class_index" in columns or (not named.intersection(columns) and set(INDICES).intersection(columns)):
        return "class_index"
    return "class" if named.intersection(columns) else None


def _listing(found: Found, source: Path, column: str | None) -> Listing:
    """The entries of the split that a test should use: test, or else val, or else all."""
    splits = [entry.split for entry in found.entries]
    split = next((name for name in ("test", "val") if name in splits), None)
    chosen = [entry for entry in found.entries if split in (None, entry.split)]
    words = f" ({split or 'train'} split)" if any(splits) else ""
    notes = list(found.notes)
    if split:
        if without := splits.count(""):
            notes.append(f"rows that name no split left out ({without:,})")
        notes += in_two_splits(((found.folder / entry.file, entry.split) for entry in found.entries), split)
    labels = [entry.label for entry in chosen]
    return Listing(
        found.folder,
        [entry.file for entry in chosen],
        f"{shown(source)}{words}",
        classes=labels if column == "class" else None,
        names=found.names if column == "class" else (),
        indices=labels if column == "class_index" else None,
        notes=tuple(notes),
    )


def _check_inside(file: str, folder: Path, where: str) -> None:
    path = PurePosixPath(file)
    outside = path.is_absolute() and not path.is_relative_to(folder.absolute())
    if not file or "\0" in file or outside or ".." in path.parts:
        raise BadData(f"{where}: {file!r} is not a path inside the manifest's folder; move the file there")
