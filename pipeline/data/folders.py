"""Images as people keep them: a folder for each class, or a manifest that names files."""

from pathlib import Path

from pipeline.data.dataset import SPLITS
from pipeline.data.tables import read_table
from pipeline.system.errors import BadData


def read_manifest(path: Path) -> list[tuple[Path, str, str]]:
    """All files that a manifest names as (file, class, split or ''); InputError if it lacks a column."""
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
        raise BadData(f"{source} is neither a folder of class folders nor a manifest CSV")
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
