"""The golden network as a candidate with a test split of its own, and a clip of a few frames."""

from pathlib import Path

import cv2
import numpy as np

from pipeline.device import golden
from pipeline.device.subject import Subject
from pipeline.records.targets import Target

SPLIT = 12  # regions


def tiny_candidate(target: Target, room: Path) -> Subject:
    """An exported folder whose answers on its split are known to be right."""
    download = golden.download(target, room)
    regions = golden.regions()[-SPLIT:]
    parent = golden.answers(regions)
    return Subject(
        "golden", "fp32", "fp32", room / "golden", download, golden.WANTED, regions,
        labels=parent.argmax(1), groups=np.arange(SPLIT), parent=parent,
    )  # fmt: skip


def clip(file: Path, frames: int = 40) -> Path:
    """Something dark that walks through a bright room."""
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter_fourcc(*"MJPG"), 15, (320, 180))
    assert writer.isOpened()
    for number in range(frames):
        picture = np.full((180, 320, 3), 200, np.uint8)
        picture[60:140, 4 * number : 4 * number + 30] = 40
        writer.write(picture)
    writer.release()
    return file
