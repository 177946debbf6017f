"""Several cameras share one network: none is starved, and one that stalls takes nothing from the others."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

from runners.edge.bell import Bell
from runners.edge.camera.camera import Camera
from runners.edge.camera.source import parse
from runners.edge.program.classifier import Classifier
from runners.edge.program.stop import Stop
from runners.edge.program.watching import Watch
from tests.loop.program import Program
from tests.scenes import readers, scene
from tests.waiting import until

NAMES = ("north", "east", "south", "west")
FAST = [["size", 640, 360], ["frames", 1000000, 0.005]]  # faster than any machine here can look at four of them


@pytest.fixture
def watch(bundle: Path, cameras: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    """The program on four cameras in this process, so that its counts can be seen."""
    for name, value in cameras.items():
        monkeypatch.setenv(name, value)
    bell = Bell()
    stop, classifier = Stop(bell), Classifier(str(bundle), 4, bell, threads=1)
    opened = [
        Camera(parse(scene(tmp_path, name, FAST)), bell, name=name, reader="ffmpeg", patience_s=60) for name in NAMES
    ]
    program = Watch(opened, bell, stop, classifier, 4, lambda event, **facts: None)
    thread = threading.Thread(target=program.run)
    thread.start()
    yield program
    stop.ask("the test is over")
    thread.join()
    for camera in opened:
        camera.close()
    classifier.close()


def delivered(program: Watch, seconds: float) -> dict[str, float]:
    """Frames a second of each camera that the program looked at."""
    before, began_s = program.counts(), time.monotonic()
    time.sleep(seconds)
    took_s, after = time.monotonic() - began_s, program.counts()
    return {name: (after[name]["delivered"] - before[name]["delivered"]) / took_s for name in NAMES}


@pytest.mark.nightly
def test_four_cameras_share_evenly_and_one_that_stalls_slows_no_other(watch: Watch, tmp_path: Path) -> None:
    until(lambda: min(counts["delivered"] for counts in watch.counts().values()) >= 20, told=watch.counts)
    together = delivered(watch, 8)
    dropped = [counts["dropped"] for counts in watch.counts().values()]
    assert min(dropped) > 0, f"it was not busy: {together}"
    assert min(together.values()) >= 0.8 * mean(together.values()), together
    os.kill(readers(tmp_path, "north")[0], signal.SIGSTOP)
    time.sleep(0.5)
    without = delivered(watch, 8)
    os.kill(readers(tmp_path, "north")[0], signal.SIGCONT)
    assert without.pop("north") == 0
    assert min(without.values()) >= 0.8 * mean(without.values()), without
    assert mean(without.values()) >= 0.9 * mean(together.values()), (together, without)


@pytest.mark.nightly
def test_nothing_grows(start: Any, tmp_path: Path) -> None:
    """A minute on three cameras, one of which is lost every second: a soak of bounded length."""
    steady = [["size", 1280, 720], ["frames", 1000000, 0.03]]
    given = [scene(tmp_path, name, steady) for name in NAMES[:2]]
    given.append(scene(tmp_path, "lost", [["size", 640, 480], ["frames", 20, 0.03], ["exit", 1, "gone"]]))
    program: Program = start(*given)
    program.until("camera_back", 5)
    time.sleep(10)
    taken = []
    for _ in range(20):
        time.sleep(2.5)
        taken.append(program.taken())
    early, late = taken[:5], taken[-5:]
    grown_mib = min(one.memory_mib for one in late) - min(one.memory_mib for one in early)
    assert grown_mib < 2, taken
    assert {one.threads for one in taken} == {taken[0].threads}
    assert max(one.children for one in taken) == 3
    assert max(one.files for one in late) <= max(one.files for one in early)
    assert len(program.events("camera_lost")) > 20
    status, said = program.end()
    assert status == 0
    assert {line.split()[2] for line in said.splitlines()} == {"rtsp://cam/lost:"}
    counts = json.loads(json.dumps(program.events()[-1].facts["cameras"]))
    assert all(one["delivered"] > 500 for name, one in counts.items() if "lost" not in name)
