"""What one job adds to DVC's cache, packed for the jobs after it.

One tar: a data set has thousands of files, and an artifact should not carry what its job was given itself.
"""

import tarfile
from pathlib import Path

from pipeline.system import files
from pipeline.system.errors import BadData, Missing

CACHE = Path(".dvc/cache")
HANDED_ON = Path(".dvc/tmp/handed_on")  # the artifacts of earlier jobs
GIVEN = Path(".dvc/tmp/given")  # the names that are in the cache when a job begins


def take_over() -> int:
    """Add what earlier jobs handed on to the cache, and note what is in it; the number of their archives.

    Raises:
        BadData: an archive is damaged, or wants to write outside the cache.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    archives = sorted(HANDED_ON.glob("**/*.tar"))
    for path in archives:
        _unpack(path)
    files.write_bytes(GIVEN, "".join(f"{name}\n" for name in _cached()).encode())
    return len(archives)


def hand_on(name: str) -> Path:
    """Pack what this job added to the cache as cache-NAME.tar; where it is.

    Raises:
        Missing: nobody noted what the job was given.
    """
    if not GIVEN.exists():
        raise Missing("nobody has noted what was in the cache: run `edgeproof ci take-over` when the job begins")
    given = set(GIVEN.read_text().splitlines())
    path = GIVEN.with_name(f"cache-{name}.tar")
    with files.replacing(path) as temporary, tarfile.open(temporary, "w") as archive:
        for added in _cached():
            if added not in given:
                archive.add(CACHE / added, added)
    return path


def _cached() -> list[str]:
    return sorted(path.relative_to(CACHE).as_posix() for path in CACHE.rglob("*") if path.is_file())


def _unpack(path: Path) -> None:
    try:
        with tarfile.open(path) as archive:
            # Keeps the mode: DVC trusts a file that nobody can write, and hashes any other one again.
            archive.extractall(CACHE, filter=_lacking)
    except (tarfile.TarError, EOFError) as error:
        raise BadData(f"{path}: cannot be taken over ({error})") from error


def _lacking(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo | None:
    """What is there already stays: two jobs may have made the same file, and nobody may write to what DVC keeps."""
    taken = tarfile.tar_filter(member, folder)
    return None if Path(folder, taken.name).is_file() else taken
