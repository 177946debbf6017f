"""The child process of a re-test: one runtime, one model, batch after batch.

A process of its own because runtimes read their limits once, when they load, and because a damaged model may crash
or hang them. It imports nothing of the project but the backend and the standard library, so that it also starts
under an emulator with a bare system. It gets its job as one JSON argument, answers with one JSON line when the model
is loaded and one after each batch, and shares inputs and outputs with its parent through mapped files.
"""

import ctypes
import importlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

PR_SET_PDEATHSIG = 1  # of <linux/prctl.h>


def main(job: dict[str, Any]) -> None:
    """Answer a line on standard input, {"samples": n, "type": "float32"}, with the outputs of the first n inputs.

    The type is the same for every batch. A line {} is answered with the facts.
    """
    # A hanging runtime would not see that its parent is gone.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    # What a runtime prints must not mix with the answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    backend = importlib.import_module(job["backend"]).open_backend(job)
    inputs: Any = None
    outputs: Any = None
    print(json.dumps({"ready": True}), file=answers)
    for line in sys.stdin:
        request = json.loads(line)
        if "samples" not in request:
            print(json.dumps({**backend.facts(), "peak_memory_mib": _peak_memory_mib()}), file=answers)
            continue
        if inputs is None:
            inputs = np.memmap(job["inputs"], request["type"], "r", shape=tuple(job["shape"]))
        before_s = time.process_time()
        found = backend.infer(np.array(inputs[: request["samples"]]))
        if found.shape[:1] == (request["samples"],):  # else the parent refuses the shape, as it does another one later
            if outputs is None:
                shape = (job["shape"][0], *found.shape[1:])
                outputs = np.memmap(job["outputs"], np.float32, "w+", shape=shape)
            if found.shape[1:] == outputs.shape[1:]:
                outputs[: len(found)] = found
        print(json.dumps({"shape": found.shape, "cpu_s": time.process_time() - before_s}), file=answers)


def _peak_memory_mib() -> int | None:
    """Most memory this process ever held; getrusage would count what the parent held when it forked."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) >> 10 for line in lines if line.startswith("VmHWM")), None)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
