"""What a device sends: captures in an inbox, as the contract has them, made without any code of the house."""

import hashlib
import json
from pathlib import Path
from typing import Any

import cv2
import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

CLASSES = ("blue", "green", "red")
START_S = 1_790_000_000.0


def picture(label: str, seed: int, side: int = 40) -> NDArray[np.uint8]:
    """A region (side, side, 3) uint8 BGR that shows a class of `write_images`, another one for each seed."""
    draw = np.random.default_rng(1000 + seed)
    image = draw.integers(60, 190, (side, side, 3), np.uint8)
    top, left = draw.integers(0, side // 2, 2)
    image[top : top + side // 2, left : left + side // 2, CLASSES.index(label)] = 250
    return image


def png(image: NDArray[np.uint8]) -> bytes:
    ok, encoded = cv2.imencode(".png", image)
    assert ok
    return encoded.tobytes()


def dhash(image: NDArray[np.uint8]) -> str:
    return str(imagehash.dhash(Image.fromarray(image[:, :, ::-1])))


def facts(name: str, image: NDArray[np.uint8], content: bytes, **others: Any) -> dict[str, Any]:
    device, identity = name.split("/")
    found = {
        "id": identity, "device": device, "camera": "0", "group": f"b1-0-{identity}", "time_s": START_S,
        "reason": "unsure", "version": "v1.0.0", "answer": {"blue": 0.4, "green": 0.35, "red": 0.25},
        "width": image.shape[1], "height": image.shape[0], "sha256": hashlib.sha256(content).hexdigest(),
        "dhash": dhash(image),
    }  # fmt: skip
    return {**found, **others}


def send(inbox: Path, name: str, image: NDArray[np.uint8], content: bytes | None = None, **others: Any) -> None:
    """Put the capture DEVICE/ID into the inbox; `content` in place of its PNG, `others` in place of its facts."""
    content = png(image) if content is None else content
    file = inbox / "captures" / f"{name}.png"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    file.with_suffix(".json").write_text(json.dumps(facts(name, image, content, **others)))
