"""The default data: OpenCV's pedestrian clip, fetched from the first place that has it and checked by its hash."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import requests
from tqdm import tqdm

from pipeline.data.clip import CLIP_NAME
from pipeline.system import cache, debian, files
from pipeline.system.errors import InputError, Missing

CLIP_SHA256 = "45cddc9490be69345cbdab64ca583be65987e864ca408038e648db99e10516cf"
LABELS = Path(__file__).parent / "labels" / "vtest.csv"
# Of labels that earlier versions wrote: what has one of them is nobody's work, and gives way to today's.
EARLIER_LABELS = ("418ebb5fd2b13b2cf0a9afffe7b9882bdaaee24324d8dca7dacf7d6b4a96d328",)
DEBIAN_PACKAGE = "opencv-doc"
MEMBER = "./usr/share/doc/opencv-doc/examples/data/vtest.avi"
URL = "https://raw.githubusercontent.com/opencv/opencv/4.10.0/samples/data/vtest.avi"


class Unavailable(InputError):
    """One source does not have the clip (the next may), or DVC refused."""


def fetch(data: Path) -> str:
    """Make the folder `data` hold what `data.dvc` names; the answer says where it came from.

    A configured DVC remote is asked first. Without one, the default clip comes from where it is public.

    Nothing that is there is ever deleted or written over but the default labels of an earlier version.

    Raises:
        InputError: no source could give the data, `data.dvc` names other data than the default, or a clip or labels of
            that name are there that are not the default's.
    """
    if data.exists() and not data.is_dir():
        raise InputError(f"{data}: is a file, but has to be a folder; move it away")
    if (data / "manifest.csv").exists():
        return "imported data, already there"
    try:
        _from_dvc_remote()
        return "the DVC remote"
    except Unavailable as reason:
        refusals = [f"DVC remote: {reason}"]
    clip, labels = data / CLIP_NAME, data / "labels.csv"
    for name, sha256 in default(data).items():
        if os.path.lexists(data / name) and not ((data / name).is_file() and files.sha256(data / name) == sha256):
            raise InputError(
                f"{data / name}: is not the default data's; move it away and run `edgeproof data fetch` again"
            )
    origin = "already there" if clip.exists() else fetch_clip(clip, refusals)
    if not labels.exists() or files.sha256(labels) in EARLIER_LABELS:
        files.write_bytes(labels, LABELS.read_bytes())
    track(data)
    return origin


def default(data: Path) -> dict[str, str]:
    """The files of the default data by name, with the SHA-256 of each; of an earlier version where `data` has it."""
    labels = data / "labels.csv"
    found = files.sha256(labels) if labels.is_file() else ""
    return {CLIP_NAME: CLIP_SHA256, labels.name: found if found in EARLIER_LABELS else files.sha256(LABELS)}


def track(data: Path, new: bool = False) -> None:
    """Put the folder into DVC's cache, where it lies in a DVC repository; only `new` data may change `data.dvc`.

    Raises:
        InputError: `data.dvc` names other data.
    """
    pointer = Path(f"{data}.dvc")
    if not Path(".dvc").is_dir():
        return
    before = None if new or not pointer.exists() else pointer.read_bytes()
    _dvc("add", str(data))
    if before is not None and pointer.read_bytes() != before:
        files.write_bytes(pointer, before)
        raise Missing(
            f"{pointer} names other data than the default clip with its labels: configure the DVC remote that holds "
            f"it, or run `dvc add {data}` to make this the project's data"
        )


def fetch_clip(clip: Path, refusals: Sequence[str] = ()) -> str:
    """Put the default clip there; where it came from. `refusals` say where it was looked for already.

    Raises:
        Missing: no source has it.
    """
    refused = list(refusals)
    sources: dict[str, Callable[[Path], Path]] = {
        f"Debian package {DEBIAN_PACKAGE}": _from_debian_package,
        "OpenCV's repository": _from_repository,
    }
    for name, source in sources.items():
        try:
            found = source(cache.folder("downloads"))
        except Unavailable as reason:
            refused.append(f"{name}: {reason}")
            continue
        if files.sha256(found) != CLIP_SHA256:
            found.unlink()
            refused.append(f"{name}: the file has the wrong SHA-256 and was thrown away")
            continue
        with files.replacing(clip) as temporary:
            shutil.copyfile(found, temporary)
        return name
    raise Missing(f"no source has {CLIP_NAME} (put it at {clip} yourself): {'; '.join(refused)}")


def _from_dvc_remote() -> None:
    from dvc.config import Config, ConfigError

    try:
        configured = Path("data.dvc").exists() and Config(".dvc")["remote"]
    except ConfigError as error:
        raise Unavailable(f"DVC's configuration cannot be read ({_last_line(str(error))})") from error
    if not configured:
        raise Unavailable("none is configured")
    _dvc("pull", "data.dvc")


def _from_debian_package(downloads: Path) -> Path:
    """`apt-get download` needs no root and continues where a broken download stopped."""
    if missing := debian.missing_tools():
        raise Unavailable(f"no {' and no '.join(missing)} here")
    answer = subprocess.run(["apt-get", "download", DEBIAN_PACKAGE], cwd=downloads, capture_output=True, text=True)
    packages = sorted(downloads.glob(f"{DEBIAN_PACKAGE}_*.deb"))
    if answer.returncode or not packages:
        raise Unavailable(f"apt-get download failed ({_last_line(answer.stderr)}); `apt-get update` may help")
    clip = downloads / CLIP_NAME
    try:
        found = debian.extract(packages[-1], {MEMBER: clip})
    except InputError as error:
        packages[-1].unlink()
        raise Unavailable(str(error)) from error
    if not found:
        raise Unavailable(f"{packages[-1].name} does not carry the clip")
    return clip


def _from_repository(downloads: Path) -> Path:
    """HTTP with a Range request, so that a broken download continues where it stopped."""
    clip, part = downloads / CLIP_NAME, downloads / f"{CLIP_NAME}.part"
    have = part.stat().st_size if part.exists() else 0
    try:
        answer = requests.get(URL, headers={"Range": f"bytes={have}-"} if have else {}, stream=True, timeout=30)
        answer.raise_for_status()
        with (
            part.open("ab" if answer.status_code == requests.codes.partial_content else "wb") as out,
            tqdm(desc=CLIP_NAME, unit="B", unit_scale=True, disable=None) as bar,
        ):
            for block in answer.iter_content(1 << 16):
                bar.update(out.write(block))
    except requests.RequestException as error:
        if error.response is not None and error.response.status_code == requests.codes.range_not_satisfiable:
            part.unlink(missing_ok=True)
        raise Unavailable(f"download failed ({type(error).__name__})") from error
    part.replace(clip)
    return clip


def _dvc(*arguments: str) -> str:
    """What `dvc ARGUMENTS` prints."""
    answer = subprocess.run([sys.executable, "-m", "dvc", *arguments], capture_output=True, text=True)
    if answer.returncode:
        raise Unavailable(f"dvc {arguments[0]} failed ({_last_line(answer.stderr).removeprefix('ERROR: ')})")
    return answer.stdout


def _last_line(text: str) -> str:
    return text.strip().splitlines()[-1] if text.strip() else "no message"
