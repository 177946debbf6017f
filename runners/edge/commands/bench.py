"""Measures the camera program on a video file: frames a second, what each part costs, and the network alone.

Every frame of the file is taken, as fast as the program can, again and again, and in each exactly as many regions are
classified as asked for: the largest boxes, filled up with still ones. The program and the network alone take turns on
the same cores. Status 2: something that it needs is wrong.
"""

import argparse

from runners.edge.arguments import seconds, threads, whole


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it is told."""
    parser.add_argument("--bundle", required=True, metavar="FOLDER", help="an exported model, for one runtime")
    parser.add_argument("--source", required=True, metavar="FILE", help="a video file")
    parser.add_argument("--regions", type=whole(0, 4), default=4, metavar="N", help="in each frame, 0 to 4 (default 4)")
    parser.add_argument("--seconds", type=seconds, default=15, help="how long to measure (default 15)")
    parser.add_argument("--device", default="", help="the runtime's name of it (default: what the bundle is for)")
    parser.add_argument("--threads", type=threads, default=0, metavar="N", help="of the network (default: one a core)")
    parser.add_argument("--reader", help="what decodes the file (default: the best that is here)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(given: argparse.Namespace) -> int:
    """Measure and print."""
    import json

    import cv2

    from runners.contract.loop_figures import as_json
    from runners.edge.program.measuring import measure
    from runners.edge.program.printed import lines

    cv2.setNumThreads(1)  # costs are counted by thread, and the network has the other cores
    found = measure(given.bundle, given.source, given.regions, given.seconds, given.device, given.threads, given.reader)
    print(json.dumps(as_json(found), indent=2) if given.json else "\n".join(lines(found)))
    return 0
