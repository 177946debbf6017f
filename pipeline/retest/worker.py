"""The child process of a re-test: runs one OpenVINO model over a file of images and writes the logits.

A process of its own because OpenVINO reads the ISA cap from the environment once, when it loads. It gets
everything in one JSON argument, reads images batch by batch from a memory-mapped file, prints a line for each
batch done, and writes the logits and, beside them, which kernels calculated them.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import openvino

from runners.edge.regions import normalise


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Run `job` (model, images, logits, mean, std, batch, threads, saturating); the answer names the kernels used."""
    images = np.load(job["images"], mmap_mode="r")
    core = openvino.Core()
    model = core.read_model(job["model"])
    batch = job["batch"]
    model.reshape([batch, 3, *images.shape[1:3]])
    settings: dict[str, Any] = {"INFERENCE_NUM_THREADS": job["threads"], "NUM_STREAMS": 1}
    if not job["saturating"]:
        # Without the low-precision pass OpenVINO calculates the quantized values in floating point, whose
        # accumulators do not overflow.
        settings["LP_TRANSFORMS_MODE"] = "NO"
    compiled = core.compile_model(model, "CPU", settings)
    parts = []
    for start in range(0, len(images), batch):
        chunk = images[start : start + batch]
        padded = np.zeros((batch, *images.shape[1:]), np.uint8)
        padded[: len(chunk)] = chunk
        parts.append(compiled(normalise(padded, job["mean"], job["std"]))[0][: len(chunk)].copy())
        print(len(chunk), flush=True)
    np.save(job["logits"], np.concatenate(parts))
    return {"kernels": _convolution_kernels(compiled)}


def _convolution_kernels(compiled: openvino.CompiledModel) -> list[str]:
    """Names of the kernels that the convolutions ended up with, such as `jit_sse42_1x1_I8`."""
    facts = [node.get_rt_info() for node in compiled.get_runtime_model().get_ops()]
    return sorted(
        {str(info["primitiveType"].astype(str)) for info in facts if "Convolution" in info["layerType"].astype(str)}
    )


if __name__ == "__main__":
    arguments = json.loads(sys.argv[1])
    Path(arguments["facts"]).write_text(json.dumps(run(arguments)))
