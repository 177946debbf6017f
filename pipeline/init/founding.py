"""A folder becomes a project: it gets this repository's files and, where there are some, its own images as data.

Nothing of the folder's own is changed. What is there and differs is named before anything is written, or kept; lines
are only added, and to .gitignore alone.
"""

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.data.importing import MARK, Imported, import_data
from pipeline.data.tables import read_table
from pipeline.init import own_files
from pipeline.init.own_files import OwnFile
from pipeline.init.own_params import for_targets, for_test_images, least_limit
from pipeline.project import layout
from pipeline.system import files, programs
from pipeline.system.errors import InputError, Missing, Refused, some

GIT_S = 60.0
DVC_S = 3600.0  # it copies and hashes all images
IGNORED, POINTER, LICENCE = ".gitignore", f"{layout.DATA}.dvc", "LICENSE"
LICENCE_BESIDE = "LICENSE.edgeproof"  # where the project has a licence of its own, that of these files goes here
MOST_NAMES = 8
BLOCK, MIB = 4096, 1 << 20  # bytes; file systems give files whole blocks


@dataclass
class Founded:
    """What was done: files written and files of the folder's own that stay in their place, by name.

    `limit_points` is what params.yaml lets a candidate lose, where the images are too few for this repository's limit.
    """

    written: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    same: int = 0
    imported: Imported | None = None
    limit_points: float | None = None


def found(folder: Path, photos: Path | None, targets: Sequence[str], keep: bool) -> Founded:
    """Make `folder` a project for these targets (none: those of this repository), with the images in `photos`.

    Done twice, it does nothing the second time. What was interrupted goes on where it was.

    Raises:
        InputError: the folder cannot be one, holds other files of these names and `keep` is off, or the images or
            targets are not usable. Nothing was written then.
    """
    _check(folder, photos)
    own = _adapted(folder, photos, targets)
    done = Founded()
    wanted: list[OwnFile] = []
    for file in own:
        state = _state(folder, file)
        if state == "other":
            done.kept.append(file.name)
            if file.name == LICENCE:
                wanted.append(file._replace(name=LICENCE_BESIDE))
        elif state == "same":
            done.same += 1
        else:
            wanted.append(file)
    if done.kept and not keep:
        raise Refused(
            f"{folder}: already holds {some(done.kept, MOST_NAMES)}, with other content; nothing was written. "
            "With --keep yours stay as they are, and the rest is written"
        )
    _check_room(folder, wanted)
    if photos is not None:
        done.imported = import_data(photos, folder / layout.DATA)
        fitted = [_for_data(folder, file) for file in wanted]
        if fitted != wanted:
            done.limit_points = least_limit(_test_images(folder))
        wanted = fitted
    for file in wanted:
        if _state(folder, file) in ("missing", "grows"):
            _write(folder / file.name, file)
            done.written.append(file.name)
    try:
        if not (folder / ".git").exists():
            programs.run(["git", "init", "--quiet", "--initial-branch", "main", "."], GIT_S, folder)
        if photos is not None:
            programs.run([sys.executable, "-m", "dvc", "add", "--quiet", str(layout.DATA)], DVC_S, folder)
    except programs.Failed as error:
        raise Missing(
            f"{folder}: all files are there, but Git or DVC refuses ({error}); mend that and run it again"
        ) from error
    return done


def _check(folder: Path, photos: Path | None) -> None:
    """InputError unless the folder is, or can become, the top of a Git repository that takes files."""
    if os.path.lexists(folder) and not folder.is_dir():
        raise InputError(f"{folder}: is no folder")
    files.check_name(folder)
    files.check_place(folder / IGNORED if folder.is_dir() else folder)
    programs.run(["git", "--version"], GIT_S)
    data = folder / layout.DATA
    if photos is None and data.is_dir() and any(data.iterdir()) and not (folder / POINTER).exists():
        raise Refused(f"{data}/ is there, where the project's data is to be; rename it, and give it as --data if it is")
    if (folder / ".git").exists() or not folder.exists() or not any(folder.iterdir()):
        return
    try:
        top = programs.run(["git", "-C", folder, "rev-parse", "--show-toplevel"], GIT_S).strip()
    except programs.Failed:  # no repository around it
        return
    raise InputError(
        f"{folder}: lies in the Git repository {top}, and GitHub runs workflows at the top of one only; "
        f"name {top} or a new folder"
    )


