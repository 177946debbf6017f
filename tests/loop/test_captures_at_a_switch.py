"""The model changes while the camera program captures: each capture is of the model that judged it, and whole."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pipeline.system import files
from runners.contract import bundle, camera_state, capture_facts, device_folder
from runners.contract.camera_state import CameraState
from runners.contract.capture_facts import FACTS, PICTURE, Capture
from runners.edge import durable
from runners.edge.loop.regions import fit
from tests import clips
from tests.graphs import Array
from tests.loop.program import Program
from tests.scenes import scene

TRUE, FALSE = (
    "0123456789ab",
    "ab0123456789",
)  # the slot of a model that tells red from blue, and of one that mixes them up
SURE = {TRUE: 40.0, FALSE: -40.0}
WIDTH, HEIGHT, RATE, SECONDS = 320, 180, 12.5, 24
LANES = (10, 65, 120)  # tops of where people walk
OF_EACH = 3  # captures between two switches


def street(file: Path) -> Path:
    """Frames in which one person after the other walks along each lane, in red or blue, none in the same pattern."""
    chance = np.random.default_rng(3)
    ground = cv2.resize(chance.integers(80, 120, (9, 16, 3), np.uint8), (WIDTH, HEIGHT))
    people = {}
    with file.open("wb") as stream:
        for number in range(round(SECONDS * RATE)):
            image, time_s = ground.copy(), number / RATE - 1.5
            for lane, top in enumerate(LANES):
                walked_s = (time_s + lane) % 3
                if time_s < 0 or walked_s > 2.4:
                    continue
                who = lane, (time_s + lane) // 3
                if who not in people:
                    pattern = cv2.resize(chance.integers(0, 120, (5, 3, 3), np.uint8), (18, 36), interpolation=0)
                    pattern[:, :, 2 if len(people) % 2 else 0] |= 128
                    people[who] = pattern
                left = 20 + round(50 * walked_s)
                image[top : top + 36, left : left + 18] = people[who]
            stream.write(cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420).tobytes())
    return file


@pytest.fixture
def home(tmp_path: Path) -> Path:
    found = tmp_path / "home"
    for slot, sure in SURE.items():
        clips.bundle(found / "slots" / slot / bundle.MODEL, "onnxruntime", sure)
        about = bundle.Manifest("tiny", "fp32", "atom", slot, "onnxruntime", clips.CLASSES, 0.0, 0, {}, {})
        files.write_json(found / "slots" / slot / bundle.MANIFEST, bundle.as_json(about))
    switch(found, TRUE)
    return found


def switch(home: Path, slot: str) -> None:
    durable.point(str(home / device_folder.CURRENT), f"{device_folder.SLOTS}/{slot}")


@pytest.fixture
def program(home: Path, cameras: dict[str, str], tmp_path: Path) -> Iterator[Program]:
    walk = str(street(tmp_path / "street.i420"))
    door = scene(tmp_path, "door", [["size", WIDTH, HEIGHT], ["play", walk, 1 / RATE]])
    most = dict.fromkeys(("most_a_minute", "most_an_hour", "most_a_day"), 10000)
    wanted = {"device": "camera-17", "random_share": 1.0, "blur_heads": False, **most}
    files.write_json(tmp_path / "capture.json", wanted)
    given = [f"--home={home}", "--threads=1", "--reader=ffmpeg", f"--source={door}"]
    found = Program(tmp_path / "events", cameras, *given, f"--capture={tmp_path / 'capture.json'}")
    yield found
    found.process.kill()
    found.wait_for_the_end()


def kept(home: Path) -> list[tuple[Capture, Array]]:
    """What lies in the spool; each picture is the one that its facts are about."""
    found = []
    names = sorted(path.name for path in (home / device_folder.SPOOL).iterdir() if not path.name.startswith("."))
    for stem in sorted({name.split(".")[0] for name in names}):
        assert {stem + FACTS, stem + PICTURE} <= set(names), f"{stem} is half"
        facts = capture_facts.from_json(json.loads((home / device_folder.SPOOL / (stem + FACTS)).read_text()))
        content = (home / device_folder.SPOOL / (stem + PICTURE)).read_bytes()
        assert (facts.id, facts.sha256) == (stem, hashlib.sha256(content).hexdigest())
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None
        assert picture.shape == (facts.height, facts.width, 3)
        found.append((facts, picture))
    assert len(names) == 2 * len(found)
    return found


def says(picture: Array, slot: str) -> Array:
    """The probabilities that a slot's model gives to a region, calculated by hand."""
    colour = fit(picture, clips.SIZE).mean((0, 1)) / 255 - 0.5
    shares = np.exp(colour @ clips.weights(SURE[slot]))
    return np.asarray(shares / shares.sum())


def test_each_capture_is_of_the_model_that_judged_it(program: Program, home: Path) -> None:
    def state(wanted: Callable[[CameraState], Any]) -> CameraState:
        found: list[CameraState] = []

        def look() -> bool:
            file = home / device_folder.STATE
            found[:] = [camera_state.from_json(json.loads(file.read_text()))] if file.exists() else []
            return bool(found) and bool(wanted(found[0]))

        program.wait(look)
        return found[0]

    dropped = []
    for times, slot in enumerate((FALSE, TRUE, FALSE), 1):
        program.until("captured", len(program.events("captured")) + OF_EACH)
        before = state(lambda _: True)
        switch(home, slot)
        assert program.until("model_switched", times).facts["slot"] == slot
        after = state(lambda found, slot=slot, before=before: found.slot == slot and found.frames > before.frames)  # type: ignore[misc]
        dropped.append(after.dropped - before.dropped)
    program.until("captured", len(program.events("captured")) + OF_EACH)
    assert program.end() == (0, "")
    assert min(dropped) <= 1, "at most one frame; a busy machine may drop some by itself, not every time"

    [ended] = program.events("captures_ended")
    captures, told = kept(home), [event.facts["id"] for event in program.events("captured")]
    assert [facts.id for facts, _ in captures] == told, "none is lost"
    assert [int(one.split("-")[0]) for one in told] == list(range(1, len(told) + 1))
    assert (ended.facts["kept"], ended.facts["failed"], ended.facts["dropped"]) == (len(told), 0, 0)
    for facts, picture in captures:
        by = {slot: np.abs(says(picture, slot) - [facts.answer[name] for name in clips.CLASSES]).max() for slot in SURE}
        other = TRUE if facts.version == FALSE else FALSE
        assert by[str(facts.version)] < 1e-3, f"{facts.id}: {facts.version} did not answer that"
        assert by[other] > 0.05
    of = Counter(facts.version for facts, _ in captures)
    assert min(of[TRUE], of[FALSE]) >= OF_EACH, of
