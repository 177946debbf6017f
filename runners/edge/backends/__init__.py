"""Runtimes: one file each, found by what is in the folder of an exported model.

Each such file has a class `Backend` with `infer(batch)`, which takes regions (n, 3, S, S) in float32 and answers (n,
values) in float32, `facts()`, which says what device really calculates, and `close()`. `at_once` says of how many
threads `infer` takes a batch at the same time. A runtime that would calculate anywhere else than it was asked to is an
error. Python 3.6, NumPy and the runtime itself; imported on first use.
"""

import os
import sys
from importlib import import_module
from typing import Any, List, Sequence

from runners.contract import engine_recipe, model_input
from runners.edge.backends.unusable import NotInstalled, Unusable, in_one_line
from runners.edge.refused import Failed

# What shows that a folder is for a runtime, and what to do where the runtime is missing; the first that fits counts.
RUNTIMES = (
    ("model.xml", "openvino_model", "OpenVINO", "pip install openvino"),
    (engine_recipe.NAME, "tensorrt_engine", "TensorRT 8.2", "sudo apt-get install python3-libnvinfer on JetPack 4.6"),
    ("model.onnx", "onnxruntime_session", "ONNX Runtime", "pip install onnxruntime"),
)
CACHE = os.path.join(os.path.expanduser(os.environ.get("EDGEPROOF_CACHE") or "~/.cache/edgeproof"), "engines")


def open_backend(
    folder: str, device: str = "", threads: int = 0, most: int = engine_recipe.REGIONS[-1], cache: str = ""
) -> Any:
    """The exported model in `folder`, loaded by its runtime for up to `most` regions at once.

    `device` is the runtime's name of it (CPU and GPU of OpenVINO; CPU, CUDA and TENSORRT of ONNX Runtime; TensorRT has
    the GPU alone), by default the one that it is exported for. `threads` are those on the CPU, by default all cores
    that this process may use. What a runtime builds on the board is kept in the folder `cache`.

    Raises:
        NotInstalled: its runtime is not here.
        Unusable: there is no model, or its device is not here, or they do not take it.
    """
    found = [runtime for runtime in RUNTIMES if _is_for(folder, runtime)]
    if not found:
        inside = [
            name for name in _folders(folder) if any(_is_for(os.path.join(folder, name), row) for row in RUNTIMES)
        ]
        hint = "; name a folder in it: {}".format(", ".join(inside)) if inside else ""
        files = ", ".join(row[0] for row in RUNTIMES)
        raise Unusable("{}: no exported model; it has none of {}{}".format(folder, files, hint))
    if threads < 0:
        raise Unusable("{} threads: give 1 or more, or 0 for all cores".format(threads))
    _, module, name, fix = found[0]
    try:
        wanted = model_input.read(os.path.join(folder, model_input.NAME))
    except ValueError as error:
        raise Unusable(str(error)) from error
    try:
        backend = import_module("{}.{}".format(__name__, module)).Backend
    except ImportError as error:
        where = "{} is not installed for {}".format(name, sys.executable)
        raise NotInstalled("{} ({}): {}".format(where, error, fix)) from error
    return backend(folder, wanted.size, device, threads or len(os.sched_getaffinity(0)), most, cache or CACHE)


def answered(backend: Any, batch: Any) -> Any:
    """The answers (n, values) of what `open_backend` gave to a batch (n, 3, S, S).

    Raises:
        Unusable: the runtime says that the network cannot be used.
        Failed: it raises something of its own.
    """
    try:
        return backend.infer(batch)
    except Unusable:
        raise
    except Exception as error:
        raise failure(error) from error


def failure(error: Exception) -> Failed:
    """What a runtime raised over a batch, in one line."""
    return Failed("the network failed: {}".format(in_one_line(error)))


def _is_for(folder: str, runtime: Sequence[str]) -> bool:
    return os.path.isfile(os.path.join(folder, runtime[0]))


def _folders(folder: str) -> List[str]:
    try:
        return sorted(name for name in os.listdir(folder) if os.path.isdir(os.path.join(folder, name)))
    except OSError:
        return []