def _check_room(folder: Path, wanted: Sequence[OwnFile]) -> None:
    needed = sum(BLOCK * (1 + len(file.content) // BLOCK) for file in wanted)
    nearest = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.is_dir())
    if (free := shutil.disk_usage(nearest).free) < needed:
        raise InputError(f"{folder}: takes {needed / MIB:.1f} MiB, and {free / MIB:.1f} are free; nothing was written")


def _adapted(folder: Path, photos: Path | None, targets: Sequence[str]) -> list[OwnFile]:
    """The files as this project gets them."""
    try:
        own = {file.name: file for file in own_files.read()}
    except FileNotFoundError as error:
        raise Missing("this edgeproof was installed without its repository: install it from a wheel of it") from error
    if photos is not None or (folder / POINTER).exists():
        del own[POINTER]  # which images the project has is its own
    params = str(layout.PARAMS)
    if targets:
        own[params] = own[params]._replace(content=for_targets(own[params].content.decode(), targets).encode())
    own[params] = _for_data(folder, own[params])
    own[IGNORED] = own[IGNORED]._replace(content=_ignoring(folder, photos, own[IGNORED].content.decode()).encode())
    return list(own.values())


def _for_data(folder: Path, file: OwnFile) -> OwnFile:
    """The file as it should be for what the project's `data/` holds: the limit in params.yaml hangs on it."""
    if file.name != str(layout.PARAMS) or not (count := _test_images(folder)):
        return file
    return file._replace(content=for_test_images(file.content.decode(), count).encode())


def _test_images(folder: Path) -> int:
    """How many imported images are there to test with."""
    data = folder / layout.DATA
    if not (data / MARK).is_file():
        return 0
    return sum(row["split"] == "test" for row in read_table(data / "manifest.csv", ("split",)))


def _ignoring(folder: Path, photos: Path | None, ours: str) -> str:
    """The folder's own .gitignore with the lines of ours that it lacks, and with images that must not get into Git."""
    lines = ours.splitlines()
    if photos is not None and (place := photos.resolve()).is_relative_to(folder.resolve()) and place.is_dir():
        lines.append(f"/{place.relative_to(folder.resolve()).as_posix()}/")  # DVC has them, in data/
    try:
        own = (folder / IGNORED).read_text(encoding="utf-8")
    except FileNotFoundError:
        return "\n".join(lines) + "\n"
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{folder / IGNORED}: cannot be read as text") from error
    there = set(own.splitlines())
    lacking = [line for line in lines if line not in there]
    return own + "".join(f"{line}\n" for line in ([""] if own and not own.endswith("\n") else []) + lacking)


def _state(folder: Path, file: OwnFile) -> str:
    """Whether what lies at a file's place is missing, the same or other; a .gitignore only ever grows."""
    path = folder / file.name
    inside = [folder / parent for parent in Path(file.name).parents if parent != Path()]
    if any(parent.is_symlink() or (parent.exists() and not parent.is_dir()) for parent in inside):
        return "other"  # it would be written elsewhere, or cannot be
    if not os.path.lexists(path):
        return "missing"
    if path.is_symlink() or not path.is_file():
        return "other"
    if path.read_bytes() == file.content:
        return "same"
    return "grows" if file.name == IGNORED else "other"


def _write(path: Path, file: OwnFile) -> None:
    files.write_bytes(path, file.content)
    if file.executable:
        path.chmod(path.stat().st_mode | (path.stat().st_mode & 0o444) >> 2)  # whoever may read it may run it
