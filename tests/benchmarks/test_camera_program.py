"""The whole camera program under the Atom's instruction set: how much faster than a straightforward loop, and how near
to what the network alone could do on the same cores.

The default clip at 1280x720 and the demo's exported networks; each program in a process of its own, in turns.
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

REPOSITORY = Path(__file__).resolve().parents[2]
EXPORTED = REPOSITORY / "artifacts/export/mobilenet-v2"
OURS, PLAIN = EXPORTED / "int8-atom/openvino", EXPORTED / "fp32/openvino/model.xml"
TIMES, SECONDS = 3, 15


def said(*command: str | Path) -> str:
    environment = os.environ | load_target("atom-x5-e3940").emulation.environment | {"PYTHONPATH": str(REPOSITORY)}
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
    plain = [REPOSITORY / "tests/benchmarks/straightforward.py", clip, PLAIN, str(SECONDS)]
    return [(from_json(said(*bench)), json.loads(said(*plain))) for _ in range(TIMES)]


def test_the_frame_loop(runs: list[tuple[LoopFigures, dict[str, Any]]], capsys: pytest.CaptureFixture[str]) -> None:
    faster = [ours.fps / plain["fps"] for ours, plain in runs if ours.fps]
    bound = [4 * ours.fps / ours.regions_per_second for ours, _ in runs if ours.fps and ours.regions_per_second]
    cpu_ms = {name: median(float(ours.parts[name].cpu_ms or 0) for ours, _ in runs) for name in PARTS}
    prepared_ms = cpu_ms["propose"] + cpu_ms["crop"] + cpu_ms["track"]
    first_ms = median(plain["first_version_ms"] for _, plain in runs)
    with capsys.disabled():
        print(f"\n4 regions a frame at 1280x720, instruction set of the Atom; median of {TIMES} and the range")
        print(f"frames/s over the straightforward loop  {shown(faster)}  asked for: 6")
        print(f"frames/s over the network alone         {shown(bound)}  asked for: 0.85")
        print(f"the same by CPU time                    {cpu_ms['classify'] / sum(cpu_ms.values()):.2f}")
        print(
            f"proposals, crops and tracks             {prepared_ms:.1f} ms CPU a frame, in the first version ", end=""
        )
        print(f"{first_ms:.1f} ms: {prepared_ms / first_ms:.2f}  asked for: 0.2")
        print("CPU ms a frame  " + ", ".join(f"{name} {cpu_ms[name]:.1f}" for name in PARTS))
    assert median(faster) >= 6
    assert median(bound) >= 0.85
    assert prepared_ms <= first_ms / 5


def shown(values: list[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"
