"""Stands in for ffmpeg and gst-launch-1.0: as strict about its arguments, and as unreliable as a camera.

The source names a scene, a JSON list with one list of steps for each start (the last one is for all further starts). A
frame's luminance is its number everywhere, so that one put together from two is seen. Standard library.
"""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ONCE = {"-hide_banner", "-nostdin", "-nostats", "-re"}
PREFIX = ["-hide_banner", "-nostdin", "-nostats", "-loglevel", "verbose"]
OF_STREAMS = {"-rtsp_transport": {"tcp"}, "-fflags": {"+genpts+discardcorrupt+nobuffer"}, "-flags": {"low_delay"}}
OF_GPUS = {"-hwaccel": {"vaapi"}, "-hwaccel_device": {"/dev/dri/renderD128"}, "-hwaccel_output_format": {"vaapi"}}
# As GStreamer 1.22 writes it, with the name of NVIDIA's element.
CAPS = (
    "/GstPipeline:pipeline0/Gstnvvconv:resize.GstPad:sink: caps = video/x-raw(memory:NVMM), width=(int){}, "
    "height=(int){}, interlace-mode=(string)progressive, framerate=(fraction)25/1, format=(string)NV12"
)


def refuse(why: str) -> None:
    print(why, file=sys.stderr, flush=True)
    sys.exit(1)


def version() -> tuple[int, int]:
    major, minor = os.environ.get("FAKE_LIBAVFORMAT", "59.27").split(".")
    return int(major), int(minor)


def ffmpeg(arguments: list[str]) -> tuple[str, int]:
    """The address and the file descriptor that it is told."""
    if arguments == ["-version"]:
        print("ffmpeg version n5.1\nlibavutil      57. 28.100\nlibavformat    {}.{:3d}.100".format(*version()))
        sys.exit(0)
    if arguments[: len(PREFIX)] != PREFIX:
        refuse(f"these come first: {PREFIX}")
    rest = arguments[len(PREFIX) :]
    at = rest.index("-i")
    address, before, after = rest[at + 1], options(rest[:at]), options(rest[at + 2 : -1])
    wanted = dict(OF_GPUS) if "-hwaccel" in before else {}
    if address.startswith("rtsp://"):
        wanted.update(OF_STREAMS)
    elif address.startswith("/dev/"):
        wanted.update({"-f": {"v4l2"}}, **({"-video_size": {before["-video_size"]}} if "-video_size" in before else {}))
    elif address.startswith("file:/"):
        wanted.update({"-re": {""}} if "-re" in before else {})
    else:
        refuse(f"{address}: No such file or directory")
    check("input", before, wanted)
    sync = "-fps_mode" if version() >= (59, 27) else "-vsync"
    if ("-vsync" if sync == "-fps_mode" else "-fps_mode") in after:
        refuse("Unrecognized option '{}'.".format("vsync" if sync == "-fps_mode" else "fps_mode"))
    wanted = {"-map": {"0:v:0"}, sync: {"passthrough"}, "-pix_fmt": {"yuv420p"}, "-f": {"yuv4mpegpipe"}}
    filters = r"scale=(\d+:\d+:)?out_range=tv"
    if "-hwaccel" in before:
        filters = r"scale_vaapi=(w=\d+:h=\d+:)?format=nv12,hwdownload,format=nv12,scale=out_range=tv"
    if not re.fullmatch(filters, after.get("-vf", "")):
        refuse("No such filter: '{}'".format(after.get("-vf")))
    check("output", after, {**wanted, "-vf": {after["-vf"]}})
    return re.sub("^file:", "", address), int(re.match(r"pipe:(\d+)$", rest[-1]).group(1))


def options(words: list[str]) -> Any:
    found, rest = {}, list(words)
    while rest:
        name = rest.pop(0)
        if not name.startswith("-") or name in found:
            refuse(f"Unable to choose an output format for '{name}'")
        found[name] = "" if name in ONCE else rest.pop(0)
    return found


def check(where: str, given: Any, wanted: Any) -> None:
    for name, value in given.items():
        if name not in wanted or value not in wanted[name]:
            refuse(f"Unrecognized {where} option '{name} {value}'.")
    if set(wanted) != set(given):
        refuse(f"missing {where} options: {sorted(set(wanted) - set(given))}")


