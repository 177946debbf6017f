"""The model of the device's folder changes while the camera program runs, or cannot, and the camera goes on."""

import io
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.system import files
from runners.contract import bundle, camera_state, device_folder
from runners.contract.camera_state import CameraState
from runners.edge import durable, procfs
from runners.edge.backends.unusable import Unusable
from runners.edge.bell import Bell
from runners.edge.program.classifier import Classifier
from runners.edge.program.costs import Costs
from runners.edge.program.model_switch import Models, Progress
from runners.edge.program.view import View
from tests import clips
from tests.loop.program import Program
from tests.scenes import scene
from tests.waiting import until

OLD, NEW, BAD = "0123456789ab", "ab0123456789", "bad123456789"
LIMIT_S = 60.0


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A device's folder with a model that runs, another, and one that cannot be loaded."""
    for slot in (OLD, NEW, BAD):
        folder = tmp_path / "home/slots" / slot
        clips.bundle(folder / bundle.MODEL, "onnxruntime")
        about = bundle.Manifest("tiny", "fp32", "atom", slot[:3], "onnxruntime", clips.CLASSES, 0.0, 0, {}, {})
        files.write_json(folder / bundle.MANIFEST, bundle.as_json(about))
    (tmp_path / "home/slots" / BAD / bundle.MODEL / "model.onnx").write_bytes(b"torn")
    switch(tmp_path / "home", OLD)
    return tmp_path / "home"


def switch(home: Path, slot: str) -> None:
    durable.point(str(home / device_folder.CURRENT), f"{device_folder.SLOTS}/{slot}")


def state(home: Path) -> CameraState | None:
    file = home / device_folder.STATE
    return camera_state.from_json(json.loads(file.read_text())) if file.exists() else None


@pytest.fixture
def program(home: Path, cameras: dict[str, str], tmp_path: Path) -> Iterator[Program]:
    door = scene(tmp_path, "door", [["size", 320, 240], ["frames", 100000, 0.08]])
    given = [f"--home={home}", "--threads=1", "--reader=ffmpeg", f"--source={door}"]
    found = Program(tmp_path / "events", cameras, *given)
    yield found
    found.process.kill()
    found.wait_for_the_end()


def test_it_follows_current_and_goes_on_where_it_cannot(program: Program, home: Path) -> None:
    def says(wanted: Callable[[CameraState], Any]) -> CameraState:
        program.wait(lambda: (found := state(home)) is not None and wanted(found))
        found = state(home)
        assert found is not None
        return found

    dropped = []
    says(lambda found: found.frames > 0)
    for times, slot in enumerate((NEW, OLD, NEW), 1):
        before = says(lambda _: True)
        switch(home, slot)
        assert program.until("model_switched", times).facts["slot"] == slot
        after = says(lambda found, slot=slot, before=before: found.slot == slot and found.frames > before.frames)  # type: ignore[misc]
        dropped.append(after.dropped - before.dropped)
    assert min(dropped) <= 1, "at most one frame; a busy machine may drop some by itself, not every time"
    switch(home, BAD)
    refused = program.until("model_refused").facts
    assert (refused["slot"], refused["runs"]) == (BAD, NEW)
    found = says(lambda found: found.refused == BAD)
    assert found.slot == NEW
    assert "ONNX Runtime does not run it" in (found.why or "")
    switch(home, NEW)
    now = says(lambda found: found.refused is None)
    says(lambda found: found.frames > now.frames)
    assert program.end() == (0, "")
    assert program.events()[0].facts["bundle"] == str(home / "slots" / OLD / "model")


class Loader:
    """Loads when it may, and remembers what it was told."""

    def __init__(self) -> None:
        self.may, self.told, self.bell = threading.Event(), list[tuple[str, dict[str, Any]]](), Bell()
        self.may.set()

    def __call__(self, folder: str) -> Classifier:
        assert self.may.wait(LIMIT_S)
        return Classifier(folder, 4, self.bell, threads=1)

    def tell(self, event: str, **facts: Any) -> None:
        self.told.append((event, facts))


