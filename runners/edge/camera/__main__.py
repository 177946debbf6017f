"""`python3 -m runners.edge.camera SOURCE`: read a camera for a while, and say what comes of it, as JSON lines."""

import argparse
import json
import sys
import time
from typing import Any, Dict, Optional

from runners.edge.aloud import say
from runners.edge.arguments import seconds
from runners.edge.bell import Bell
from runners.edge.camera import readers
from runners.edge.camera.camera import Camera
from runners.edge.camera.source import parse


def watch(camera: Camera, bell: Bell, seconds: float) -> Dict[str, Any]:
    """Take frames for `seconds`, printing the camera's news; what came."""
    began_s = last_s = time.monotonic()
    first_s: Optional[float] = None
    while not camera.is_over and time.monotonic() - began_s < seconds:
        bell.wait(0.5)
        frame = camera.newest()
        if frame is not None:
            first_s, last_s = (frame.monotonic_s if first_s is None else first_s), frame.monotonic_s
        tell(camera)
    tell(camera)
    counts = camera.counts
    rate = round((counts.received - 1) / (last_s - first_s), 2) if first_s is not None and last_s > first_s else None
    return dict(counts._asdict(), frames_per_s=rate, first_frame_s=first_s and round(first_s - began_s, 2))


def tell(camera: Camera) -> None:
    """Print what happened."""
    for event, facts in camera.news():
        print(json.dumps(dict({"event": event}, **facts)), flush=True)


def main() -> int:
    """0 where a frame came, 1 where none did, 2 where nothing could be tried."""
    parser = argparse.ArgumentParser(prog="python3 -m runners.edge.camera", description=__doc__.split(": ", 1)[1])
    parser.add_argument("source", help="a video file, /dev/videoN or rtsp://HOST/PATH")
    parser.add_argument("--seconds", type=seconds, default=10.0, help="how long (default: 10)")
    parser.add_argument("--reader", choices=readers.names(), help="default: the best that is here")
    parser.add_argument("--size", help="WIDTHxHEIGHT of the frames (default: as the camera sends them)")
    parser.add_argument(
        "--every-frame", action="store_true", help="drop no frame of a file, and do not wait for its time"
    )
    chosen = parser.parse_args()
    bell = Bell()
    try:
        size = readers.size_of(chosen.size) if chosen.size else None
        camera = Camera(parse(chosen.source), bell, reader=chosen.reader, size=size, every_frame=chosen.every_frame)
    except ValueError as error:
        say(str(error))
        return 2
    try:
        came = watch(camera, bell, chosen.seconds)
    except KeyboardInterrupt:
        return 130
    finally:
        camera.close()
    print(json.dumps(came))
    return 0 if came["received"] else 1


if __name__ == "__main__":
    sys.exit(main())
