"""Measure the power of this board at rest and at work: idle, no region of a frame, four regions of each frame.

    python3 -m runners.edge watts --bundle FOLDER --source clip.avi --meter rapl --rail package-0 --seconds 600

The program runs on the file as fast as it can, which takes more than a camera of 30 frames/s would: an upper bound.
Ten minutes of full work, or a last minute at a steady temperature, give the sustained power that a limit is held
against. Prints one JSON object: power by state, health before, during and after, and what was not measured with its
reason. Status 0: power was measured; 3: it was not; 2: the folder, the source or the runtime will not do.
"""

import argparse
import json
import time
from typing import List

from runners.edge.arguments import meter, seconds, threads

MEASURED, NOT_MEASURED = 0, 3
NONE, FULL = 0, 4  # regions of a frame


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    parser.add_argument("--bundle", required=True, metavar="FOLDER", help="an exported model, for one runtime")
    parser.add_argument("--source", required=True, metavar="FILE", help="a video file")
    parser.add_argument(
        "--idle", type=seconds, default=10, help="seconds of rest, and of work without a region (default 10)"
    )
    parser.add_argument("--seconds", type=seconds, default=75, help="seconds of full work (default 75)")
    parser.add_argument("--device", default="", help="the runtime's name of it (default: what the bundle is for)")
    parser.add_argument("--threads", type=threads, default=0, metavar="N", help="of the network (default: one a core)")
    parser.add_argument(
        "--meter", type=meter, required=True, help="what reads the power; see `python3 -m runners.edge.monitor`"
    )
    parser.add_argument("--rail", action="append", required=True, metavar="NAME", help="a rail that it reads")
    parser.add_argument("--root", default="/", help=argparse.SUPPRESS)


def run(given: argparse.Namespace) -> int:
    """Measure and print; the exit status."""
    from runners.edge.monitor.figures import figures
    from runners.edge.monitor.monitor import Monitor
    from runners.edge.program.measuring import warm

    frames: List[int] = []
    with Monitor(given.meter, given.rail, root=given.root) as monitor:
        with monitor.state("idle"):
            time.sleep(given.idle)
        for regions, lasting_s in ((NONE, given.idle), (FULL, given.seconds)):
            with warm(given.bundle, given.source, regions, given.device, given.threads) as (bench, _):
                with monitor.state("regions_{}".format(regions)):
                    bench.loop(lasting_s)
                frames.append(bench.frames)
    seen = figures(monitor.recording, monitor.states, frames[-1])
    print(json.dumps(seen._asdict()))
    return MEASURED if seen.power else NOT_MEASURED
