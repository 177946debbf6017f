"""ffmpeg, 3.4 or newer, decoding on the CPU: any file, V4L2 camera or network camera.

No timestamps are used anywhere: every decoded frame is passed on (`passthrough`). By default ffmpeg would repeat or
drop frames to keep to the rate that the timestamps tell, which many cameras get wrong, and when a clock jumps it would
repeat an hour of frames. Time limits are the watchdog's: `-stimeout` became `-timeout` in ffmpeg 5, and before that
`-timeout` made ffmpeg a server.

Luminance goes from 16 to 235, as `Frame.bgr` takes it. MJPEG and some cameras send 0 to 255, which ffmpeg converted
unasked up to version 7, and 9 does not. Colours by BT.709 are left: converting them takes as long as decoding
(docs/camera.md).
"""

import functools
import re
import shutil
import subprocess
from typing import List, Optional, Tuple

from runners.edge.camera.readers import Command, Size
from runners.edge.camera.source import DEVICE, FILE, STREAM, Source

SIZE = re.compile(rb"\bw:(\d+) h:(\d+) pixfmt:")  # libavfilter/buffersrc.c, logged before the first such frame
FPS_MODE = (59, 27)  # libavformat of ffmpeg 5.1, which renamed -vsync; ffmpeg 9 does not know the old name
PREFIX = ["ffmpeg", "-hide_banner", "-nostdin", "-nostats", "-loglevel", "verbose"]
LOW_DELAY = ["-fflags", "+genpts+discardcorrupt+nobuffer", "-flags", "low_delay"]


def suits(source: Source) -> bool:
    """Whether it is a good choice unasked."""
    return True


def missing(source: Source) -> str:
    """What this machine lacks to read it so."""
    if shutil.which("ffmpeg") is None:
        return "no ffmpeg here, which reads {}: apt-get install ffmpeg".format(source.shown)
    return ""


def command(source: Source, size: Optional[Size], every_frame: bool, fd: int) -> Command:
    """The program that writes the source's frames to `fd`."""
    scaled = None if source.kind == DEVICE else size
    arguments = [*PREFIX, *_input(source, size, every_frame), *output([], scaled, fd)]
    return Command(arguments, {})


def output(filters: List[str], size: Optional[Size], fd: int) -> List[str]:
    """The second half of a command: the first video stream, filtered, of a size where one is given, as raw frames."""
    scale = "scale=" + ("" if size is None else "{}:{}:".format(*size)) + "out_range=tv"
    sync = "-fps_mode" if _libavformat() >= FPS_MODE else "-vsync"
    raw = ["-pix_fmt", "yuv420p", "-f", "yuv4mpegpipe", "pipe:{}".format(fd)]
    return ["-map", "0:v:0", "-vf", ",".join([*filters, scale]), sync, "passthrough", *raw]


def stream(source: Source) -> List[str]:
    """How a network camera is opened: over TCP, since a lost UDP packet smears a picture."""
    return [*LOW_DELAY, "-rtsp_transport", "tcp", "-i", source.address]


def _input(source: Source, size: Optional[Size], every_frame: bool) -> List[str]:
    if source.kind == STREAM:
        return stream(source)
    if source.kind == FILE:  # played at its own speed, as a camera would send it
        return [*([] if every_frame else ["-re"]), "-i", "file:" + source.address]
    wanted = [] if size is None else ["-video_size", "{}x{}".format(*size)]
    return ["-f", "v4l2", *wanted, "-i", source.address]


@functools.lru_cache(maxsize=None)
def _libavformat_of(program: str) -> Tuple[int, int]:
    told = subprocess.run(
        [program, "-version"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=20
    )
    found = re.search(rb"libavformat\s+(\d+)\.\s*(\d+)", told.stdout)
    return (int(found.group(1)), int(found.group(2))) if found else FPS_MODE


def _libavformat() -> Tuple[int, int]:
    return _libavformat_of(shutil.which("ffmpeg") or "ffmpeg")
