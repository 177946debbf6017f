"""Images as people keep them in folders: one for each class, perhaps with splits above. Nothing is dropped unsaid."""

import os
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from pipeline.data.splits import are_parts, differing_classes, split_of
from pipeline.system.errors import BadData, shown, some

# Where data sets for detection and segmentation keep images, and what belongs to each: the same file names twice.
PICTURES = {"image", "images", "img", "imgs", "jpegimages", "photos"}
OF_PICTURES = {"annotation", "annotations", "depth", "gt", "imagesets", "label", "labels", "mask", "masks"}
OF_PICTURES |= {"segmentation", "segmentationclass", "segmentationobject"}
# What systems and programs leave in folders, besides names that start with a dot.
LEFT_BY_SYSTEMS = {"__macosx", "@eadir", "$recycle.bin", "system volume information", "thumbs.db", "desktop.ini"}


class Entry(NamedTuple):
    """A file by its path below the folder, with its class, its split and its group as they are given, or ''."""

    file: str
    label: str
    split: str
    group: str = ""


@dataclass(frozen=True)
class Found:
    """What a source holds. `names` are all its classes, sorted; `notes` what a person should know, a line each."""

    folder: Path
    entries: list[Entry]
    names: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)


def read_folders(source: Path) -> Found:
    """All files of a tree of class folders, sorted; train, val and test may stand above. Without folders: all files,
    with no class.

    Raises:
        InputError: it is no folder, cannot be read, or is not clear: folders beside splits that are none, splits
            without classes or below them, a table instead of classes, or classes whose names hardly differ.
    """
    if not source.is_dir():
        raise BadData(f"{source}: is neither a folder of class folders nor a manifest (.csv)")
    try:
        return _Tree(source).read()
    except OSError as error:
        raise BadData(f"{source}: cannot be read ({error.strerror or error})") from error


def check_names(names: Iterable[str], where: Path) -> None:
    """InputError if two classes differ by case or blanks only, as one that was written in two ways does."""
    seen: dict[str, str] = {}
    for name in sorted(set(names)):
        folded = "".join(unicodedata.normalize("NFKC", name).casefold().split())
        if folded in seen:
            other = seen[folded]
            raise BadData(f"{where}: the classes {other!r} and {name!r} differ by case or blanks only; rename one")
        seen[folded] = name


