"""What a device keeps to learn from: the right regions, few, whole, within bounds, and only if it was told to."""

import csv
import errno
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import imagehash
import numpy as np
import pytest
from PIL import Image

from pipeline.data.clip import CLIP_NAME, read_frames
from runners.contract import bundle as bundles
from runners.contract import capture_facts, device_folder, model_input, records
from runners.contract.capture_facts import REASONS, Capture
from runners.edge.bell import Bell
from runners.edge.capture import keeper as keeper_module
from runners.edge.capture import spool as spool_module
from runners.edge.capture import wanted as wanted_module
from runners.edge.capture.allowance import SAVED_S, Allowance
from runners.edge.capture.dhash import Remembered, dhash, differing_bits
from runners.edge.capture.drifting import WINDOW, Drift, Reference, reference
from runners.edge.capture.heads import blur
from runners.edge.capture.keeper import Keeper
from runners.edge.capture.reasons import reasons
from runners.edge.capture.spool import Spool
from runners.edge.capture.wanted import Wanted
from runners.edge.loop.regions import Box, crop, cut, normalise
from runners.edge.program.classifier import Classifier
from runners.edge.program.costs import Costs
from runners.edge.program.rounds import Due, Rounds
from runners.edge.program.view import View
from runners.edge.tracking.reading import probabilities
from tests import clips
from tests.old_python import python_3_6

REPOSITORY = Path(__file__).resolve().parents[2]
SCALING: tuple[model_input.Rgb, model_input.Rgb] = ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
FACTS = Capture("", "camera-17", "1-door", "aa.1-door.7", 1.5, "random", None, {"a": 1.0}, 9, 9, "", "0" * 16)


class Clock:
    """The monotonic one, by hand."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def pictures(count: int, size: int = 120, seed: int = 0) -> list[np.ndarray[Any, Any]]:
    """Coloured clouds, none like another."""
    chance = np.random.default_rng(seed)
    small = [chance.integers(0, 256, (7, 7, 3), np.uint8) for _ in range(count)]
    return [cv2.resize(one, (size + index % 50, size + index % 50)) for index, one in enumerate(small)]


def open_spool(home: Path, **bounds: int) -> Spool:
    return Spool(str(home), **{"most_bytes": 1 << 30, "least_room": 0, **bounds})


def names(home: Path) -> list[str]:
    return sorted(path.name for path in (home / device_folder.SPOOL).iterdir() if path.name != ".lock")


@pytest.mark.parametrize(
    ("probabilities", "decided", "drifts", "drawn", "found"),
    [
        ([0.9, 0.1, 0.0], 0, False, False, []), ([0.9, 0.1, 0.0], None, False, False, []),
        ([0.9, 0.1, 0.0], 2, False, False, ["disagrees"]), ([0.5, 0.4, 0.1], 0, False, False, ["unsure"]),
        ([0.4, 0.5, 0.1], 0, True, True, ["disagrees", "unsure", "drifts", "random"]),
        ([0.9, 0.1, 0.0], 0, True, False, ["drifts"]), ([0.9, 0.1, 0.0], 0, False, True, ["random"]),
        ([1.0], 0, False, False, []),
    ],
)  # fmt: skip
def test_why_a_region_is_kept(
    probabilities: list[float], decided: int | None, drifts: bool, drawn: bool, found: list[str]
) -> None:
    assert reasons(np.array(probabilities), decided, drifts, 0.2, drawn) == found
    assert set(found) <= set(REASONS)


def test_probabilities_are_those_of_the_network_s_temperature() -> None:
    assert probabilities(np.array([0.0, np.log(3) * 2], np.float32), 2.0) == pytest.approx([0.25, 0.75])


def judged_by(folder: Path, samples: np.ndarray[Any, Any]) -> Reference | None:
    """What a bundle with these samples is judged by."""
    np.save(folder / "regions.npy", samples)
    size = samples.shape[2]
    (folder / model_input.NAME).write_text(
        json.dumps(model_input.as_json(model_input.ModelInput(size, *SCALING, ["a"])))
    )
    return reference(str(folder / "regions.npy"), str(folder))


def test_drift_is_a_change_of_light_or_contrast_and_not_who_walks_by(tmp_path: Path) -> None:
    chance = np.random.default_rng(5)

    def seen(count: int, gain: float = 1.0, lift: float = 0.0) -> np.ndarray[Any, Any]:
        """Grounds as different as the default clip's: 0.52 +- 0.13 on average, somebody darker in front."""
        grounds = np.clip(chance.normal(0.52, 0.13, (count, 1, 1, 3)), 0, 1) + chance.normal(
            0, 0.15, (count, 32, 32, 3)
        )
        grounds[:, 3:14, 6:10] = chance.uniform(0, 0.4, (count, 1, 1, 3))
        return (np.clip(grounds * gain + lift, 0, 1) * 255).astype(np.uint8)

    def passers_by(*given: Any) -> np.ndarray[Any, Any]:
        return normalise(seen(*given), *SCALING)

    samples = seen(16)
    expected = judged_by(tmp_path, samples)
    as_taken = judged_by(tmp_path, normalise(samples, *SCALING))
    assert expected is not None
    assert as_taken is not None
    assert np.array_equal(as_taken.mean, expected.mean), "samples that never were pictures are judged by alike"

    def share(*change: float) -> float:
        drift = Drift(expected)
        return float(np.mean([drift.look("door", region) for region in passers_by(2 * WINDOW, *change)][WINDOW:]))

    assert share() == 0
    assert share(0.5) == 1
    assert share(1.0, 60 / 255) == 1
    assert share(0.3, 0.3) == 1, "a fog"
    drift = Drift(expected)
    dark = [drift.look("yard", region) for region in passers_by(WINDOW, 0.5)]
    assert dark == [False] * (WINDOW - 1) + [True], "nothing is said before so many"
    assert not drift.look("door", passers_by(1)[0]), "each camera by itself"


