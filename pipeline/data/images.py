"""Image files, read and written whole or not at all."""

import re
import stat
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import numpy.typing as npt

from pipeline import MOST_PIXELS
from pipeline.system import files
from pipeline.system.errors import BadData, InputError
from pipeline.system.unheard import unheard

MAX_IMAGE_BYTES = 64 << 20
# Images that OpenCV does not decode, by what files begin with; SVG and what cameras keep raw, by their names.
BEGINNINGS = {
    **{b"....ftyp" + brand: "HEIC" for brand in (b"heic", b"heix", b"heim", b"hevc", b"mif1", b"msf1")},
    **{b"....ftyp" + brand: "AVIF" for brand in (b"avif", b"avis")},
    **dict.fromkeys((b"\xff\x0a", b"....JXL "), "JPEG XL"),
    b"8BPS": "Photoshop",
}
SUFFIXES = {".svg": "SVG", **dict.fromkeys((".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raf", ".rw2"), "raw")}
SAVE_IT = "save it as PNG or JPEG"

Image = npt.NDArray[np.uint8]


def read_image(path: Path) -> Image:
    """Decode an image file as (H, W, 3) uint8 BGR.

    Raises:
        InputError: the file is missing, too large, or no image that OpenCV can decode whole.
    """
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):  # a pipe would be waited for
            raise BadData(f"{path}: is no image: it is no regular file")
        size = facts.st_size
        if size > MAX_IMAGE_BYTES:
            raise BadData(f"{path}: {size >> 20} MiB is more than an image should have")
        content = np.frombuffer(path.read_bytes(), np.uint8)
        with unheard():  # libpng tells whoever listens what is wrong with a damaged file
            image = cv2.imdecode(content, cv2.IMREAD_COLOR) if size else None
    except OSError as error:
        raise BadData(f"{path}: cannot be read ({error.strerror or error})") from error
    except cv2.error as error:
        if "MAX_IMAGE_PIXELS" in str(error):
            raise BadData(
                f"{path}: claims to have over {MOST_PIXELS / 1e6:.0f} million pixels; scale it down"
            ) from error
        raise BadData(f"{path}: cannot be read as an image") from error
    if image is None:
        kind = undecoded(path)
        raise BadData(f"{path}: {f'{kind}; {SAVE_IT}' if kind else 'not an image, or a damaged one'}")
    return cast(Image, image)


def undecoded(path: Path) -> str | None:
    """What to say of a file that is an image, but of a kind that OpenCV does not decode; None of any other.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        start = stream.read(16)
    found = (kind for begins, kind in BEGINNINGS.items() if re.match(begins, start, re.DOTALL))
    kind = next(found, SUFFIXES.get(path.suffix.lower()))
    return kind and f"{kind}, a kind of image that is not decoded here"


def looks_like_image(path: Path) -> bool:
    """Whether a file starts as images do that OpenCV can decode; one that is damaged further on may still look so."""
    try:
        files.check_name(path)
    except InputError:  # OpenCV 5.0 crashes on it, so the bytes are decoded instead
        try:
            read_image(path)
        except BadData:
            return False
        return True
    try:
        return bool(cv2.haveImageReader(str(path)))
    except cv2.error:
        return False


def write_png(path: Path, image: Image) -> None:
    """Write (H, W, 3) uint8 BGR without loss; InputError if OpenCV cannot encode it."""
    ok, encoded = cv2.imencode(".png", image)
    if not ok:
        raise BadData(f"{path}: OpenCV could not encode the region")
    path.write_bytes(encoded.tobytes())
