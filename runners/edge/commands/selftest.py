"""Answers the samples of an unpacked bundle, and compares with what was promised for this target.

    python3 -m runners.edge selftest --bundle /var/lib/edgeproof/current

The samples are pictures, which are normalised by the camera program's own code, so that it is tested too. Where the
bundle's tolerance is 0, every answer has to be the same in every bit. Prints one JSON object. Status 0: pass; 1: the
answers are others, or the network fails; 2: the bundle will not do; 3: NumPy, OpenCV or its runtime is not here, so
nothing is known.
"""

import argparse
import json
import os
import sys
from typing import Any, Dict

from runners.contract import bundle, model_input
from runners.edge.arguments import threads
from runners.edge.refused import Failed, Lacking, Refused

MOST_SAMPLES = 4096


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    parser.add_argument("--bundle", required=True, metavar="FOLDER", help="an unpacked bundle")
    parser.add_argument("--device", default="", help="the runtime's name of it; by default what the model is for")
    parser.add_argument("--threads", type=threads, default=0, help="on the CPU (default: all cores)")


def run(given: argparse.Namespace) -> int:
    """The comparison to standard output; the exit status."""
    from runners.edge.backends.unusable import NotInstalled, Unusable

    with os.fdopen(os.dup(1), "w") as to:
        os.dup2(2, 1)  # what a runtime prints must not mix with the answer
        try:
            found = _asked(given)
        except NotInstalled as error:
            raise Lacking(str(error)) from error
        except ImportError as error:
            raise Lacking("{} has not the package {}".format(sys.executable, error.name)) from error
        except (OSError, ValueError, Unusable) as error:
            raise Refused(str(error)) from error
        finally:
            sys.stdout.flush()
            os.dup2(to.fileno(), 1)
        json.dump(found, to)
        to.write("\n")
    return 0 if found["verdict"] == "pass" else 1


def _asked(given: argparse.Namespace) -> Dict[str, Any]:
    """What the bundle's model answers to its samples, held against what was promised."""
    import numpy as np

    from runners.contract.engine_recipe import REGIONS
    from runners.edge.backends import answered, open_backend
    from runners.edge.loop.kept_regions import KeptRegions

    most, model = REGIONS[-1], os.path.join(given.bundle, bundle.MODEL)
    manifest = bundle.read(os.path.join(given.bundle, bundle.MANIFEST))
    wanted = model_input.read(os.path.join(model, model_input.NAME))
    regions = KeptRegions(os.path.join(given.bundle, bundle.REGIONS), wanted)
    expected = np.lib.format.open_memmap(os.path.join(given.bundle, bundle.SCORES), mode="r")
    if expected.dtype != np.float32 or expected.ndim != 2:
        raise ValueError("{}: its expected answers are not (N, K) in float32".format(given.bundle))
    if not 0 < len(regions) == len(expected) <= MOST_SAMPLES:
        raise ValueError("{}: has {} regions and {} answers".format(given.bundle, len(regions), len(expected)))
    backend = open_backend(model, given.device, given.threads, most)
    try:
        parts = [answered(backend, regions.batch(first, most)) for first in range(0, len(regions), most)]
        found = compared(np.concatenate(parts), np.asarray(expected), manifest.tolerance)
        found["device"] = backend.facts()
    except Failed as error:
        return _failed(str(error), len(expected))
    finally:
        backend.close()
    return found


def _failed(reason: str, samples: int) -> Dict[str, Any]:
    """Where there are no answers that could be compared."""
    return {"verdict": "fail", "reason": reason, "samples": samples, "differ": None, "largest": None}


def compared(answers: Any, expected: Any, tolerance: float) -> Dict[str, Any]:
    """Answers and what was expected, both (N, K) float32; `tolerance` as in the manifest."""
    import numpy as np

    if answers.shape != expected.shape:
        reason = "the model gives answers of the shape {}, and {} was promised".format(answers.shape, expected.shape)
        return _failed(reason, len(expected))
    different = answers.view(np.uint32) != expected.view(np.uint32)
    away = np.abs(answers.astype(np.float64) - expected)
    largest = float(away.max() / (np.abs(expected).max() or 1.0)) if np.isfinite(away).all() else None
    within = not different.any() if tolerance == 0 else largest is not None and largest <= tolerance
    count = int(different.any(axis=1).sum())
    reason = ""
    if not within:
        text = "{} of {} samples have other answers than promised, by {} of the largest score; {} is allowed"
        by = "what is no number" if largest is None else "{:.3g}".format(largest)
        reason = text.format(count, len(expected), by, "no bit" if tolerance == 0 else "{:g}".format(tolerance))
    verdict = "pass" if within else "fail"
    return {"verdict": verdict, "reason": reason, "samples": len(expected), "differ": count, "largest": largest}