@pytest.mark.nightly
def test_the_default_clip_drifts_when_its_light_changes_and_not_as_it_is(tmp_path: Path) -> None:
    clip, labels = REPOSITORY / "data" / CLIP_NAME, REPOSITORY / "data/labels.csv"
    if not clip.is_file():
        pytest.skip("the default clip is not here: `edgeproof data fetch`")
    boxes: dict[int, list[Box]] = {}
    for row in csv.DictReader(labels.read_text().splitlines()):
        boxes.setdefault(int(row["frame"]), []).append(Box(*(int(row[side]) for side in "xywh")))
    seen = np.stack(
        [crop(frame, box, 96) for number, frame in enumerate(read_frames(clip)) for box in boxes.get(number, [])]
    )

    def as_seen(gain: float, lift: float) -> np.ndarray[Any, Any]:
        return np.clip(seen[:, ::4, ::4] * np.float32(gain) + lift, 0, 255).astype(np.uint8)

    shares: dict[str, list[float]] = {"as it is": [], "dark": [], "bright": []}
    for seed in range(10):
        chosen = np.random.default_rng(seed).choice(len(seen), 16, replace=False)
        expected = judged_by(tmp_path, as_seen(1, 0)[chosen])
        assert expected is not None
        for name, regions in zip(shares, (as_seen(1, 0), as_seen(0.5, 0), as_seen(1, 60)), strict=True):
            drift, taken = Drift(expected), normalise(regions, *SCALING)
            shares[name].append(float(np.mean([drift.look("door", region) for region in taken][WINDOW:])))
    assert max(shares["as it is"]) == 0
    assert min(shares["dark"]) == 1
    assert min(shares["bright"]) > 0.99


@pytest.mark.parametrize("content", [None, b"", b"no array", 3, 2])
def test_without_usable_samples_nothing_drifts(tmp_path: Path, content: bytes | int | None) -> None:
    model, file = clips.bundle(tmp_path / "model", "onnxruntime"), tmp_path / "regions.npy"
    if isinstance(content, int):
        np.save(file, np.zeros((content, clips.SIZE, clips.SIZE, 3) if content == 3 else (20, 20), np.uint8))
    elif content is not None:
        file.write_bytes(content)
    assert reference(str(file), str(model)) is None


