"""Folders that a user names: replaced only while they hold nothing but what this program wrote there.

A folder that somebody names may be one with things of theirs in it. So every folder written here holds a record of its
files with their hashes, and another run may replace it only if it finds these files and no others.
"""

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline.system import cache, files
from pipeline.system.errors import InputError, some

RECORD = "edgeproof.json"
ATTEMPTS = 5

Known = Mapping[str, str | None]
"""Files by their names in a folder, each with its SHA-256, or None where any content will do."""


@dataclass(frozen=True)
class Output:
    """A folder that the command `by` writes whole, and that lies neither in nor around any path of `apart_from`.

    `known` says what of a folder without a record the program wrote too; `advice` how to go on after a refusal.
    """

    path: Path
    by: str
    apart_from: tuple[Path, ...] = ()
    known: Callable[[Path], Known] = lambda folder: {}
    advice: str = "name a new folder"

    def check(self) -> None:
        """InputError unless the folder may be written: it is missing, empty or `by`'s own, and its place takes it."""
        try:
            self._check()
        except OSError as error:
            raise InputError(f"{self.path}: cannot be written ({error.strerror or error})") from error

    def _check(self) -> None:
        if fault := self._fault(self.path):
            raise InputError(f"{self.path} {fault}")
        place = self.path.resolve()
        for other in self.apart_from:
            there = other.resolve()
            if there.is_relative_to(place):
                raise InputError(f"{self.path} holds {other}, which is to be read; {self.advice}")
            if place.is_relative_to(there):
                raise InputError(f"{self.path} lies in {other}, which is to be read; name a folder elsewhere")
        if Path.cwd().is_relative_to(place):
            raise InputError(f"{self.path} is the folder that you are in, or around it; {self.advice}")
        if place.is_mount():
            raise InputError(f"{self.path} is where a file system is mounted; name a folder in it")
        files.check_place(self.path)

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """The folder for this process alone, checked before the work whose outcome is to go there.

        Raises:
            InputError: see `check`, or another process has claimed it.
        """
        from filelock import FileLock, Timeout

        name = hashlib.sha256(os.fsencode(self.path.resolve())).hexdigest()[:16]
        lock = FileLock(cache.folder("locks") / f"{name}.lock")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            raise InputError(f"{self.path}: another run is writing it; wait for that, or {self.advice}") from None
        try:
            self.check()
            yield
        finally:
            lock.release()

    @contextmanager
    def replaced(self) -> Iterator[Path]:
        """A temporary folder that takes the folder's place, with a record in it, when the block ends well.

        Raises:
            InputError: by now the folder holds what `by` did not write; it stays as it is.
        """
        self.check()
        place = self.path.resolve()
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            scratch = Path(tempfile.mkdtemp(dir=place.parent, prefix=f".{place.name[: files.SHORT]}."))
        except OSError as error:
            raise InputError(f"{self.path}: cannot be written ({error.strerror or error})") from error
        made, old = scratch / "new", scratch / "old"
        made.mkdir()
        try:
            yield made
            files.write_json(made / RECORD, {"by": self.by, "files": _hashes(made)})
            self._swap(made, place, old)
        finally:
            shutil.rmtree(made, ignore_errors=True)
            with suppress(OSError):  # the old one, if this was interrupted; never a folder with something in it
                if old.exists() and not place.exists():
                    old.rename(place)
                scratch.rmdir()

    def _swap(self, made: Path, place: Path, old: Path) -> None:
        """Put `made` at `place`. What is there is moved away before it is looked at: then nobody can add to it."""
        for _ in range(ATTEMPTS):
            with suppress(FileNotFoundError):
                place.rename(old)
                if fault := self._fault(old):
                    _put_back(old, place)
                    raise InputError(f"{self.path} {fault}")
            try:
                made.rename(place)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                    _put_back(old, place)
                    raise
            else:
                shutil.rmtree(old, ignore_errors=True)
                return
            shutil.rmtree(old, ignore_errors=True)  # another run's folder has come in its place
        raise InputError(f"{self.path}: other runs keep writing it; {self.advice}")

    def _fault(self, folder: Path) -> str | None:
        """Why `folder` must not be replaced."""
        if folder.is_symlink():
            return f"is a symbolic link; {self.advice}"
        if not folder.exists():
            return None
        if not folder.is_dir():
            return f"is a file; {self.advice}"
        known = _recorded(folder, self.by) or self.known(folder)
        if names := sorted(_foreign(folder, known)):
            return f"holds other files ({some(names)}); {self.advice}"
        return None


def _put_back(old: Path, place: Path) -> None:
    """InputError if something has come in its place, with where it is now."""
    try:
        if os.path.lexists(old):
            old.rename(place)
    except OSError as error:
        raise InputError(f"{place}: something came in its place; what was there is in {old}") from error


def _hashes(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): files.sha256(path) for path in folder.rglob("*") if path.is_file()}


def _recorded(folder: Path, by: str) -> Known:
    """The files that the record in a folder says `by` wrote, itself included; nothing without such a record."""
    path = folder / RECORD
    try:
        record = json.loads(path.read_bytes())
        if record["by"] != by:
            return {}
        return {**{str(name): str(value) for name, value in record["files"].items()}, RECORD: files.sha256(path)}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}


def _foreign(folder: Path, known: Known) -> Iterator[str]:
    """What is in a folder and not `known`, or other than known, by its name; a folder without known files as one."""
    folders = {parent.as_posix() for name in known for parent in Path(name).parents}
    for where, below, names in os.walk(folder, onerror=_raise):
        here = Path(where).relative_to(folder)
        for name in list(below):
            inside = (here / name).as_posix()
            if inside not in folders or (folder / inside).is_symlink():
                below.remove(name)
                yield f"{inside}/"
        for name in names:
            inside = (here / name).as_posix()
            path = folder / inside
            if inside not in known or not path.is_file():
                yield inside
            elif (expected := known[inside]) is not None and files.sha256(path) != expected:
                yield f"{inside} (changed)"


def _raise(error: OSError) -> None:
    raise error
