"""Watches cameras: who moves, who is who, what each shows, told as events.

Boxes of what moves become tracks, the network looks at each track often enough, and what it says over several frames is
decided. Events are JSON lines in a folder, `python3 -m runners.edge.events FOLDER` prints them. SIGTERM and SIGINT end
it in order. Status 0: it ended as told, or its files did; 2: something that it needs is wrong.
"""

import argparse
from typing import Any, Callable, Optional

from runners.edge.arguments import threads, whole


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it is told."""
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("--bundle", metavar="FOLDER", help="an exported model, for one runtime")
    model.add_argument("--home", metavar="FOLDER", help="the device's folder, whose model the agent may change")
    parser.add_argument(
        "--source", required=True, action="append", metavar="SOURCE",
        help="a video file, /dev/videoN or rtsp://HOST/PATH; several times for several cameras",
    )  # fmt: skip
    parser.add_argument("--events", required=True, metavar="FOLDER", help="where events are written")
    parser.add_argument(
        "--regions", type=whole(1, 4), default=4, metavar="N", help="at most in one batch, 1 to 4 (default 4)"
    )
    parser.add_argument("--seconds", type=float, help="end after so long (default: never)")
    parser.add_argument("--summary", metavar="FILE", help="at the end, write speed and counts here, as JSON")
    parser.add_argument("--record", metavar="FILE.avi", help="write a video with boxes and answers (default: none)")
    parser.add_argument(
        "--live", type=whole(0, 65535), metavar="PORT", help="show it at http://127.0.0.1:PORT (default: nowhere)"
    )
    parser.add_argument("--capture", metavar="FILE.json", help="keep regions worth learning from (default: none)")
    parser.add_argument("--size", metavar="WIDTHxHEIGHT", help="of frames (default: as each camera sends them)")
    parser.add_argument("--device", default="", help="the runtime's name of it (default: what the bundle is for)")
    parser.add_argument("--threads", type=threads, default=0, metavar="N", help="of the network (default: one a core)")
    parser.add_argument("--reader", help="what decodes (default: the best that is here)")


def run(given: argparse.Namespace, acknowledged: Optional[Callable[[int], Any]] = None) -> int:
    """Watch. `acknowledged` is told up to which number events are on the disk."""
    import cv2

    from runners.edge.program.printed import lines
    from runners.edge.program.starting import watch

    cv2.setNumThreads(1)  # costs are counted by thread, and the network has the other cores
    print("\n".join(lines(watch(given, acknowledged))))
    return 0
