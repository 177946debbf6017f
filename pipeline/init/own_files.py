"""The files of this repository, of which a project is made: out of a checkout, or out of the wheel built from one.

setup.py packs them into the wheel with this module before anything is installed: it needs the standard library only.
"""

import io
import os
import subprocess
import tarfile
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
ARCHIVE = Path(__file__).with_name("repository.tar.xz")  # in a wheel only
LEFT_BY_BUILDS = ("/build", "/dist", "/PKG-INFO", "/setup.cfg", ".git")


class OwnFile(NamedTuple):
    """One file: where it lies below the repository's folder, and what is in it."""

    name: str
    content: bytes
    executable: bool


def read() -> list[OwnFile]:
    """All of them, sorted by name: of the wheel that runs, else of the checkout.

    Raises:
        FileNotFoundError: the code that runs is neither.
    """
    if ARCHIVE.exists():
        return list(_unpacked(ARCHIVE))
    if not (ROOT / "dvc.yaml").exists():
        raise FileNotFoundError(ARCHIVE)
    return of_tree(ROOT)


def of_tree(root: Path) -> list[OwnFile]:
    """The files of a working tree that Git has; without Git, as in a downloaded archive, all but what it ignores."""
    names = _tracked(root) or _not_ignored(root)
    return [OwnFile(name, (root / name).read_bytes(), os.access(root / name, os.X_OK)) for name in sorted(names)]


def pack(root: Path, archive: Path) -> None:
    """Write the files of a working tree into one archive; the same files make the same archive."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, "w:xz") as out:
        for file in of_tree(root):
            member = tarfile.TarInfo(file.name)
            member.size, member.mode = len(file.content), 0o755 if file.executable else 0o644
            out.addfile(member, io.BytesIO(file.content))


def _unpacked(archive: Path) -> Iterator[OwnFile]:
    with tarfile.open(archive) as members:
        for member in members:
            content = members.extractfile(member)
            assert content is not None  # `pack` adds nothing but files
            yield OwnFile(member.name, content.read(), bool(member.mode & 0o100))


def _tracked(root: Path) -> list[str]:
    if not (root / ".git").exists():
        return []
    done = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True)
    return [name for name in done.stdout.split("\0") if (root / name).is_file()] if done.returncode == 0 else []


def _not_ignored(root: Path) -> Iterator[str]:
    for folder, below, names in os.walk(root):
        here = Path(folder).relative_to(root)
        patterns = [pattern for place in {Path(), here} for pattern in _ignored(root, place, here)]
        below[:] = [name for name in below if not _matches(name, patterns)]
        yield from ((here / name).as_posix() for name in names if not _matches(name, patterns))


def _ignored(root: Path, place: Path, here: Path) -> Iterable[str]:
    """The patterns of the .gitignore in `place` that count for names in `here`; with a slash, for its own only."""
    file = root / place / ".gitignore"
    lines = file.read_text().splitlines() if file.exists() else []
    if place == Path():
        lines += LEFT_BY_BUILDS
    return [line.strip("/") for line in lines if line and not (line.startswith("/") and place != here)]


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)
