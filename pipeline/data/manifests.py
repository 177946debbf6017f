"""Images as a table names them: a CSV with the columns file, class or class_index, and perhaps split and group."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from posixpath import normpath

from pipeline.data.dataset import SPLITS
from pipeline.data.folders import Entry, Found, check_names
from pipeline.data.splits import differing_classes, split_of
from pipeline.data.tables import read_table
from pipeline.system.errors import BadData, shown


def read_manifest(manifest: Path, folder: Path, column: str | None = "class") -> Found:
    """All files that a manifest names, below `folder` or `images/` in it, with what `column`, if any, says of each.

    Raises:
        InputError: the table is unreadable, lacks a column, a value or rows, names an unknown split, gives one file two
            classes, or has classes whose names hardly differ.
    """
    columns = ("file", column) if column else ("file",)
    rows = list(read_table(manifest, columns))
    if not rows:
        raise BadData(f"{manifest}: lists no files; it needs rows with the columns {' and '.join(columns)}")
    entries: list[Entry] = []
    notes: dict[str, None] = {}  # each once, in their order
    labels: dict[str, str] = {}
    parted_by = _split_column(rows[0], rows, columns)
    if parted_by != "split":
        notes[f"the column {shown(parted_by)} says the splits"] = None
    for line, row in enumerate(rows, start=2):
        file, label, split = row["file"], row[column] if column else "", row.get(parted_by) or ""
        if not file or "\0" in file:
            raise BadData(f"{manifest}: line {line}: {file!r} is not a path inside the manifest's folder")
        if column and not label:
            raise BadData(f"{manifest}: line {line} has no {column}")
        if "\\" in file and not image_folder(folder, file).joinpath(file).exists():
            file = file.replace("\\", "/")
            notes["backslashes in paths are read as slashes"] = None
        if labels.setdefault(normpath(file), label) != label:
            other = labels[normpath(file)]
            raise BadData(f"{manifest}: line {line}: {file!r} is {label!r} here and {other!r} in another line")
        name = split_of(split) if split else ""
        if name is None:
            raise BadData(f"{manifest}: line {line}: split {split!r} is none of {', '.join(SPLITS)}")
        if split and split.casefold() != name:
            notes[f"{shown(split)} is read as the {name} split"] = None
        entries.append(Entry(file, label, name, row.get("group") or ""))
    if again := len(entries) - len(set(entries)):
        notes[f"rows that name a file once more, which counts again ({again:,})"] = None
    try:
        place = image_folder(folder, entries[0].file)
    except OSError as error:
        raise BadData(f"{manifest}: line 2: {error.strerror}") from error
    if column == "class":
        check_names(labels.values(), manifest)
        notes.update(dict.fromkeys(differing_classes((entry.label, entry.split) for entry in entries)))
    return Found(place, entries, tuple(sorted(set(labels.values()))), list(notes))


def _split_column(names: Iterable[str], rows: Sequence[Mapping[str, str]], others: Collection[str]) -> str:
    """The column `split`, or if there is none, one that holds nothing but names of splits."""
    for name in () if "split" in names else names:
        values = {row[name] for row in rows} - {""}
        if values and name not in others and all(map(split_of, values)):
            return name
    return "split"


def image_folder(folder: Path, file: str) -> Path:
    """Where the images of a manifest in `folder` are, judged by its first `file`: in `folder` or in `images/` below."""
    below = folder / "images"
    return below if not (folder / file).exists() and (below / file).exists() else folder
