"""YUV4MPEG2, the stream in which ffmpeg, GStreamer and our own child hand over raw frames.

One line says the size; each frame has a marker before it, so that a stream out of step is noticed at the next frame.
The format: mjpegtools, yuv4mpeg(5).
"""

from typing import Tuple

import numpy as np

START, MARKER = b"YUV4MPEG2 ", b"FRAME\n"
LONGEST_LINE = 256
LONGEST_SIDE = 8192
_ALIGN = 64


def size(line: bytes) -> Tuple[int, int]:
    """Width and height in pixels of the frames that follow this first line.

    Raises:
        ValueError: it is no such line, or its frames are not 8-bit 4:2:0 of an even size.
    """
    if not line.startswith(START) or not line.endswith(b"\n"):
        raise ValueError("no YUV4MPEG2 stream, it begins with {!r}".format(line[:40]))
    fields = {field[:1]: field[1:].decode("ascii", "replace") for field in line.split()[1:]}
    try:
        width, height = int(fields[b"W"]), int(fields[b"H"])
    except (KeyError, ValueError) as error:
        raise ValueError("a YUV4MPEG2 stream without a size: {!r}".format(line[:80])) from error
    colours = fields.get(b"C", "420")
    if not colours.startswith("420") or colours.startswith("420p1"):
        raise ValueError("frames are {}, not 8-bit 4:2:0".format(colours))
    if not (0 < width <= LONGEST_SIDE and 0 < height <= LONGEST_SIDE) or width % 2 or height % 2:
        raise ValueError(
            "frames of {}x{}: both must be even, at most {}; ask for another size".format(width, height, LONGEST_SIDE)
        )
    return width, height


def header(width: int, height: int) -> bytes:
    """The first line of a stream."""
    return START + "W{} H{} F25:1 Ip A1:1 C420jpeg\n".format(width, height).encode("ascii")


class Buffer:
    """Room for one marker and frame: `raw` (bytes, what is read into) and `i420` (3/2 H, W; uint8) share memory."""

    def __init__(self, width: int, height: int) -> None:
        self.size = width, height
        length = width * height * 3 // 2
        memory = np.empty(length + 2 * _ALIGN, np.uint8)
        start = -memory.ctypes.data % _ALIGN + _ALIGN  # of the frame, for the sake of vector instructions
        self.raw = memory.data[start - len(MARKER) : start + length]
        self.i420 = memory[start : start + length].reshape(height * 3 // 2, width)

    @property
    def is_marked(self) -> bool:
        """Whether what was read begins as a frame does."""
        return bytes(self.raw[: len(MARKER)]) == MARKER