def gstreamer(arguments: list[str]) -> tuple[str, int]:
    """The same of `gst-launch-1.0 -v ...`."""
    pipeline = " ".join(arguments)
    found = re.match(
        r'-v (?:rtspsrc location="(?P<stream>rtsp://[^"]+)" protocols=tcp latency=100 drop-on-latency=true '
        r'! application/x-rtp,media=video|filesrc location="(?P<file>/[^"]+)"|v4l2src device="(?P<device>/dev/[^"]+)") '
        r"! decodebin ! nvvidconv name=resize ! video/x-raw,format=I420,width=\d+,height=\d+ ! y4menc "
        r"! fdsink fd=(?P<fd>\d+) sync=(?P<sync>true|false)$",
        pipeline,
    )
    if found is None or (found.group("sync") == "true" and not found.group("file")):
        refuse(f"WARNING: erroneous pipeline: {pipeline}")
    return found.group("stream") or found.group("file") or found.group("device"), int(found.group("fd"))


class Camera:
    def __init__(self, fd: int, size_line: str) -> None:
        self.out, self.size_line, self.number = os.fdopen(fd, "wb"), size_line, 0

    def size(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        print("Input #0, rtsp", self.size_line.format(width, height), sep="\n", file=sys.stderr, flush=True)
        self.out.write(f"YUV4MPEG2 W{width} H{height} F25:1 Ip A1:1 C420mpeg2 XYSCSS=420MPEG2\n".encode())

    def frames(self, count: int, period_s: float = 0.0) -> None:
        for _ in range(count):
            self.number += 1
            self.out.write(b"FRAME\n" + self.pixels())
            self.out.flush()
            time.sleep(period_s)

    def play(self, file: str, period_s: float) -> None:
        """The frames in a file (I420, one after the other), again and again."""
        size, content = self.width * self.height * 3 // 2, Path(file).read_bytes()
        while True:
            for start in range(0, len(content), size):
                self.out.write(b"FRAME\n" + content[start : start + size])
                self.out.flush()
                time.sleep(period_s)

    def pixels(self) -> bytes:
        area = self.width * self.height
        return bytes([self.number % 256]) * area + b"\x80" * (area // 2)

    def resize(self, width: int, height: int) -> None:  # frames stay as large as they were
        print(self.size_line.format(width, height), file=sys.stderr, flush=True)

    def half(self) -> None:
        self.out.write((b"FRAME\n" + self.pixels())[: self.width * self.height // 2])
        self.out.flush()

    def junk(self) -> None:
        self.out.write(b"\0" * self.width * self.height * 2)
        self.out.flush()

    def chatter(self, count: int) -> None:
        for _ in range(count):
            print("[mjpeg @ 0x55d] unable to decode APP fields: Invalid data found", "." * 80, file=sys.stderr)
        sys.stderr.flush()

    def helper(self, file: str) -> None:
        with Path(file).open("a") as stream:
            stream.write("{}\n".format(subprocess.Popen(["sleep", "60"]).pid))

    def stall(self) -> None:
        time.sleep(60)

    def exit(self, code: int, message: str = "") -> None:
        print(message.replace("ADDRESS", sys.argv[sys.argv.index("-i") + 1]), file=sys.stderr, flush=True)
        os._exit(code)


def main() -> None:
    is_gstreamer = Path(sys.argv[0]).name == "gst-launch-1.0"
    address, fd = (gstreamer if is_gstreamer else ffmpeg)(sys.argv[1:])
    scene = Path(address)
    if not scene.is_file():
        scene = Path(os.environ["FAKE_SCENES"], Path(urlsplit(address).path).name)
    with Path(f"{scene}.started").open("a+") as stream:
        stream.write(f"{os.getpid()}\n")
        stream.seek(0)
        start = len(stream.readlines())
    starts = json.loads(scene.read_text())
    size_line = CAPS if is_gstreamer else "[graph 0 input from stream 0:0 @ 0x55d] w:{} h:{} pixfmt:yuv420p tb:1/90000"
    camera = Camera(fd, size_line)
    for name, *values in starts[min(start, len(starts)) - 1]:
        getattr(camera, name)(*values)
    camera.out.close()


if __name__ == "__main__":
    main()
