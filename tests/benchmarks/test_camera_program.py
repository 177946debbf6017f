"""The whole camera program under the Atom's instruction set: how much faster than a straightforward loop, and how near
to what the network alone could do on the same cores.

The default clip at 1280x720; of the demo's networks FP32, and for ours the one that is fast enough for the Atom. Each
program in a process of its own, in turns. Ours decodes with ffmpeg, as on a device.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import pytest

from pipeline.data.clip import CLIP_NAME, read_frames
from pipeline.records.targets import load_target
from runners.contract.loop_figures import PARTS, LoopFigures, from_json
from tests.real_ffmpeg import path_with_it

REPOSITORY = Path(__file__).resolve().parents[2]
EXPORTED = REPOSITORY / "artifacts/export/mobilenet-v2"
OURS, PLAIN = EXPORTED / "resized-int8/openvino", EXPORTED / "fp32/openvino/model.xml"
TIMES, SECONDS = 3, 10
FASTER, NEAR, PREPARED = 2.5, 0.65, 0.35


def said(path: str, *command: str | Path) -> str:
    capped = load_target("atom-x5-e3940").emulation.environment
    environment = os.environ | capped | {"PYTHONPATH": str(REPOSITORY), "PATH": path}
    done = subprocess.run(
        [sys.executable, *command], cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As a camera of 1280x720 would send it."""
    source = REPOSITORY / "data" / CLIP_NAME
    for needed in (source, OURS / "model.xml", PLAIN):
        if not needed.is_file():
            pytest.skip(f"{needed} is not there: run `make demo`")
    file = tmp_path_factory.mktemp("clip") / "720p.avi"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter_fourcc(*"XVID"), 10, (1280, 720))
    for frame in read_frames(source):
        writer.write(frame)
    writer.release()
    return file


@pytest.fixture(scope="module")
def runs(clip: Path) -> list[tuple[LoopFigures, dict[str, Any]]]:
    """Ours and the straightforward loop, in turns."""
    bench = ["-m", "runners.edge", "bench", f"--bundle={OURS}", f"--source={clip}", "--json", f"--seconds={SECONDS}"]
    plain: list[str | Path] = [REPOSITORY / "tests/benchmarks/straightforward.py", clip, PLAIN, str(SECONDS)]
    path = path_with_it(clip.parent / "bin")
    return [(from_json(said(path, *bench)), json.loads(said(path, *plain))) for _ in range(TIMES)]


def test_the_frame_loop(runs: list[tuple[LoopFigures, dict[str, Any]]], capsys: pytest.CaptureFixture[str]) -> None:
    cpu_ms = {name: median(float(ours.parts[name].cpu_ms or 0) for ours, _ in runs) for name in PARTS}
    whole_ms, prepared_ms = sum(cpu_ms.values()), cpu_ms["propose"] + cpu_ms["crop"] + cpu_ms["track"]
    plain_ms, first_ms = (median(plain[name] for _, plain in runs) for name in ("cpu_ms", "first_version_ms"))
    faster = [ours.fps / plain["fps"] for ours, plain in runs if ours.fps]
    bound = [4 * ours.fps / ours.regions_per_second for ours, _ in runs if ours.fps and ours.regions_per_second]
    rows = [
        ("frames/s over the straightforward loop", shown(faster), f"{plain_ms / whole_ms:.2f}", "at least 6"),
        ("frames/s over the network alone", shown(bound), f"{cpu_ms['classify'] / whole_ms:.2f}", "at least 0.85"),
        ("proposals, crops, tracks over the first", "", f"{prepared_ms / first_ms:.2f}", "at most 0.2"),
    ]
    with capsys.disabled():
        print(f"\n4 regions a frame, 1280x720, the Atom's instruction set, {TIMES} times; median and range")
        print(f"{'':40} {'wall':>22} {'CPU time':>9}  aim")
        for what, wall, cpu, aim in rows:
            print(f"{what:40} {wall:>22} {cpu:>9}  {aim}")
        print("CPU ms a frame: " + ", ".join(f"{name} {cpu_ms[name]:.1f}" for name in PARTS), end="")
        print(f"; the straightforward loop {plain_ms:.1f}, proposals and crops of the first version {first_ms:.1f}")
    # What is reached; docs/loop.md says why the aims are not.
    assert plain_ms / whole_ms >= FASTER
    assert cpu_ms["classify"] / whole_ms >= NEAR
    assert prepared_ms <= PREPARED * first_ms
    # What the prediction of a frame takes for granted: all work is spread over all cores, and nothing waits for long.
    assert 0.9 <= median(bound) / (cpu_ms["classify"] / whole_ms) <= 1.25


def shown(values: list[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"