class _Tree:
    def __init__(self, source: Path) -> None:
        self.source = source
        self.entries: list[Entry] = []
        self.empty: list[str] = []
        self.left_out: dict[str, list[str]] = defaultdict(list)  # why, and the names
        self.deep: Counter[str] = Counter()  # files of folders inside class folders
        self.notes: list[str] = []

    def read(self) -> Found:
        folders, loose = self._look(self.source)
        if not folders:
            if table := next((path for path in loose if path.suffix.lower() == ".csv"), None):
                raise BadData(
                    f"{self.source}: has no class folders, but {shown(table.name)}: give {shown(table)} if that says "
                    "what each image shows, or else take it out"
                )
            return Found(self.source, [Entry(self._name(path), "", "") for path in loose], (), self._notes())
        splits = self._splits(folders)
        self._leave_out("beside the class folders", loose)
        if not splits and len(folders) == 1:
            self._refuse_a_wrapper(folders[0])
        if not splits:
            self._refuse_parts(folders)
        pairs = [(path, name) for name, path in splits.items()] or [(self.source, "")]
        names = {label for folder, split in pairs for label in self._read_classes(folder, split)}
        check_names(names, self.source)
        self._refuse_pairs(names)
        self.notes += differing_classes((entry.label, entry.split) for entry in self.entries)
        return Found(self.source, self.entries, tuple(sorted(names)), self._notes())

    def _splits(self, folders: list[Path]) -> dict[str, Path]:
        """The folders of splits by the splits' names, in the order of the folders; InputError if others are there."""
        splits: dict[str, Path] = {}
        others = []
        for path in folders:
            name = split_of(path.name)
            if name is None:
                others.append(path.name)
            elif name in splits:
                both = f"{shown(splits[name].name)} and {shown(path.name)}"
                raise BadData(f"{self.source}: {both} are both the {name} split; put them together")
            else:
                splits[name] = path
                if path.name.casefold() != name:
                    self.notes.append(f"{shown(path.name)} is read as the {name} split")
        if splits and others:
            named = some([path.name for path in splits.values()])
            raise BadData(
                f"{self.source}: {some(others)} lies beside the splits ({named}) and is none; take out what does not "
                "belong there, or list the files in a manifest (.csv)"
            )
        return splits

    def _read_classes(self, folder: Path, split: str) -> list[str]:
        classes, loose = self._look(folder) if split else (self._look(folder, count=False)[0], [])
        if not classes:
            holds = f"{len(loose):,} files" if loose else "nothing"
            raise BadData(
                f"{folder}: holds {holds} and no class folders; give every class a folder there, or take it out"
            )
        self._leave_out("beside the class folders", loose)
        for path in classes:
            found = self._below(path)
            if split_of(path.name) and not any(file.parent == path for file in found) and split:
                raise BadData(f"{path}: is named as a split, but stands where class folders do; put splits at the top")
            if not found:
                self.empty.append(self._name(path))
            self.entries += [Entry(self._name(file), path.name, split) for file in found]
        return [path.name for path in classes]

    def _refuse_a_wrapper(self, folder: Path) -> None:
        """InputError if the only folder is no class but has the classes or splits below it, as unpacked archives do."""
        folders, files = self._look(folder, count=False)
        while len(folders) == 1 and not files:
            folder = folders[0]
            folders, files = self._look(folder, count=False)
        if len(folders) > 1 and not files:
            raise BadData(f"{self.source}: holds nothing but {self._name(folder)}; give {folder}")

    def _refuse_parts(self, folders: list[Path]) -> None:
        """InputError if all folders are named as parts of a set (seg_train, fold1) and hold folders instead of files:
        the classes are below them."""
        if len(folders) < 2 or not are_parts([path.name for path in folders]):
            return
        if all(inside and not files for inside, files in (self._look(path, count=False) for path in folders)):
            raise BadData(
                f"{self.source}: {some([path.name for path in folders])} are named as parts of one set and hold "
                "folders, so they are no classes; name them train, val and test, or list the files in a manifest (.csv)"
            )

    def _refuse_pairs(self, names: set[str]) -> None:
        """InputError if the folders are those of images and of what belongs to each, instead of classes."""
        folded = {name.casefold() for name in names}
        if folded & PICTURES and folded & OF_PICTURES and folded <= PICTURES | OF_PICTURES:
            raise BadData(
                f"{self.source}: {some(sorted(names))} are no classes, but images and what belongs to each; give every "
                "class a folder, or list the images with their classes in a manifest (.csv)"
            )

    def _below(self, folder: Path) -> list[Path]:
        """All files of a class, in folders inside its folder too, sorted."""
        found: list[Path] = []
        waiting = [folder]
        while waiting:
            here = waiting.pop()
            folders, files = self._look(here)
            if here != folder and files:
                self.deep[self._name(here)] += len(files)
            for path in folders:
                if split_of(path.name):
                    raise BadData(f"{path}: is named as a split, but stands inside a class; put splits at the top")
                if path.is_symlink():
                    self.left_out["links to folders"].append(self._name(path))
                else:
                    waiting.append(path)
            found += files
        return sorted(found)

    def _look(self, folder: Path, count: bool = True) -> tuple[list[Path], list[Path]]:
        """The folders and the files in a folder, sorted, without what systems leave there and what is neither."""
        folders: list[Path] = []
        files: list[Path] = []
        for path in sorted(Path(entry) for entry in os.scandir(folder)):
            if path.name.startswith(".") or path.name.casefold() in LEFT_BY_SYSTEMS:
                why = "hidden folders" if path.is_dir() else "files that systems leave"
                name = self._name(path)
                if path.is_dir():
                    name += f" with {sum(len(names) for _, _, names in os.walk(path)):,} files"
            elif path.is_dir() and folder.resolve().is_relative_to(path.resolve()):
                why, name = "links that lead back", self._name(path)
            elif path.is_dir() or path.is_file():
                (folders if path.is_dir() else files).append(path)
                continue
            else:
                why, name = "links to nothing, devices and pipes", self._name(path)
            if count:
                self.left_out[why].append(name)
        return folders, files

    def _leave_out(self, why: str, paths: list[Path]) -> None:
        self.left_out[f"files {why}"] += map(self._name, paths)

    def _name(self, path: Path) -> str:
        return path.relative_to(self.source).as_posix()

    def _notes(self) -> list[str]:
        notes = [f"{why} left out ({len(names):,}): {some(names)}" for why, names in self.left_out.items() if names]
        if self.deep:
            places = some(sorted(self.deep))
            notes.append(
                f"files in folders inside a class's count as that class ({sum(self.deep.values()):,}): {places}"
            )
        if self.empty:
            notes.append(f"class folders without files ({len(self.empty):,}): {some(self.empty)}")
        return [*notes, *self.notes]
