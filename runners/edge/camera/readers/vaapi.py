"""ffmpeg with an Intel GPU that decodes and scales (VA-API), by the driver i965.

Not by the driver iHD: on an Atom, reading one 1080p frame back from it takes 80 to 100 ms (intel/media-driver#1824), by
i965 a tenth. Scaled on the GPU, only the smaller frame is read back.
"""

import glob
import os
from typing import Optional

from runners.edge.camera.readers import Command, Size, ffmpeg
from runners.edge.camera.source import FILE, STREAM, Source

SIZE = ffmpeg.SIZE
NODE = "/dev/dri/renderD128"
DRIVERS = "/usr/lib/*/dri/i965_drv_video.so"


def suits(source: Source) -> bool:
    """Whether it is a good choice unasked: network cameras send what the GPU decodes, a file may hold anything."""
    return source.kind == STREAM


def missing(source: Source) -> str:
    """What this machine lacks to read it so."""
    if source.kind not in (STREAM, FILE):
        return "{}: the reader vaapi is for network cameras and files; take ffmpeg".format(source.shown)
    if not os.path.exists(NODE):
        return "no Intel GPU here ({}), which the reader vaapi needs; take ffmpeg".format(NODE)
    if not os.access(NODE, os.R_OK | os.W_OK):
        return "{}: no permission; usermod --append --groups render USER, then log in anew".format(NODE)
    if not glob.glob(DRIVERS):
        return "no VA-API driver i965 here: apt-get install i965-va-driver"
    return ffmpeg.missing(source)


def command(source: Source, size: Optional[Size], every_frame: bool, fd: int) -> Command:
    """The program that writes the source's frames to `fd`."""
    gpu = ["-hwaccel", "vaapi", "-hwaccel_device", NODE, "-hwaccel_output_format", "vaapi"]
    scale = "scale_vaapi=" + ("" if size is None else "w={}:h={}:".format(*size)) + "format=nv12"
    if source.kind == STREAM:
        opened = ffmpeg.stream(source)
    else:
        opened = [*([] if every_frame else ["-re"]), "-i", "file:" + source.address]
    arguments = [*ffmpeg.PREFIX, *gpu, *opened, *ffmpeg.output([scale, "hwdownload", "format=nv12"], None, fd)]
    return Command(arguments, {"LIBVA_DRIVER_NAME": "i965"})
