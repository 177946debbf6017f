"""The child that reads with OpenCV: `-m …capture KIND ADDRESS paced|fast as-sent|WxH FD`.

It writes YUV4MPEG2 to FD, and says on standard error which size the source has.
"""

import sys
import time
from typing import List, Optional, Tuple

import cv2
import numpy as np

from runners.edge.camera import y4m
from runners.edge.durable import write_all


def main(arguments: List[str]) -> None:
    """Copy frames until there are no more."""
    kind, address, pace, wanted, fd = arguments
    size = None if wanted == "as-sent" else tuple(int(part) for part in wanted.split("x"))
    video = cv2.VideoCapture(address, cv2.CAP_V4L2 if kind == "device" else cv2.CAP_ANY)
    if not video.isOpened():
        sys.exit("error: OpenCV cannot open {}".format(address))
    if kind == "device" and size is not None:
        video.set(cv2.CAP_PROP_FRAME_WIDTH, size[0])
        video.set(cv2.CAP_PROP_FRAME_HEIGHT, size[1])
        size = None
    copy(video, size, 1.0 / (video.get(cv2.CAP_PROP_FPS) or 25.0) if pace == "paced" else 0.0, int(fd))


def copy(video: "cv2.VideoCapture", size: Optional[Tuple[int, ...]], period_s: float, fd: int) -> None:
    """Write each frame as it comes, or one every `period_s`."""
    shape, begun, count = None, time.monotonic(), 0
    while True:
        got, image = video.read()
        if not got:
            return
        if image.shape != shape:
            sys.stderr.write("size of the source: {}x{}\n".format(image.shape[1], image.shape[0]))
            sys.stderr.flush()
            if shape is not None:  # the reader is started anew with the new size
                return
            shape = image.shape
            width, height = size or (shape[1] // 2 * 2, shape[0] // 2 * 2)
            write_all(fd, y4m.header(width, height))
        image = cv2.resize(image, (width, height)) if size else image[:height, :width]
        frame = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_BGR2YUV_I420)
        count += 1
        time.sleep(max(0.0, begun + count * period_s - time.monotonic()))
        write_all(fd, y4m.MARKER)
        write_all(fd, frame.data)


if __name__ == "__main__":
    main(sys.argv[1:])
