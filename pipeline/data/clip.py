"""Reading a video clip frame by frame, as the device sees it."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from pipeline.system.errors import BadData
from runners.edge.loop.regions import to_frame

CLIP_NAME = "vtest.avi"  # the default clip, OpenCV's pedestrians


def read_frames(clip: Path) -> Iterator[npt.NDArray[np.uint8]]:
    """Every frame of a clip as (720, 1280, 3) uint8 BGR, with a progress bar.

    Raises:
        InputError: the clip is missing, is no video, or ends before the number of frames in its header.
    """
    if not clip.is_file():
        raise BadData(f"{clip} not found: run `edgeproof data fetch`")
    capture = cv2.VideoCapture(str(clip))
    try:
        expected = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
        if expected <= 0:
            raise BadData(f"{clip}: not a video that OpenCV can read; delete it and run `edgeproof data fetch`")
        for number in tqdm(range(expected), desc=clip.name, unit="frame", disable=None):
            ok, image = capture.read()
            if not ok:
                raise BadData(
                    f"{clip}: truncated, {number} of {expected} frames could be read; "
                    "delete it and run `edgeproof data fetch`"
                )
            yield to_frame(image)
    finally:
        capture.release()
