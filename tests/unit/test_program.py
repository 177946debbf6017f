"""The camera program: squares that walk through a film are told apart, and whatever is wrong is told in one line."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from runners.contract.event import Event
from runners.contract.loop_figures import from_json
from runners.edge import __main__ as edge
from runners.edge.backends.unusable import Unusable
from runners.edge.bell import Bell
from runners.edge.camera.camera import Counts
from runners.edge.events.segments import Events
from runners.edge.events.writer import Writer
from runners.edge.program import classifier as classifier_module
from runners.edge.program.classifier import Classifier
from runners.edge.program.costs import Costs
from runners.edge.program.drops import Drops
from runners.edge.program.rounds import Busiest, Due, Rounds
from runners.edge.program.view import View, picture_of
from runners.edge.refused import Failed
from tests import clips

RATE, COME_S = clips.RATE, clips.COME_S


@pytest.fixture(scope="module", autouse=True)
def threads_of_opencv() -> Iterator[None]:
    """The program sets their number; here other tests follow."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(threads)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clips.bundle(tmp_path_factory.mktemp("exported") / "openvino")


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clips.film(tmp_path_factory.mktemp("films") / "squares.avi", 3.2)


@pytest.fixture(scope="module")
def classifier(bundle: Path) -> Iterator[Classifier]:
    found = Classifier(str(bundle), 4, Bell(), threads=1)
    yield found
    found.close()


@pytest.fixture
def watched(classifier: Classifier) -> "Watched":
    return Watched(classifier)


class Watched:
    """One camera's view in a film whose time is ours, with all that it told."""

    def __init__(self, classifier: Classifier, choose: Callable[..., Any] | None = None) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []
        costs = Costs()
        self.view = View("door", clips.CLASSES, 1.0, costs, lambda event, **facts: self.told.append((event, facts)))
        self.rounds = Rounds(classifier, choose or Due(4), costs)
        self.number = 0

    def play(self, start_s: float, end_s: float, size: tuple[int, int] = (1280, 720)) -> None:
        for number in range(round(start_s * RATE), round(end_s * RATE)):
            self.number += 1
            image = cv2.resize(clips.picture(number / RATE), size)
            self.view.see(clips.frame(image, self.number, number / RATE), 100 + number / RATE)
            self.rounds.ask([self.view])
            self.rounds.finish()

    def events(self, name: str) -> list[dict[str, Any]]:
        return [facts for event, facts in self.told if event == name]


def test_each_square_is_decided_once_for_what_it_is_and_forgotten_when_it_left(watched: Watched) -> None:
    watched.play(0, COME_S + 1)
    decided = watched.events("track_decided")
    assert [facts["class"] for facts in sorted(decided, key=lambda facts: facts["box"])] == ["red", "blue"]
    assert len({facts["track"] for facts in decided}) == 2
    for facts in decided:
        assert facts["confidence"] >= 0.95
        assert 0.3 < facts["seen_for_s"] < 1
        assert facts["was"] is None
    watched.play(COME_S + 1, clips.GONE_S + 0.5)
    watched.play(clips.GONE_S + 5, clips.GONE_S + 5.2)
    gone = watched.events("track_gone")
    assert {(facts["track"], facts["was"]) for facts in gone} == {(f["track"], f["class"]) for f in decided}
    assert all(3 < facts["seen_for_s"] < 4.5 for facts in gone)
    assert watched.view.waiting() == []
    assert len(watched.told) == 4, "nothing else is told"


def test_a_decided_track_is_looked_at_less_often(watched: Watched) -> None:
    watched.play(0, COME_S + 0.5)
    assert watched.rounds.regions == 6, "two squares, undecided for half a second"
    watched.play(COME_S + 0.5, COME_S + 3.5)
    assert 4 <= watched.rounds.regions - 6 <= 8, "about once a second each"


