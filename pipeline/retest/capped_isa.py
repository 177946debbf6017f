"""Re-test for CPUs without VNNI: OpenVINO held to the target's instruction set.

Such CPUs multiply 8-bit numbers with `pmaddubsw`, whose 16-bit sums saturate. A cloud CPU with VNNI does not
saturate, so only a run with the target's kernels shows what the target will answer.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from models import ModelSpec
from pipeline.errors import InputError
from pipeline.targets import Target

TIME_LIMIT_S = 1800
REPOSITORY = Path(__file__).resolve().parents[2]

# Strongest first: what decides how a CPU multiplies 8-bit numbers.
HOST_ISAS = ("amx_int8", "avx512_vnni", "avx_vnni", "avx512bw", "avx2", "sse4_2")


@dataclass(frozen=True)
class Run:
    """Logits (N, classes) of one run, and the convolution kernels that calculated them."""

    logits: NDArray[np.float32]
    kernels: list[str]


def run(
    model: Path,
    images: NDArray[np.uint8],
    spec: ModelSpec,
    target: Target,
    *,
    capped: bool = True,
    saturating: bool = True,
) -> Run:
    """Run an OpenVINO IR over `images` (N, S, S, 3; uint8 RGB) in a child process with the target's threads.

    `capped` holds it to the target's instruction set and memory; without `saturating`, quantized layers are
    calculated with accumulators that cannot overflow.

    Raises:
        InputError: the model cannot be loaded, crashes the runtime, or takes longer than the time limit.
    """
    description = f"{target.name} arithmetic" if capped else "this machine" if saturating else "without saturation"
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        np.save(place / "images.npy", images)
        job: dict[str, Any] = {
            "model": str(model.resolve()),
            "images": str(place / "images.npy"),
            "logits": str(place / "logits.npy"),
            "facts": str(place / "facts.json"),
            "mean": spec.mean,
            "std": spec.std,
            "batch": target.objective.regions_per_frame,
            "threads": target.cpu.cores,
            "saturating": saturating,
        }
        limit_mib = target.emulation.memory_limit_mib if capped else None
        cap = target.emulation.environment
        environment = {name: value for name, value in os.environ.items() if name not in cap} | (cap if capped else {})
        with (
            (place / "stderr").open("w") as stderr,
            subprocess.Popen(
                [sys.executable, "-m", "pipeline.retest.worker", json.dumps(job)],
                env=environment,
                cwd=REPOSITORY,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                preexec_fn=(lambda: _limit_memory(limit_mib)) if limit_mib else None,
            ) as child,
            _killed_after(child, TIME_LIMIT_S) as overdue,
            tqdm(desc=description, total=len(images), unit="region", disable=None) as bar,
        ):
            assert child.stdout is not None
            for line in child.stdout:
                bar.update(int(line) if line.strip().isdigit() else 0)
            code = child.wait()
        if overdue.is_set():
            raise InputError(f"{model}: the runtime did not finish within {TIME_LIMIT_S} s and was stopped")
        if code:
            raise InputError(f"{model}: {_reason(code, (place / 'stderr').read_text(errors='replace'), limit_mib)}")
        facts = json.loads((place / "facts.json").read_text())
        return Run(np.load(place / "logits.npy"), facts["kernels"])


def host_isa() -> str:
    """The strongest instruction set of this machine for 8-bit arithmetic, by its Linux name."""
    try:
        flags = Path("/proc/cpuinfo").read_text().split()
    except OSError:
        return "unknown"
    return next((isa for isa in HOST_ISAS if isa in flags), "unknown")


def _limit_memory(mib: int) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (mib << 20, mib << 20))


@contextmanager
def _killed_after(child: subprocess.Popen[str], seconds: float) -> Iterator[threading.Event]:
    """Kill the child when the time is up; the event says whether that happened."""
    overdue = threading.Event()

    def kill() -> None:
        overdue.set()
        child.kill()

    timer = threading.Timer(seconds, kill)
    timer.start()
    try:
        yield overdue
    finally:
        timer.cancel()
        child.kill()


def _reason(code: int, stderr: str, limit_mib: int | None) -> str:
    if "MemoryError" in stderr or "bad_alloc" in stderr:
        return f"needs more than the target's {limit_mib} MiB of memory"
    if code < 0:
        return f"the runtime crashed (signal {-code})"
    return f"the runtime refused it: {stderr.strip().splitlines()[-1] if stderr.strip() else 'no message'}"
