"""Which image files a source holds, in which order, and what it says about their classes."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pipeline.data.dataset import SPLITS
from pipeline.data.folders import image_folder, read_folders
from pipeline.data.tables import read_table
from pipeline.system.errors import BadData


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


def list_images(source: Path) -> Listing:
    """The images of a manifest CSV, a folder with a `manifest.csv`, a tree of class folders, or a plain folder.

    Raises:
        InputError: `source` is none of them, or holds no files.
    """
    try:
        if source.is_file() and source.suffix.lower() == ".csv":
            return list_manifest(source, source.parent)
        if not source.is_dir():
            fault = "is neither a folder, a manifest (.csv) nor arrays (.npz)" if source.exists() else "does not exist"
            raise BadData(f"{source}: {fault}; give a folder of images, a manifest or an .npz file")
        if (source / "manifest.csv").is_file():
            return list_manifest(source / "manifest.csv", source)
        entries = sorted(path for path in source.iterdir() if not path.name.startswith("."))
        if any(path.is_dir() for path in entries):
            return _list_tree(source)
    except OSError as error:
        raise BadData(f"{source}: cannot be read ({error.strerror or error})") from error
    if not entries:
        raise BadData(f"{source}: the folder is empty; put the images there")
    return Listing(source, [path.name for path in entries], str(source))


def list_manifest(manifest: Path, folder: Path) -> Listing:
    """The images that a CSV names, relative to `folder` or to `images/` below it.

    Raises:
        InputError: the CSV lacks columns or rows, names a file outside the folder, or an unknown split.
    """
    if not folder.is_dir():
        raise BadData(f"{folder}: is no folder, so the files of {manifest} cannot be below it; give their folder")
    rows = list(read_table(manifest, ("file",)))
    if not rows:
        raise BadData(f"{manifest}: lists no files; it needs rows with the columns file and class or class_index")
    by_index = "class_index" in rows[0]
    column = "class_index" if by_index else "class"
    if column not in rows[0]:
        raise BadData(f"{manifest}: no column class or class_index; it needs one of them and the column file")
    for line, row in enumerate(rows, start=2):
        _check_inside(row["file"], f"{manifest}: line {line}")
        if not row[column]:
            raise BadData(f"{manifest}: line {line} has no {column}")
    split, numbers = _choose_split([row.get("split") or "" for row in rows], manifest)
    try:
        folder = image_folder(folder, rows[0]["file"])
    except OSError as error:
        raise BadData(f"{manifest}: line 2: {error.strerror}") from error
    description = f"{manifest}{split}"
    files = [rows[number]["file"] for number in numbers]
    values = [rows[number][column] for number in numbers]
    if by_index:
        return Listing(folder, files, description, indices=values)
    names = tuple(sorted({row["class"] for row in rows}))
    return Listing(folder, files, description, classes=values, names=names)


def _list_tree(source: Path) -> Listing:
    listed = [
        (file.relative_to(source), label, split)
        for file, label, split in read_folders(source)
        if not any(part.startswith(".") for part in file.relative_to(source).parts)
    ]
    if not listed:
        raise BadData(f"{source}: its class folders hold no files; put the images of each class into its folder")
    split, numbers = _choose_split([split for _, _, split in listed], source)
    return Listing(
        source,
        [listed[number][0].as_posix() for number in numbers],
        f"{source}{split}",
        classes=[listed[number][1] for number in numbers],
        names=tuple(sorted({label for _, label, _ in listed})),
    )


def _choose_split(splits: list[str], where: Path) -> tuple[str, list[int]]:
    """The words for the split that a test should use, and which rows are in it."""
    if unknown := set(splits) - {*SPLITS, ""}:
        raise BadData(f"{where}: split {min(unknown)!r} is none of {', '.join(SPLITS)}")
    for name in ("test", "val"):
        if name in splits:
            return f" ({name} split)", [number for number, split in enumerate(splits) if split == name]
    return " (train split)" if "train" in splits else "", list(range(len(splits)))


def _check_inside(file: str, where: str) -> None:
    path = PurePosixPath(file)
    if not file or "\0" in file or path.is_absolute() or ".." in path.parts:
        raise BadData(f"{where}: {file!r} is not a path inside the manifest's folder; move the file there")