def test_another_size_begins_anew_and_no_number_is_given_twice(watched: Watched) -> None:
    watched.play(0, COME_S + 1)
    watched.play(0, COME_S + 1, size=(640, 480))
    decided = watched.events("track_decided")
    assert len(decided) == len({facts["track"] for facts in decided}) == 4
    assert {facts["class"] for facts in decided[2:]} == {"red", "blue"}
    boxes = [facts["box"] for facts in decided[2:]]
    assert all(x >= 160 and x + w <= 1120 for x, _, w, _ in boxes), "a 4:3 picture stands in the middle of the frame"


@pytest.mark.parametrize(
    ("size", "box"),
    [((1280, 720), (0, 0, 1280, 720)), ((768, 576), (160, 0, 960, 720)), ((1920, 800), (0, 93, 1280, 533))],
)
def test_where_a_camera_s_picture_stands_in_the_frame(size: tuple[int, int], box: tuple[int, ...]) -> None:
    from runners.edge.loop.regions import to_frame

    assert picture_of(*size) == box
    shown = to_frame(np.full((size[1], size[0], 3), 255, np.uint8))[:, :, 0] > 0
    assert (int(shown.any(0).argmax()), int(shown.any(1).argmax())) == box[:2]
    assert (int(shown.any(0).sum()), int(shown.any(1).sum())) == box[2:]


@pytest.mark.parametrize("count", [0, 1, 2, 4])
def test_the_bench_classifies_as_many_as_it_is_told(classifier: Classifier, count: int) -> None:
    watched = Watched(classifier, Busiest(count))
    watched.play(0, COME_S + 1)
    assert watched.rounds.regions == round((COME_S + 1) * RATE) * count
    if count >= 2:  # the busiest are the squares, whose answers count
        assert {facts["class"] for facts in watched.events("track_decided")} == {"red", "blue"}


def test_regions_of_several_cameras_go_into_one_batch_as_they_would_alone(classifier: Classifier) -> None:
    views = [Watched(classifier).view for _ in range(2)]
    for number in range(26):
        for view, other in zip(views, (0, 0.3), strict=True):
            view.see(clips.frame(clips.picture(number / RATE + other), number, number / RATE), number / RATE)
    regions = [(view.picture, box) for view in views for box in sorted(view.boxes)][:4]
    assert len({id(picture) for picture, _ in regions}) == 2
    together = classifier.cut(regions).copy()
    for region, batch in zip(regions, together, strict=True):
        np.testing.assert_array_equal(classifier.cut([region])[0], batch)


