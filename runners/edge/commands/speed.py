"""Measure the loop's frames a second with each number of regions, and see whether the board holds itself back.

    python3 -m runners.edge speed --bundle FOLDER --source clip.avi --regions 0 1 2 3 4

Each number has an `edge bench` of its own, all of them under one monitor. Prints one JSON object: the loop's figures by
number of regions, health before, during and after, and what was not measured with its reason. Status 0: all were
measured; 3: some were not; 2: the folder, the source or the runtime will not do.
"""

import argparse
import json
import os
import subprocess
import sys
from typing import Any, Dict, List, Optional

from runners.contract import loop_figures
from runners.edge.arguments import meter, seconds, threads, whole
from runners.edge.own_package import search_path
from runners.edge.refused import Refused

MEASURED, NOT_MEASURED = 0, 3
START_S = 120.0  # for a runtime to load, beside what is measured


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    parser.add_argument("--bundle", required=True, metavar="FOLDER", help="an exported model, for one runtime")
    parser.add_argument("--source", required=True, metavar="FILE", help="a video file")
    parser.add_argument(
        "--regions", type=whole(0, 4), nargs="+", default=[0, 1, 2, 3, 4], metavar="N", help="in each frame"
    )
    parser.add_argument("--seconds", type=seconds, default=10, help="of each measurement (default 10)")
    parser.add_argument("--device", default="", help="the runtime's name of it (default: what the bundle is for)")
    parser.add_argument("--threads", type=threads, default=0, metavar="N", help="of the network (default: one a core)")
    parser.add_argument("--meter", type=meter, default="rapl", help="whose rail tells of a power limit that is reached")
    parser.add_argument("--rail", action="append", default=[], metavar="NAME", help="a rail that it reads")
    parser.add_argument("--root", default="/", help=argparse.SUPPRESS)


def run(given: argparse.Namespace) -> int:
    """Measure and print; the exit status."""
    from runners.edge.monitor.figures import figures
    from runners.edge.monitor.monitor import Monitor

    loops: Dict[str, Any] = {}
    reasons: Dict[str, str] = {}
    with Monitor(given.meter, given.rail, root=given.root) as monitor:
        for regions in given.regions:
            with monitor.state("regions_{}".format(regions)):
                found = _bench(given, regions)
            if isinstance(found, str):
                reasons["regions_{}".format(regions)] = found
            else:
                loops[str(regions)] = loop_figures.as_json(found)
    seen = figures(monitor.recording, monitor.states)
    reasons.update({name: why for name, why in seen.not_measured.items() if not name.startswith("power")})
    health = {"before": seen.before, "during": seen.during, "after": seen.after}
    print(json.dumps(dict(health, loop=loops, not_measured=reasons)))
    return MEASURED if len(loops) == len(given.regions) else NOT_MEASURED


def _bench(given: argparse.Namespace, regions: int) -> Any:
    """The loop's figures with so many regions, or why there are none."""
    command = [sys.executable, "-m", "runners.edge", "bench", "--bundle", given.bundle, "--source", given.source]
    command += ["--regions", str(regions), "--seconds", str(given.seconds), "--device", given.device]
    command += ["--threads", str(given.threads), "--json"]
    bench = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=dict(os.environ, PYTHONPATH=search_path()),
    )  # fmt: skip
    try:
        out, err = bench.communicate(timeout=given.seconds + START_S)
    except subprocess.TimeoutExpired:
        return "the loop gave no figures within {:.0f} s and was stopped".format(given.seconds + START_S)
    finally:
        if bench.poll() is None:
            bench.kill()
            bench.communicate()
    if bench.returncode == 2:
        raise Refused(_last(err) or "edge bench refuses it and does not say why")
    try:
        return loop_figures.from_json(out.decode("utf-8", "replace"))
    except ValueError as error:
        return "the loop ended with status {}: {}".format(bench.returncode, _last(err) or error)


def _last(said: bytes) -> Optional[str]:
    lines: List[str] = [" ".join(line.split()) for line in said.decode("utf-8", "replace").splitlines()]
    lines = [line for line in lines if line]
    return lines[-1].replace("edge bench: ", "") if lines else None