def test_a_hash_is_imagehash_s_own() -> None:
    far = []
    for picture in [*pictures(60), np.zeros((8, 8, 3), np.uint8), *pictures(20, 9), *pictures(5, 700)]:
        theirs = str(imagehash.dhash(Image.fromarray(picture[:, :, ::-1])))
        far.append(differing_bits(dhash(picture), theirs))
    assert max(far) <= 2
    assert np.mean(far) < 0.1
    assert len({dhash(picture) for picture in pictures(60)}) == 60


def test_a_picture_that_is_alike_is_known() -> None:
    first, other = pictures(2)
    remembered = Remembered([dhash(first)])
    moved = cv2.convertScaleAbs(np.roll(first, 1, axis=1), alpha=0.95, beta=4)
    assert remembered.knows(dhash(moved))
    assert not remembered.knows(dhash(other))
    remembered.add(dhash(other))
    assert remembered.knows(dhash(other))


def test_a_blurred_head_is_sixteen_colours_and_the_rest_is_as_it_was() -> None:
    region = np.random.default_rng(1).integers(0, 256, (240, 240, 3), np.uint8)
    seen = region.copy()
    blur(seen, [Box(90, 20, 60, 200), Box(200, -30, 80, 200), Box(-90, 10, 60, 200), Box(0, 300, 50, 50)])
    head = seen[4:64, 84:156]
    assert len(np.unique(head.reshape(-1, 3), axis=0)) <= 16
    assert (seen[70:] == region[70:]).all()
    assert (seen[:, :80] == region[:, :80]).all()
    assert len(np.unique(seen[:12, 195:].reshape(-1, 3), axis=0)) <= 16, "of who stands beside, too"


