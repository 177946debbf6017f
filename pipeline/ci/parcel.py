"""What the job of a board is given: candidates, the test split, the clip, and the same candidates of the base commit.

One tar for all boards of a run. Its SHA-256 goes to their jobs by another way than itself, so they take no other one.
"""

import json
import os
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from pipeline.boards.board_file import Board
from pipeline.ci import run_record
from pipeline.data.dataset import open_dataset
from pipeline.project import layout
from pipeline.project.passing import passing
from pipeline.system import files
from pipeline.system.errors import BadData, Missing

FILE = layout.ARTIFACTS / "ci" / "candidates.tar"
BASE = Path("base")  # what is the base commit's, in the tar and in a board's job
CLIP = layout.DATA / "vtest.avi"
CACHE = Path(".dvc/cache")
# Of the newest measured commit of the base branch; its run keeps them with DVC's cache.
BASE_RECORD, BASE_LOCK = CACHE / "summary.json", CACHE / "dvc.lock"


def pack(boards: Iterable[Board]) -> tuple[str, str]:
    """Pack what these boards need into FILE; its SHA-256, and what base and head come to, in words.

    Raises:
        InputError: a file is missing, or nothing can be fetched.
    """
    targets = {board.target: board.profile for board in boards}.values()
    pairs = [(target, *pair) for target in targets for pair in passing(target)]
    candidates = sorted({(f"{model}/{method}", target.runtime.name) for target, model, method in pairs})
    names = [path for name, runtime in candidates for path in _exported(name, runtime)]
    names += [layout.result("emulated", model, method, target.name) for target, model, method in pairs]
    names += [layout.parent_logits(model, "test") for _, model, _ in pairs]
    dataset = open_dataset(layout.DATASET)
    names += [layout.DATASET / "samples.csv", *(layout.DATASET / one.file for one in dataset.split("test"))]
    with files.replacing(FILE) as temporary, tarfile.open(temporary, "w") as tar, tempfile.TemporaryDirectory() as room:
        for name in dict.fromkeys(names):
            _add(tar, name, name.as_posix())
        _add(tar, _clip(Path(room)), CLIP.as_posix())
        said = _add_base(tar, candidates)
    return files.sha256(FILE), said


def unpack(path: Path, sha256: str) -> int:
    """Lay out what a parcel holds, if it is the one of that SHA-256; how many files that were.

    Raises:
        BadData: it is another, damaged, or wants to write where it has nothing to do; then nothing is written.
    """
    if not re.fullmatch("[0-9a-f]{64}", sha256):
        raise BadData("no SHA-256 of a parcel: the job before this one gives it as its output `candidates`")
    if not path.is_file():
        raise Missing(f"{path}: no such parcel")
    if (found := files.sha256(path)) != sha256:
        raise BadData(f"{path}: has the SHA-256 {found}, and {sha256} was packed: nothing of it is used")
    try:
        with tarfile.open(path) as tar:
            members = tar.getmembers()
            for member in members:
                if not (member.isfile() and _belongs(member.name)):
                    raise BadData(f"{path}: holds {member.name!r}, which is none of a parcel's files")
            tar.extractall(filter="data")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise BadData(f"{path}: cannot be unpacked ({error})") from error
    return len(members)


def _belongs(name: str) -> bool:
    """Whether a name is one below `artifacts/` or `base/`, or the clip's."""
    parts = PurePosixPath(name).parts
    if name != "/".join(parts) or ".." in parts:
        return False
    return name == CLIP.as_posix() or (len(parts) > 1 and parts[0] in (layout.ARTIFACTS.name, BASE.name))


def _exported(candidate: str, runtime: str) -> list[Path]:
    """The files of a candidate that a runtime loads, and its download."""
    exported = layout.ARTIFACTS / "export" / candidate
    if not (exported / runtime).is_dir():
        raise Missing(f"{exported / runtime} not found: run `dvc repro`")
    return [*sorted((exported / runtime).iterdir()), exported / f"{runtime}.tar.xz"]


def _add(tar: tarfile.TarFile, path: Path, name: str) -> None:
    """Add a file's content alone: who owns it and when it was written is nobody's business."""
    entry = tarfile.TarInfo(name)
    try:
        with path.open("rb") as stream:
            entry.size = os.fstat(stream.fileno()).st_size
            tar.addfile(entry, stream)
    except OSError as error:
        raise Missing(f"{path}: cannot be read ({error.strerror}); run `dvc repro`") from error


def _clip(room: Path) -> Path:
    """The clip that speed is measured on; a project with photos of its own has none among its data."""
    from pipeline.data import fetch

    if not CLIP.exists():
        fetch.fetch_clip(room / CLIP.name)
        return room / CLIP.name
    return CLIP


def _add_base(tar: tarfile.TarFile, candidates: Sequence[tuple[str, str]]) -> str:
    """Add the device's programs and the candidates as of the base, as far as there are any."""
    if not (BASE_RECORD.exists() and BASE_LOCK.exists()):
        return "no base to compare with: no run of the base branch has left one"
    commit = run_record.read(BASE_RECORD.read_bytes()).commit
    if commit is None:
        return "no base to compare with: nobody knows of which commit it is"
    with tempfile.TemporaryDirectory(prefix="edgeproof-") as room:
        packed = Path(room) / "programs.tar"
        wanted = ["runners/__init__.py", "runners/contract", "runners/edge"]
        answer = subprocess.run(["git", "archive", "--output", packed, commit, *wanted], capture_output=True)
        if answer.returncode:  # the branch was written anew, say
            return f"no base to compare with: {commit[:10]} is no commit of this repository"
        with tarfile.open(packed) as programs:
            for member in programs:
                if member.isfile():
                    entry = tarfile.TarInfo(f"{BASE}/{member.name}")
                    entry.size = member.size
                    tar.addfile(entry, programs.extractfile(member))
    lock = yaml.safe_load(BASE_LOCK.read_text(encoding="utf-8"))["stages"]
    missing = []
    for name, runtime in candidates:
        exported = _kept(lock.get(f"export@{name.replace('/', '-')}"))
        found = {file: path for file, path in exported.items() if file.split("/")[0] in (runtime, f"{runtime}.tar.xz")}
        for file, path in found.items():
            _add(tar, path, (BASE / layout.ARTIFACTS / "export" / name / file).as_posix())
        if not found:
            missing.append(name)
    without = f"; it has no {', '.join(dict.fromkeys(missing))}" if missing else ""
    return f"base and head by turns: the base is {commit[:10]}{without}"


def _kept(stage: dict[str, Any] | None) -> dict[str, Path]:
    """Where DVC's cache has the files of a stage's one folder, by their names in it; nothing where it lacks one.

    https://doc.dvc.org/user-guide/project-structure/internal-files#structure-of-the-cache-directory
    """
    if stage is None:
        return {}
    listed = _object(stage["outs"][0]["md5"])
    if not listed.exists():
        return {}
    found = {str(one["relpath"]): _object(one["md5"]) for one in json.loads(listed.read_text(encoding="utf-8"))}
    return found if all(path.exists() for path in found.values()) else {}


def _object(md5: str) -> Path:
    return CACHE / "files" / "md5" / md5[:2] / md5[2:]
