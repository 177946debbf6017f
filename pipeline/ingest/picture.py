"""Pictures from devices, decoded in a process with limits and written anew.

Decoders of pictures have had holes, and a picture is the one thing of a capture that is not checked byte by byte. So it
is decoded where a crash, an endless loop or too much memory ends that process and no other.
"""

import resource
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import imagehash
import numpy as np
from PIL import Image as Pillow

from pipeline.data.images import Image
from pipeline.ingest.png import check_pixels
from pipeline.processes.apart import done_apart
from pipeline.system.errors import BadData, InputError
from runners.contract.capture_facts import MOST_SIDE

MEMORY = 4 << 30  # address space, most of which libraries only reserve
CPU_S, CPU_EACH_S = 30.0, 1.0
APART_BITS = 4  # of 64, in which the device's dHash may differ from ours: its pixels are scaled by another library
ADVICE = "it is left out"


class Sent(NamedTuple):
    """A picture as a device sent it, PNG without metadata, and the difference hash that it told of it."""

    png: bytes
    dhash: str


def decoded(pictures: Sequence[Sent]) -> list[bytes | str]:
    """Each as a PNG written anew, or why it is left out, to be read after its name."""
    if not pictures:
        return []
    with tempfile.TemporaryDirectory(prefix="edgeproof-") as folder:
        for number, picture in enumerate(pictures):
            (Path(folder) / f"{number}.png").write_bytes(picture.png)
        hashes = [picture.dhash for picture in pictures]
        limit = CPU_S + CPU_EACH_S * len(pictures)
        try:
            with done_apart(
                Path(f"{len(pictures)} captures"), decode, folder, hashes, cpu_limit_s=limit, advice=ADVICE
            ) as (made, reasons):
                return [reason or (made / f"{number}.png").read_bytes() for number, reason in enumerate(reasons)]
        except InputError as error:
            if len(pictures) == 1:
                return [f"cannot be decoded: {str(error).split(': ', 1)[-1]}"]
    half = len(pictures) // 2  # one of them is to blame
    return decoded(pictures[:half]) + decoded(pictures[half:])


def decode(made: Path, folder: str, hashes: Sequence[str]) -> list[str]:
    """In the other process: decode the pictures 0.png, 1.png ... of a folder into `made`; what is wrong with each."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    return [_decode(Path(folder) / f"{number}.png", made, told) for number, told in enumerate(hashes)]


def read(png: bytes) -> Image:
    """A PNG that was written here, as (H, W, 3) uint8 BGR."""
    return np.asarray(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR), np.uint8)


def dhash(image: Image) -> str:
    """ImageHash's difference hash of (H, W, 3) uint8 BGR as 16 hexadecimal digits."""
    return str(imagehash.dhash(Pillow.fromarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))))


def _decode(file: Path, made: Path, told: str) -> str:
    content = file.read_bytes()
    try:
        check_pixels(content)
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except BadData as error:
        return str(error)
    except cv2.error:
        image = None
    if image is None or image.dtype != np.uint8 or image.ndim != 3 or max(image.shape[:2]) > MOST_SIDE:
        return "is damaged: its pixels cannot be decoded"
    bits = (int(dhash(image), 16) ^ int(told, 16)).bit_count()
    if bits > APART_BITS:
        return f"shows something else than its facts say: the difference hashes are {bits} bits apart"
    ok, written = cv2.imencode(".png", image)
    if not ok:
        return "cannot be written anew"
    (made / file.name).write_bytes(written.tobytes())
    return ""