def test_the_running_model_answers_while_another_is_loaded(home: Path) -> None:
    load = Loader()
    models = Models(str(home), load)
    models.start(load.tell, lambda: (Progress(7, 1), False))
    running = models.classifier
    load.may.clear()
    switch(home, NEW)
    until(lambda: models._loading)
    running.start(np.zeros((1, 3, clips.SIZE, clips.SIZE), np.float32))
    assert len(running.wait().scores) == 1
    assert models.fresh() is None
    load.may.set()
    fresh = until(models.fresh)
    assert fresh is models.classifier is not running
    assert load.told == [
        ("model_switched", {"slot": NEW, "was": OLD, "version": NEW[:3], "classes": clips.CLASSES}),
    ]  # fmt: skip
    until(lambda: (found := state(home)) and found.slot == NEW)
    found = state(home)
    assert found is not None
    assert (found.frames, found.dropped, found.refused) == (7, 1, None)
    models.stop()
    models.close()


def test_a_model_that_is_taken_back_while_it_is_loaded_never_runs(home: Path) -> None:
    load = Loader()
    models = Models(str(home), load).start(load.tell, lambda: (Progress(0, 0), False))
    load.may.clear()
    switch(home, NEW)
    loading = until(lambda: models._loading)
    switch(home, OLD)
    load.may.set()
    loading.join(LIMIT_S)
    assert models.fresh() is None
    assert models.slot == OLD
    models.stop()
    models.close()


def test_where_current_cannot_be_loaded_it_starts_with_the_one_before(home: Path) -> None:
    switch(home, BAD)
    load = Loader()
    models = Models(str(home), load)
    assert models.slot == OLD, "the older one of those that are there"
    with pytest.raises(Unusable, match="another camera program runs with this folder"):
        Models(str(home), Loader())
    models.start(load.tell, lambda: (Progress(0, 0), False))
    [(event, facts)] = load.told
    assert (event, facts["slot"], facts["runs"]) == ("model_refused", BAD, OLD)
    models.stop()
    models.close()


def test_without_any_model_it_says_so(home: Path, tmp_path: Path) -> None:
    with pytest.raises(Unusable, match="there is no model yet"):
        Models(str(tmp_path / "nothing"), Loader())
    assert not (tmp_path / "nothing").exists()
    for slot in (OLD, NEW):
        (home / "slots" / slot / bundle.MODEL / "model.onnx").unlink()
    with pytest.raises(Unusable, match="no exported model"):
        Models(str(home), Loader())


def test_other_classes_begin_what_is_believed_anew() -> None:
    view = View("door", ["a", "b"], 1.0, Costs(), lambda *_, **__: None)
    view.see(clips.frame(clips.picture(clips.COME_S), 1, 0.0), 0.0)
    for number in range(2, 12):
        view.see(clips.frame(clips.picture(clips.COME_S + number / 10), number, number / 10), number / 10)
    tracks = [waiting.track for waiting in view.waiting()]
    assert tracks
    believed = view._known[tracks[0]].decision
    view.begin_model(["a", "b"], 1.0)
    assert view._known[tracks[0]].decision is believed
    view.begin_model(["a", "b", "c"], 1.0)
    view.learn(tracks[0], view.alone[tracks[0]], np.array([0.0, 0.0, 9.0], np.float32), 2.0)


def test_a_thread_that_ends_while_it_is_asked_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks take their threads along, and the kernel says so only when the file is read."""

    class Ended(io.StringIO):
        def read(self, *_: Any) -> str:
            raise ProcessLookupError(3, "No such process")

    monkeypatch.setattr(procfs, "open", lambda *_, **__: Ended(), raising=False)
    assert procfs.threads_cpu_s([1, 2]) == 0.0
