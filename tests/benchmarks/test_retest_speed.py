"""What the re-test costs: against an emulated CPU, against no emulation, and edgeproof's own share of it."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline import emulators
from pipeline.arithmetic.kinds import capped_isa
from pipeline.processes import host
from pipeline.processes.child import Place
from pipeline.processes.side_by_side import run
from pipeline.records.targets import load_target

ATOM = load_target("atom-x5-e3940")
SHAPE = (4, 3, 224, 224)
SAMPLES = 500

# The same samples through the same kernels by nothing but OpenVINO: what edgeproof's overhead is measured against.
BARE = """
import sys
import numpy, openvino
model = openvino.Core().read_model(sys.argv[1])
model.reshape([4, 3, 224, 224])
settings = {"INFERENCE_NUM_THREADS": int(sys.argv[2]), "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}
compiled = openvino.Core().compile_model(model, "CPU", settings)
batch = numpy.random.default_rng(0).standard_normal((4, 3, 224, 224), numpy.float32)
outputs = numpy.concatenate([compiled(batch)[0].copy() for _ in range(int(sys.argv[3]) // 4)])
"""


def batches(count: int) -> Iterator[np.ndarray]:
    batch = np.random.default_rng(0).standard_normal(SHAPE, np.float32)
    return (batch for _ in range(count // SHAPE[0]))


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def per_sample(model: Path, place: Place, few: int, many: int) -> float:
    """Seconds for one more sample: starting and loading cancel out between a short and a long run."""
    short, long = (seconds(lambda n=n: run(model, batches(n), n, SHAPE, [place])) for n in (few, many))  # type: ignore[misc]
    return (long - short) / (many - few)


def test_retest_speed(int8_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capped, plain = capped_isa.target_place(ATOM), capped_isa.host_place(ATOM)
    qemu = replace(capped_isa.audit_place(ATOM), launcher=emulators.launcher("denverton"))
    on_target = min(per_sample(int8_model, capped, 4, 204) for _ in range(3))
    uncapped = min(per_sample(int8_model, plain, 4, 204) for _ in range(3))
    in_qemu = per_sample(int8_model, qemu, 4, 12)

    bare = [sys.executable, "-c", BARE, str(int8_model), str(ATOM.cpu.cores), str(SAMPLES)]
    environment = {**os.environ, **ATOM.emulation.environment}
    alone, ours = [], []
    for _ in range(3):  # interleaved, so that a slow moment of the machine meets both
        alone.append(seconds(lambda: subprocess.run(bare, env=environment, check=True)))
        ours.append(seconds(lambda: run(int8_model, batches(SAMPLES), SAMPLES, SHAPE, [capped])))
    overhead = min(ours) / min(alone) - 1
    with capsys.disabled():
        print(
            f"\nre-test of EfficientNet-Lite0 INT8 for {ATOM.name} on {host.isa()}:"
            f"\n  {in_qemu / on_target:6.1f} times as fast as QEMU"
            f"\n  {on_target / uncapped:6.1f} times as slow as uncapped"
            f"\n  {overhead:6.1%} overhead of edgeproof over bare OpenVINO on {SAMPLES} samples"
        )
    assert in_qemu / on_target >= 40
    assert on_target / uncapped <= 5
    assert overhead <= 0.2
