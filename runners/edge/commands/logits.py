"""Answer every region in a file, so that a board's answers can be held against those of the emulation.

    python3 -m runners.edge logits --bundle FOLDER --regions regions.npy --output logits.npy

The regions are (N, S, S, 3) in uint8 RGB, normalised here as input.json says, or (N, 3, S, S) in float32, taken as
they are. The output is (N, values) in float32. Prints one JSON object: what calculates, how long the start and each
batch took, and the most memory that this process held. Status 1: the network fails; 2: the folder, the file or the
runtime will not do.
"""

import argparse
import io
import json
import os
import sys
import time
from typing import Any, Dict, Tuple

from runners.contract import engine_recipe, model_input
from runners.edge import durable
from runners.edge.arguments import threads
from runners.edge.procfs import age_s, peak_memory_mib
from runners.edge.refused import Refused

MOST = engine_recipe.REGIONS[-1]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    parser.add_argument("--bundle", required=True, metavar="FOLDER", help="the exported model")
    parser.add_argument("--regions", required=True, metavar="FILE", help=".npy file of regions")
    parser.add_argument("--output", required=True, metavar="FILE", help=".npy file to write the answers to")
    parser.add_argument("--device", default="", help="the runtime's name of it; by default what the model is for")
    parser.add_argument("--threads", type=threads, default=0, help="on the CPU (default: all cores)")


def run(given: argparse.Namespace) -> int:
    """The answers into a file, the facts to standard output; the exit status."""
    import numpy as np

    from runners.edge.backends.unusable import Unusable

    folder = os.path.dirname(os.path.abspath(given.output))
    if os.path.isdir(given.output) or not os.access(folder, os.W_OK | os.X_OK):
        raise Refused("{}: no answers can be written there; name a file in a folder that is there".format(given.output))
    with os.fdopen(os.dup(1), "w") as to:
        os.dup2(2, 1)  # what a runtime prints must not mix with the facts
        try:
            answers, found = _asked(given)
        except (ValueError, Unusable) as error:
            raise Refused(str(error)) from error
        finally:
            sys.stdout.flush()
            os.dup2(to.fileno(), 1)
        written = io.BytesIO()
        np.save(written, answers)
        durable.write(given.output, written.getvalue(), survives=False)
        json.dump(found, to)
        to.write("\n")
    return 0


def _asked(given: argparse.Namespace) -> Tuple[Any, Dict[str, Any]]:
    """The answers (N, values), and the facts."""
    import numpy as np

    from runners.edge.backends import answered, open_backend
    from runners.edge.loop.kept_regions import KeptRegions

    wanted = model_input.read(os.path.join(given.bundle, model_input.NAME))
    regions = KeptRegions(given.regions, wanted)
    backend = open_backend(given.bundle, given.device, given.threads, MOST)
    try:
        parts, latency_ms, start_s = [], [], None
        for first in range(0, len(regions), MOST):
            batch = regions.batch(first, MOST)
            start = time.perf_counter()
            parts.append(answered(backend, batch))
            latency_ms.append(1000 * (time.perf_counter() - start))
            if start_s is None:
                start_s = age_s()
        facts = backend.facts()
    finally:
        backend.close()
    return np.concatenate(parts), {
        "facts": facts, "batch": MOST, "start_s": start_s, "latency_ms": latency_ms,
        "peak_memory_mib": peak_memory_mib(),
    }  # fmt: skip
