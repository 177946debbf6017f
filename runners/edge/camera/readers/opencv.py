"""A Python child with OpenCV (capture.py), for files and V4L2 cameras where neither ffmpeg nor GStreamer is.

A child, since a thread that hangs inside OpenCV cannot be ended.
"""

import re
import sys
from typing import Optional

from runners.edge.camera.readers import Command, Size
from runners.edge.camera.source import FILE, STREAM, Source
from runners.edge.own_package import search_path

SIZE = re.compile(rb"size of the source: (\d+)x(\d+)")
PROGRAM = "runners.edge.camera.capture"


def suits(source: Source) -> bool:
    """Whether it is a good choice unasked."""
    return True


def missing(source: Source) -> str:
    """What this machine lacks to read it so."""
    if source.kind == STREAM:
        return "{}: the reader opencv is for files and /dev/videoN; apt-get install ffmpeg".format(source.shown)
    return ""


def command(source: Source, size: Optional[Size], every_frame: bool, fd: int) -> Command:
    """The program that writes the source's frames to `fd`."""
    pace = "paced" if source.kind == FILE and not every_frame else "fast"
    wanted = "as-sent" if size is None else "{}x{}".format(*size)
    arguments = [sys.executable, "-m", PROGRAM, source.kind, source.address, pace, wanted, str(fd)]
    return Command(arguments, {"PYTHONPATH": search_path()})