def test_caps_hold_by_time_that_ran_whatever_the_wall_clock_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: pytest.fail("the wall clock may be anything"))
    clock, file = Clock(), str(tmp_path / "captured.json")
    wanted = Wanted("d", most_a_minute=4, most_an_hour=8, most_a_day=10)
    allowance, made = Allowance(file, wanted, clock), list[tuple[float, str]]()
    chance = np.random.default_rng(0)
    for step in range(25000):
        clock.now_s += 5
        reason = REASONS[int(chance.integers(4))]
        if allowance.allows(reason):
            allowance.take(reason)
            made.append((clock.now_s, reason))
        if step % 1000 == 999:
            allowance = Allowance(file, wanted, clock)  # the program starts anew
    for period_s, most in ((60, 4), (3600, 8), (86400, 10)):
        for begin_s, _ in made:
            inside = [reason for time_s, reason in made if begin_s <= time_s < begin_s + period_s]
            assert len(inside) <= most
            assert max(inside.count(reason) for reason in REASONS) <= -(-most // 4)
    assert len(made) >= 12, "in a day and more"


def test_one_reason_leaves_room_for_the_others(tmp_path: Path) -> None:
    allowance = Allowance(str(tmp_path / "captured.json"), Wanted("d", most_a_minute=8), Clock())
    for _ in range(2):
        assert allowance.allows("drifts")
        allowance.take("drifts")
    assert not allowance.allows("drifts")
    assert allowance.allows("random")
    assert allowance.is_open


def test_after_a_power_cut_the_counts_go_on_and_time_off_is_no_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, file, wanted = Clock(), str(tmp_path / "captured.json"), Wanted("d", most_a_minute=1)
    allowance = Allowance(file, wanted, clock)
    allowance.take("random")
    clock.now_s += SAVED_S - 1
    allowance.tick()
    monkeypatch.setattr("runners.edge.procfs.boot", lambda: "another")
    clock.now_s = 5.0
    again = Allowance(file, wanted, clock)
    assert not again.is_open, "nobody knows how long the device was off"
    clock.now_s += 61
    assert again.is_open
    Path(file).write_bytes(b"\0" * 80)
    assert Allowance(file, wanted, clock).is_open


def test_a_capture_is_its_picture_and_facts_that_the_contract_takes(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    [stem] = [spool.keep(FACTS, b"picture")]
    found = capture_facts.from_json(records.load(str(tmp_path / device_folder.SPOOL / f"{stem}.json")))
    assert found.id == stem
    assert names(tmp_path) == [f"{stem}.json", f"{stem}.png"]
    with pytest.raises(ValueError, match="another program keeps its captures here"):
        open_spool(tmp_path)
    spool.close()
    again = open_spool(tmp_path)
    assert again.keep(FACTS, b"another") > stem, "numbers go on"
    assert again.hashes() == ["0" * 16] * 2
    again.close()


@pytest.mark.parametrize("bounds", [{"most_files": 5}, {"most_bytes": 7000}])
def test_the_oldest_make_room_and_are_counted(tmp_path: Path, bounds: dict[str, int]) -> None:
    spool = open_spool(tmp_path, **bounds)
    kept = [spool.keep(FACTS, bytes(1000)) for _ in range(20)]
    left = sorted({name.split(".")[0] for name in names(tmp_path)})
    assert left == kept[-5:]
    assert spool.counts == (20, 0, 15, 0)
    spool.close()
    spool = open_spool(tmp_path, **bounds)
    kept.append(spool.keep(FACTS, bytes(1000)))
    assert sorted({name.split(".")[0] for name in names(tmp_path)}) == kept[-5:]
    spool.close()


def test_halves_that_a_cut_left_are_cleaned_up(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    kept = spool.keep(FACTS, b"picture")
    spool.close()
    folder = tmp_path / device_folder.SPOOL
    for number, suffix in ((7, ".png"), (8, ".json"), (9, ".json.part")):
        (folder / f"{number:010d}-{'a' * 16}{suffix}").write_bytes(b"")
    (folder / "notes.txt").write_text("somebody's own")
    spool = open_spool(tmp_path)
    assert names(tmp_path) == [f"{kept}.json", f"{kept}.png", "notes.txt"]
    assert spool.counts.halves == 3
    spool.close()


def test_the_agent_s_list_can_name_captures_only(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    kept = [spool.keep(FACTS, b"picture") for _ in range(3)]
    acknowledged = tmp_path / device_folder.ACKNOWLEDGED
    acknowledged.parent.mkdir()
    for content in (b"", b"{}", b"[]", b'{"captures": 7}', b'{"captures": {"a": 1}}', b"\0" * 9, b"[" * 100000):
        acknowledged.write_bytes(content)
        assert spool.forget() == 0
    (tmp_path / "camera/state.json").write_text("{}")
    acknowledged.write_text(json.dumps({"captures": [kept[1], "../state", ".lock", "*", None, ["x"], kept[1], "no"]}))
    assert spool.forget() == 1
    assert (tmp_path / "camera/state.json").exists()
    assert sorted({name.split(".")[0] for name in names(tmp_path)}) == [kept[0], kept[2]]
    assert spool.forget() == 0
    assert spool.counts.sent == 1
    spool.close()


def test_a_full_disk_or_one_that_fails_keeps_nothing_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = open_spool(tmp_path)
    kept = spool.keep(FACTS, b"picture")
    for name, number in (("write", errno.ENOSPC), ("fsync", errno.EIO), ("replace", errno.EROFS)):

        def failing(*_: Any, number: int = number) -> None:
            raise OSError(number, "trouble")

        with monkeypatch.context() as broken:
            broken.setattr(spool_module.os, name, failing)
            with pytest.raises(OSError, match="trouble"):
                spool.keep(FACTS, b"another")
        assert names(tmp_path) == [f"{kept}.json", f"{kept}.png"]
    spool.close()
    spool = open_spool(tmp_path, least_room=1 << 62)
    with pytest.raises(OSError, match="No space left"):
        spool.keep(FACTS, b"another")
    spool.close()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "it is no JSON"), ("{}", "device is missing"), ('{"device": "a b"}', "device: give letters"),
        ('{"device": "d", "speed": 1}', "speed is no setting; there are device, home"),
        ('{"device": "d", "random_share": 2}', "random_share: give 0 to 1"),
        ('{"device": "d", "most_a_day": 0}', "most_a_day: give 1"),
        ('{"device": "d", "blur_heads": 1}', "of another kind"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_are_said_in_one_line(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "capture.json").write_text(content)
    with pytest.raises(ValueError, match="does not say what to capture") as told:
        wanted_module.read(str(tmp_path / "capture.json"))
    assert words in str(told.value)
    assert "\n" not in str(told.value)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Classifier]:
    folder = clips.bundle(tmp_path_factory.mktemp("slot") / "model")
    found = Classifier(str(folder), 4, Bell(), threads=1)
    found.folder = folder  # type: ignore[attr-defined]
    yield found
    found.close()


class Watched:
    """The film of squares, looked at with a keeper."""

    def __init__(self, classifier: Classifier, wanted: Wanted, spool: Spool) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []
        tell: Callable[..., Any] = lambda event, **facts: self.told.append((event, facts))  # noqa: E731
        self.keeper = Keeper(wanted, ["rtsp://10.0.0.7/hall?password=12345"], tell, spool)
        self.keeper.model(str(classifier.folder), classifier.classes, classifier.temperature)  # type: ignore[attr-defined]
        costs = Costs()
        self.view = View("rtsp://10.0.0.7/hall?password=12345", clips.CLASSES, 1.0, costs, lambda *_, **__: None)
        self.rounds = Rounds(classifier, Due(4), costs, self.keeper)

    def play(self, end_s: float) -> None:
        for number in range(round(clips.COME_S * clips.RATE) - 15, round(end_s * clips.RATE)):
            self.view.see(
                clips.frame(clips.picture(number / clips.RATE), number, number / clips.RATE), 100 + number / clips.RATE
            )
            self.rounds.ask([self.view])
            self.rounds.finish()
        self.keeper.close()

    def ended(self) -> dict[str, Any]:
        event, facts = self.told[-1]
        assert event == "captures_ended"
        return facts


def kept(home: Path) -> list[tuple[Capture, np.ndarray[Any, Any]]]:
    found = []
    for name in names(home):
        if name.endswith(".json"):
            facts = capture_facts.from_json(records.load(str(home / device_folder.SPOOL / name)))
            found.append((facts, cv2.imread(str(home / device_folder.SPOOL / f"{facts.id}.png"))))
    return found


def test_regions_are_kept_as_they_were_cut_with_what_was_answered(classifier: Classifier, tmp_path: Path) -> None:
    watched = Watched(
        classifier,
        Wanted("camera-17", str(tmp_path), random_share=1.0, blur_heads=False, most_a_minute=100),
        open_spool(tmp_path),
    )
    watched.play(clips.COME_S + 2)
    found = kept(tmp_path)
    assert 2 <= len(found) <= 6, "two squares, three of each at most"
    assert len(found) == watched.ended()["kept"]
    assert {facts.group for facts, _ in found} == {
        facts["group"] for event, facts in watched.told if event == "captured"
    }
    assert len({facts.group for facts, _ in found}) == 2
    for facts, picture in found:
        assert (facts.device, facts.camera, facts.version) == ("camera-17", "1-stream", None)
        assert facts.group.split(".", 1)[1] in ("1-stream.0", "1-stream.1"), "where a camera is, and how, stays here"
        assert facts.reason in ("random", "unsure")
        assert sum(facts.answer.values()) == pytest.approx(1, abs=1e-3)
        assert list(facts.answer) == clips.CLASSES
        assert picture.shape == (facts.height, facts.width, 3)
        assert facts.dhash == dhash(picture)
        middle = picture[facts.height // 2, facts.width // 2].astype(int)
        colour = max(facts.answer, key=lambda name: facts.answer[name])
        assert np.abs(middle - (clips.RED if colour == "red" else clips.BLUE)).max() < 30


def test_what_is_kept_is_what_the_network_was_asked_about(classifier: Classifier, tmp_path: Path) -> None:
    keeper = Keeper(Wanted("d", str(tmp_path)), ["door"], lambda *_, **__: None, open_spool(tmp_path))
    picture = pictures(1, 900)[0][:720]
    for box in (Box(100, 100, 60, 150), Box(3, 5, 40, 90), Box(-5, 600, 200, 119)):
        found = keeper.cut(picture, box, [box, Box(box.x + 10, box.y, 20, 20)])
        assert found is not None
        assert (found.region == cut(picture, box)).all()
        inside = found.boxes[0]
        assert 2 * inside.x + inside.w == pytest.approx(len(found.region), abs=2), "the box is in its middle"
        assert found.boxes[1].x == inside.x + 10
    keeper.close()


def test_caps_blur_and_likeness_hold_in_the_program(classifier: Classifier, tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    watched = Watched(classifier, Wanted("d", str(tmp_path), random_share=1.0, most_a_minute=4), spool)
    watched.play(clips.COME_S + 2)
    found = kept(tmp_path)
    assert len([facts for facts, _ in found if facts.reason == "random"]) == 1, "a quarter of the cap"
    facts, picture = found[0]
    head = picture[round(0.1 * facts.height) : round(0.2 * facts.height), facts.width // 3 : facts.width // 2]
    assert len(np.unique(head.reshape(-1, 3), axis=0)) <= 6
    again = Watched(classifier, Wanted("d", str(tmp_path), random_share=1.0, most_a_minute=400), open_spool(tmp_path))
    again.play(clips.COME_S + 2)
    assert again.ended()["alike"] > 0, "what was kept by the program before it is known"


def test_by_default_a_sure_network_on_known_ground_keeps_nothing(classifier: Classifier, tmp_path: Path) -> None:
    watched = Watched(classifier, Wanted("d", str(tmp_path), random_share=0.0, unsure_margin=0.0), open_spool(tmp_path))
    watched.play(clips.COME_S + 2)
    assert kept(tmp_path) == []


def test_a_full_disk_stops_captures_and_nothing_else(
    classifier: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(keeper_module, "AFTER_FAILURE_S", 3600.0)
    watched = Watched(
        classifier, Wanted("d", str(tmp_path), random_share=1.0), open_spool(tmp_path, least_room=1 << 62)
    )
    watched.play(clips.COME_S + 2)
    assert kept(tmp_path) == []
    assert [facts for event, facts in watched.told if event == "captures_failed"] == [
        {"reason": "No space left on device"}
    ]
    assert watched.ended()["failed"] == 1
    assert capfd.readouterr().err.count("\n") == 1
    assert watched.view.waiting(), "the program goes on"


def test_who_cannot_follow_drops_and_counts(
    classifier: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bell = Bell()

    class Slow(Spool):
        def keep(self, facts: Capture, picture: bytes) -> str:
            bell.wait(30)
            bell.ring()
            return super().keep(facts, picture)

    keeper = Keeper(
        Wanted("d", str(tmp_path), random_share=1.0, most_a_minute=400),
        ["door"],
        lambda *_, **__: None,
        Slow(str(tmp_path), 1 << 30, least_room=0),
    )
    keeper.model("", ["a", "b"], 1.0)
    began_s = time.monotonic()
    for number, picture in enumerate(pictures(30)):
        keeper.offer(
            "door", number, keeper.cut(picture, Box(0, 0, 90, 90), []), np.zeros((3, 8, 8)), np.array([5.0, 0.0]), None
        )
    assert time.monotonic() - began_s < 10, "it did not wait"
    bell.ring()
    keeper.close()
    assert len(kept(tmp_path)) + keeper._counts.busy + keeper._counts.alike == 30
    assert len(kept(tmp_path)) <= keeper_module.WAITING + 1


def test_what_the_network_gives_no_numbers_for_is_no_capture(tmp_path: Path) -> None:
    keeper = Keeper(Wanted("d", str(tmp_path), random_share=1.0), ["door"], lambda *_, **__: None, open_spool(tmp_path))
    keeper.model("", ["a", "b"], 1.0)
    [picture] = pictures(1)
    for scores in ([np.nan, 0.0], [np.inf, 0.0], [5.0, 0.0]):
        cut = keeper.cut(picture, Box(0, 0, 90, 90), [])
        keeper.offer("door", 7, cut, np.zeros((3, 8, 8)), np.array(scores), 1)
    keeper.close()
    [(facts, _)] = kept(tmp_path)
    assert facts.answer["a"] > 0.99


def test_a_bundle_says_its_version_and_brings_what_drift_is_judged_by(classifier: Classifier, tmp_path: Path) -> None:
    slot = tmp_path / "slots/0a1b2c3d4e5f"
    (slot / "samples").mkdir(parents=True)
    clips.bundle(slot / bundles.MODEL, "onnxruntime")
    np.save(
        slot / bundles.REGIONS, np.random.default_rng(0).integers(0, 256, (16, clips.SIZE, clips.SIZE, 3), np.uint8)
    )
    manifest = bundles.Manifest("m", "int8", "atom", "v1.2.3", "openvino", ["a", "b"], 0.0, 1, {}, {})
    (slot / bundles.MANIFEST).write_text(json.dumps(bundles.as_json(manifest)))
    (tmp_path / "current").symlink_to(slot)
    keeper = Keeper(
        Wanted("d", str(tmp_path), random_share=0.0, unsure_margin=0.0),
        ["door"],
        lambda *_, **__: None,
        open_spool(tmp_path),
    )
    keeper.model(str(tmp_path / "current/model"), ["a", "b"], 1.0)
    for number, picture in enumerate(pictures(WINDOW + 2)):
        cut_ = keeper.cut(picture, Box(0, 0, 90, 90), [])
        keeper.offer("door", number, cut_, np.full((3, 16, 16), 3, np.float32), np.array([9.0, 0.0]), None)
    keeper.close()
    assert {(facts.version, facts.reason) for facts, _ in kept(tmp_path)} == {("v1.2.3", "drifts")}


def test_the_program_captures_where_it_is_told_to(
    classifier: Classifier, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from runners.edge import __main__ as edge

    film = clips.film(tmp_path / "squares.avi", 2.8)
    given = [f"--bundle={classifier.folder}", f"--source={film}", "--threads=1"]  # type: ignore[attr-defined]
    (tmp_path / "capture.json").write_text(
        json.dumps({"device": "d", "home": str(tmp_path / "home"), "random_share": 1.0})
    )
    assert edge.main(["run", *given, f"--events={tmp_path / 'with'}", f"--capture={tmp_path / 'capture.json'}"]) == 0
    assert kept(tmp_path / "home")
    (tmp_path / "capture.json").write_text("{}")
    assert edge.main(["run", *given, f"--events={tmp_path / 'with'}", f"--capture={tmp_path / 'capture.json'}"]) == 2
    assert "does not say what to capture: device is missing" in capsys.readouterr().err


def test_keeping_and_sending_run_on_the_oldest_python_of_a_device(tmp_path: Path) -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from runners.agent.upload.inbox_url import parse\n"
        "from runners.agent.upload.uploading import Uploads\n"
        "from runners.contract.capture_facts import Capture\n"
        "from runners.edge.capture.allowance import Allowance\n"
        "from runners.edge.capture.spool import Spool\n"
        "from runners.edge.capture.wanted import Wanted\n"
        "spool = Spool(sys.argv[2], 1 << 30, least_room=0)\n"
        "Allowance(sys.argv[2] + '/camera/captured.json', Wanted('d')).take('random')\n"
        "facts = Capture('', 'd', '1-a', 'g', 1.5, 'random', None, {}, 9, 9, '', '0' * 16)\n"
        "spool.keep(facts, b'\\x89PNG\\r\\n\\x1a\\n')\n"
        "print(Uploads(sys.argv[2], 'd', parse('file://' + sys.argv[3])).once().captures, spool.forget())\n"
    )
    (tmp_path / "inbox").mkdir()
    command = [python_3_6() / "bin/python3.6", "-c", program, REPOSITORY, tmp_path / "home", tmp_path / "inbox"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1 1\n", "")
    assert len(list((tmp_path / "inbox/captures/d").iterdir())) == 2