def test_what_stops_the_runtime_stops_the_program(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(batch: Any) -> Any:
        raise RuntimeError("the GPU is gone")

    monkeypatch.setattr(classifier._backend, "infer", fail)
    watched = Watched(classifier)
    with pytest.raises(Failed, match="the network failed: the GPU is gone"):
        watched.play(0, COME_S + 1)


def test_a_network_that_cannot_calculate_is_told_before_the_start(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Backend:
        at_once = 1

        def infer(self, batch: Any) -> Any:
            raise RuntimeError("out of\nmemory")

        def close(self) -> None:
            pass

    monkeypatch.setattr(classifier_module, "open_backend", lambda *given: Backend())
    threads = threading.active_count()
    with pytest.raises(Unusable, match="it loads, but the network failed: out of memory"):
        Classifier(str(bundle), 4, Bell(), threads=1)
    assert threading.active_count() == threads


def test_a_runtime_that_hangs_stops_it_too(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hanging, release = Classifier(str(bundle), 4, Bell(), threads=1), threading.Event()
    monkeypatch.setattr(hanging._backend, "infer", lambda batch: release.wait() and np.zeros((4, 3)))
    monkeypatch.setattr(classifier_module, "HUNG_S", 0.1)
    hanging.start(np.zeros((4, 3, clips.SIZE, clips.SIZE), np.float32))
    assert hanging.answer() is None
    time.sleep(0.15)
    for ask in (hanging.answer, hanging.wait):
        with pytest.raises(Failed, match=r"has not answered for 0\.1 s"):
            ask()
    hanging.close()
    release.set()
    for thread in hanging._threads:
        thread.join()


def test_drops_are_told_at_once_and_then_not_too_often() -> None:
    drops, told = Drops(), []
    for second in range(35):
        news = drops.news(
            Counts(received=10 * second, delivered=7 * second, dropped=3 * second, damaged=0, lost=0), second
        )
        if news is not None:
            told.append((second, news))
    assert told == [
        (1, {"dropped": 3, "received": 10}), (11, {"dropped": 30, "received": 100}),
        (21, {"dropped": 30, "received": 100}), (31, {"dropped": 30, "received": 100}),
    ]  # fmt: skip
    assert Drops().news(Counts(9, 9, 0, 0, 0), 5.0) is None


class TestCommand:
    @pytest.fixture
    def run(self, bundle: Path, film: Path, tmp_path: Path) -> Callable[..., int]:
        def start(*words: str, **options: Any) -> int:
            given = {"bundle": bundle, "source": film, "threads": 1, "reader": "opencv", **options}
            if "bench" not in words:
                words, given = ("run", *words), {"events": tmp_path / "events", **given}
            return edge.main([*words, *(f"--{name}={value}" for name, value in given.items())])

        return start

    @staticmethod
    def events(folder: Path) -> list[Event]:
        return list(Events(str(folder)).after(0))

    def test_a_film_from_beginning_to_end(self, run: Callable[..., int], tmp_path: Path, film: Path) -> None:
        threads = threading.active_count()
        assert run(summary=tmp_path / "summary.json") == 0
        assert threading.active_count() == threads
        events = self.events(tmp_path / "events")
        names = [event.event for event in events]
        assert names[0] == "started"
        assert names[-1] == "stopped"
        assert {"camera_opened", "camera_ended"} <= set(names)
        decided = {event.facts["class"] for event in events if event.event == "track_decided"}
        assert decided == {"red", "blue"}
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        assert events[-1].facts["why"] == "all files are over"
        figures = from_json((tmp_path / "summary.json").read_text())
        counts = figures.cameras[str(film)]
        assert counts == events[-1].facts["cameras"][str(film)]
        assert counts["received"] == counts["delivered"] + counts["dropped"] == 32
        assert figures.frames == counts["delivered"]
        assert 0 < figures.regions < 4 * figures.frames
        assert figures.parts["decode"].cpu_ms > figures.parts["crop"].cpu_ms > 0  # type: ignore[operator]
        assert all(part.cpu_ms is not None for part in figures.parts.values())
        assert [path.name for path in tmp_path.glob("summary*")] == ["summary.json"]

    @pytest.mark.parametrize("verb", ["run", "bench"])
    def test_a_runtime_that_fails_is_one_line(
        self, run: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str], verb: str,
    ) -> None:  # fmt: skip
        from runners.edge.backends.openvino_model import Backend

        real, count = Backend.infer, iter(range(100))

        def infer(self: Any, batch: Any) -> Any:
            if next(count) > 9:  # the program has begun
                raise RuntimeError("the GPU\nis gone")
            return real(self, batch)

        monkeypatch.setattr(Backend, "infer", infer)
        assert run(*(["bench"] if verb == "bench" else [])) == 1
        assert capfd.readouterr().err.splitlines()[-1] == f"edge {verb}: the network failed: the GPU is gone"
        if verb == "run":
            assert self.events(tmp_path / "events")[-1].facts["why"] == "the network failed: the GPU is gone"

    def test_it_ends_after_the_time_given(self, run: Callable[..., int], tmp_path: Path) -> None:
        assert run(seconds=0.3) == 0
        assert self.events(tmp_path / "events")[-1].facts["why"] == "the time is over"

    @pytest.mark.parametrize("regions", [0, 4])
    def test_the_bench_tells_what_each_part_costs(
        self, run: Callable[..., int], capsys: pytest.CaptureFixture[str], regions: int
    ) -> None:
        assert run("bench", "--json", regions=regions, seconds=1e-9) == 0, "a frame of each round at least"
        capsys.readouterr()
        assert run("bench", "--json", regions=regions, seconds=0.6) == 0
        figures = from_json(capsys.readouterr().out)
        assert figures.regions == regions * figures.frames > 0 if regions else figures.frames > 0
        assert figures.fps == pytest.approx(figures.frames / figures.seconds, rel=0.01)
        assert len(figures.rounds_fps) == 5
        assert figures.threads == figures.device["threads"] == 1
        for name, part in figures.parts.items():
            assert part.cpu_ms is not None
            assert part.cpu_ms > 0 or (name in ("crop", "classify") and not regions)
        assert (figures.regions_per_second is None) == (regions == 0)
        assert len(figures.rounds_classifier_ms) == (5 if regions else 0)
        assert figures.readers_memory_mib
        assert figures.readers_memory_mib > 20

    WRONG = (
        ({"bundle": "nowhere"}, "nowhere: no exported model"),
        ({"source": "nowhere.avi"}, "nowhere.avi: no such file"),
        ({"bundle": "truncated"}, "is it whole?"),
        ({"bundle": "undescribed"}, "does not say how the model wants its images"),
        ({"source": "http://door/"}, "by rtsp:// only"),
        ({"source": "notes.avi"}, "notes.avi: no frame"),
        ({"device": "GPU.7"}, "OpenVINO sees no GPU.7 here"),
        ({"reader": "vlc"}, "no reader called vlc"),
        ({"seconds": -1}, "--seconds"),
    )

    @pytest.mark.parametrize(
        ("verb", "what", "words"),
        [*(("run", *case) for case in WRONG), *(("bench", *case) for case in WRONG[:2])],
        ids=str,
    )
    def test_what_is_wrong_is_one_line(
        self, run: Callable[..., int], bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str,
        what: dict[str, Any], words: str, capfd: pytest.CaptureFixture[str],
    ) -> None:  # fmt: skip
        monkeypatch.chdir(tmp_path)
        (tmp_path / "notes.avi").write_text("no film\n" * 1000)
        for name, file in (("truncated", "model.bin"), ("undescribed", "input.json")):
            shutil.copytree(bundle, tmp_path / name)
            broken = tmp_path / name / file
            broken.write_bytes(broken.read_bytes()[: broken.stat().st_size // 2])
        self.refused(run(*(["bench"] if verb == "bench" else []), **what), words, capfd)
        assert not (tmp_path / "events").exists() or what == {"source": "notes.avi"}, "found after it began"

    @pytest.mark.parametrize(
        ("what", "words"),
        [
            ({"events": "file"}, "file: no events can be written here: "),
            ({"events": "file/below"}, "file/below: no events can be written here: Not a directory"),
            ({"events": "/proc/events"}, "/proc/events: no events can be written here: "),
            ({"summary": "nowhere/summary.json"}, "nowhere/summary.json: no summary can be written there"),
            ({"size": "640"}, "640: no size for frames"),
        ],
        ids=lambda value: str(value),
    )
    def test_so_it_is_with_what_only_the_program_takes(
        self, run: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: dict[str, Any],
        words: str, capfd: pytest.CaptureFixture[str],
    ) -> None:  # fmt: skip
        monkeypatch.chdir(tmp_path)
        (tmp_path / "file").write_text("")
        self.refused(run(**what), words, capfd)

    def test_a_full_disk_is_told_before_anything_starts(
        self, run: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=3 * 4096))
        self.refused(run(), "no events can be written here: the disk is full; make room", capfd)

    def test_two_programs_do_not_write_into_one_folder(
        self, run: Callable[..., int], tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        writer = Writer(str(tmp_path / "events"))
        try:
            self.refused(run(), "another program writes its events here", capfd)
        finally:
            writer.close()

    def refused(self, status: int, words: str, capfd: pytest.CaptureFixture[str]) -> None:
        said = capfd.readouterr()
        assert status == 2
        assert said.out == ""
        assert words in said.err
        assert said.err.count("\n") == 1, said.err
