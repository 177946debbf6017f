"""Debian packages without root: apt-get with lists, locks and downloads of its own; the machine's are not touched.

The machine's package sources, keys and proxies hold, so what comes is signed by who the machine trusts.
"""

import shutil
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.system import files, programs
from pipeline.system.errors import Missing

FETCH_S = 900  # on a full disk apt-get waits for ever
UNPACK_S = 120
TOOLS = ("apt-get", "dpkg-deb")


def missing_tools() -> list[str]:
    """Which of the programs that this needs are not on the PATH."""
    return [tool for tool in TOOLS if shutil.which(tool) is None]


def download(packages: Sequence[str], architecture: str, folder: Path) -> list[Path]:
    """The .deb files of `packages` and of all they depend on, for an architecture (amd64, arm64), inside `folder`.

    The architecture need not be the machine's, nor one that dpkg knows of.

    Raises:
        InputError: apt-get is missing, reaches no source, or refuses a signature or hash.
    """
    state, archives = folder / "state", folder / "cache" / "archives"
    for needed in (state, archives):
        needed.mkdir(parents=True)
    # With an empty status nothing counts as installed, so that all that is depended on comes, in the sources' version.
    (state / "status").touch()
    options = {
        "Dir::State": state,
        "Dir::State::lists": state / "lists",
        "Dir::State::status": state / "status",
        "Dir::State::extended_states": state / "extended_states",
        "Dir::Cache": folder / "cache",
        "Dir::Cache::archives": archives,
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "APT::Keep-Downloaded-Packages": "true",
        "Acquire::Languages": "none",
        "Acquire::GzipIndexes": "true",
    }
    apt_get = ["apt-get", "--quiet", *(part for name, value in options.items() for part in ("-o", f"{name}={value}"))]
    refusals = []
    try:
        programs.run([*apt_get, "--error-on=any", "update"], FETCH_S)
    except programs.Failed as error:
        refusals.append(str(error))  # matters only if the packages are in none of the other sources
    try:
        programs.run([*apt_get, "--yes", "--no-install-recommends", "--download-only", "install", *packages], FETCH_S)
    except programs.Failed as error:
        raise Missing(
            f"cannot get {', '.join(packages)} for {architecture} ({'; '.join([*refusals, str(error)])}): "
            f"check the network, and that the machine's package sources have {architecture} packages"
        ) from error
    return sorted(archives.glob("*.deb"))


def unpack(package: Path, folder: Path) -> None:
    """Unpack a .deb file into `folder`.

    Raises:
        InputError: it is damaged, or the disk is full.
    """
    try:
        programs.run(["dpkg-deb", "--extract", package, folder], UNPACK_S)
    except programs.Failed as error:
        raise Missing(f"cannot unpack {package.name} ({error})") from error


def extract(package: Path, members: Mapping[str, Path]) -> list[Path]:
    """Write single files of a .deb (`./usr/bin/x`: where to); the answer is which of the places were written.

    Raises:
        InputError: the package is damaged.
    """
    written: list[Path] = []
    with subprocess.Popen(
        ["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as unpacker:
        try:
            with tarfile.open(fileobj=unpacker.stdout, mode="r|") as archive:
                for member in archive:
                    place = members.get(member.name)
                    if place is None or not member.isfile() or (content := archive.extractfile(member)) is None:
                        continue
                    with files.replacing(place) as temporary, temporary.open("wb") as out:
                        shutil.copyfileobj(content, out)
                    written.append(place)
                    if set(written) == set(members.values()):
                        break  # the rest need not be decompressed
        except tarfile.TarError as error:
            raise Missing(f"{package.name} is damaged ({error})") from error
        finally:
            unpacker.kill()
    return written
