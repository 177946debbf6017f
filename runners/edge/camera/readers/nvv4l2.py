"""GStreamer on a Jetson: its video engine decodes (nvv4l2decoder) and scales (nvvidconv), the CPU only copies.

Frames always have one size, 1280x720 unless told: `y4menc` would not tell a change within a stream.
"""

import re
import shutil
import subprocess
from typing import List, Optional

from runners.edge.camera.readers import Command, Size
from runners.edge.camera.source import FILE, STREAM, Source

SIZE = re.compile(rb"\.?resize\.GstPad:sink: caps = [^\n]*?width=\(int\)(\d+), height=\(int\)(\d+)")
ELEMENTS = {
    "nvv4l2decoder": "nvidia-l4t-gstreamer",
    "nvvidconv": "nvidia-l4t-gstreamer",
    "h264parse": "gstreamer1.0-plugins-bad",
    "y4menc": "gstreamer1.0-plugins-good",
}
DEFAULT_SIZE = (1280, 720)


def suits(source: Source) -> bool:
    """Whether it is a good choice unasked."""
    return True


def missing(source: Source) -> str:
    """What this machine lacks to read it so."""
    if shutil.which("gst-launch-1.0") is None or shutil.which("gst-inspect-1.0") is None:
        return "no gst-launch-1.0 here, which reads {}: apt-get install gstreamer1.0-tools".format(source.shown)
    for element, package in ELEMENTS.items():
        asked = ["gst-inspect-1.0", "--exists", element]
        if subprocess.run(asked, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60).returncode != 0:
            return "GStreamer has no {} here: apt-get install {}".format(element, package)
    return ""


def command(source: Source, size: Optional[Size], every_frame: bool, fd: int) -> Command:
    """The program that writes the source's frames to `fd`."""
    width, height = size or DEFAULT_SIZE
    paced = source.kind == FILE and not every_frame
    arguments = ["gst-launch-1.0", "-v", *_input(source), "!", "decodebin", "!", "nvvidconv", "name=resize", "!"]
    arguments += ["video/x-raw,format=I420,width={},height={}".format(width, height), "!", "y4menc", "!"]
    arguments += ["fdsink", "fd={}".format(fd), "sync={}".format("true" if paced else "false")]
    return Command(arguments, {})


def _input(source: Source) -> List[str]:
    place = source.address.replace("\\", "\\\\").replace('"', '\\"')
    if source.kind == STREAM:
        found = ["rtspsrc", 'location="{}"'.format(place), "protocols=tcp", "latency=100", "drop-on-latency=true"]
        return [*found, "!", "application/x-rtp,media=video"]
    if source.kind == FILE:
        return ["filesrc", 'location="{}"'.format(place)]
    return ["v4l2src", 'device="{}"'.format(place)]
