"""From an inbox to samples: what comes in once and only once, what is left out and why, decisions, splits."""

import json
import os
import shutil
import signal
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pipeline.cli import cli
from pipeline.data import captured, cutting
from pipeline.data.captured import Captured
from pipeline.data.clip import CLIP_NAME
from pipeline.data.dataset import open_dataset
from pipeline.data.importing import import_data
from pipeline.ingest import grouping, picture, pulled, pulling
from pipeline.ingest.decisions import BY
from pipeline.project import layout
from pipeline.project.params import load_params
from pipeline.system.errors import InputError
from pipeline.system.inbox import Inbox
from tests import captures
from tests.captures import CLASSES, START_S, png, send
from tests.conftest import TINY_PARAMS, write_images
from tests.unit.test_dataset import write_clip, write_labels

CRASHES = (9, 9, 9)  # the first pixel of a picture that the decoder of a test crashes over


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with 60 images of its own and their data set."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("EDGEPROOF_CACHE", str(folder / "cache"))
        write_images(Path("photos"))
        import_data(Path("photos"), layout.DATA)
        cutting.build(layout.DATA, layout.DATASET, cutting.Split(**TINY_PARAMS["split"]))
    return folder


@pytest.fixture
def own(made: Path, project: Path) -> Path:
    """The inbox, without captures, of a copy of it."""
    shutil.copytree(made, project, dirs_exist_ok=True)
    (project / "inbox").mkdir()
    return project / "inbox"


def pull() -> pulling.Outcome:
    return pulling.pull(Inbox("inbox"), layout.DATA, layout.DATASET, layout.INGEST)


def told(*arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(cli, ["ingest", *arguments], catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done.output


def send_many(inbox: Path, count: int, **others: Any) -> None:
    """Captures c0, c1 ... of three classes and two devices, each a track of its own, ten minutes apart."""
    for number in range(count):
        image = captures.picture(CLASSES[number % 3], number)
        send(inbox, f"cam-{number % 2}/c{number}", image, **{"time_s": START_S + 600 * number, **others})


# --- the inbox --------------------------------------------------------------------------------------------------------


def test_a_capture_comes_in_once_and_the_inbox_stays_as_it_is(own: Path) -> None:
    send_many(own, 4)
    (own / "captures/cam-0/c9.png").write_bytes(b"on its way")
    (own / "captures/cam-0/.c8.png.part").write_bytes(b"on its way")
    before = sorted(own.rglob("*"))
    assert told("pull", "inbox").startswith("4 new captures, 2 still arriving\n")
    assert told("pull", "inbox").startswith("0 new captures, 4 known already, 2 still arriving\n")
    assert sorted(own.rglob("*")) == before
    assert [one.name for one in pulled.read(layout.INGEST)] == ["cam-0/c0", "cam-0/c2", "cam-1/c1", "cam-1/c3"]


def test_what_is_wrong_is_left_out_with_its_reason(own: Path) -> None:
    image = captures.picture("red", 1)
    wide = captures.picture("red", 2, side=1030)
    grey = png(image[:, :, 0])
    cases: dict[str, tuple[dict[str, Any], bytes | None]] = {
        "is no PNG": ({}, b"GIF89a"),
        "has 40 x 40 pixels and not the 41 x 40 of its facts": ({"width": 41}, None),
        "is not the picture that its facts name: another SHA-256": ({"sha256": "0" * 64}, None),
        "is not in 8 bits of RGB, as a capture is": ({}, grey),
        "is damaged: it ends early": ({}, png(image)[:-9]),
        "is of another capture: cam-2/c1": ({"device": "cam-2", "id": "c1"}, None),
        "its time is none": ({"time_s": -5.0}, None),
        "its answer has no probabilities": ({"answer": {"red": 3.0}}, None),
        "shows something else than its facts say: the difference hashes are": ({"dhash": "0f" * 8}, None),
        "has 4,194,305 bytes, more than a picture of a capture has": ({}, bytes((4 << 20) + 1)),
        "is no capture's facts: a value in it is none that a capture has": ({"width": 1030, "height": 1030}, png(wide)),
        "is no capture's facts: a name in it is not taken": ({"group": "../b"}, None),
    }
    for number, (others, content) in enumerate(cases.values()):
        send(own, f"cam-1/w{number}", image, content, **others)
    (own / "captures/cam-1/w99.json").write_text("{}")
    outcome = pull()
    assert outcome.new == []
    reasons = {one.file: one.reason for one in outcome.quarantined}
    for number, reason in enumerate(cases):
        [found] = [text for file, text in reasons.items() if Path(file).stem == f"w{number}"]
        assert found.startswith(reason), found
    assert reasons["captures/cam-1/w99.json"] == "its picture is missing"
    assert len(reasons) == len(cases) + 1


def test_what_shows_the_same_is_asked_about_once(own: Path) -> None:
    image = captures.picture("red", 1)
    send(own, "cam-1/a", image)
    send(own, "cam-1/b", image // 2 + 60)
    send(own, "cam-2/a", image)
    known = open_dataset(layout.DATASET).samples[0]
    content = (layout.DATASET / known.file).read_bytes()
    send(own, "cam-3/a", picture.read(content), content)
    outcome = pull()
    assert outcome.new == ["cam-1/a"]
    assert {one.file: one.reason for one in outcome.quarantined} == {
        "captures/cam-1/b.png": "shows the same as the capture cam-1/a",
        "captures/cam-2/a.png": "shows the same as the capture cam-1/a",
        "captures/cam-3/a.png": f"shows the same as artifacts/dataset/{known.file}",
    }
    send(own, "cam-4/a", image)
    assert pull().new == [], "nor when it comes later"


def crashing(made: Path, folder: str, hashes: Sequence[str]) -> list[str]:
    """A decoder with a hole: one picture ends its process."""
    for file in sorted(Path(folder).glob("*.png")):
        if tuple(picture.read(file.read_bytes())[0, 0]) == CRASHES:
            os.kill(os.getpid(), signal.SIGSEGV)
    return picture.decode(made, folder, hashes)


@pytest.mark.nightly
def test_a_picture_that_crashes_the_decoder_takes_no_other_with_it(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    send_many(own, 1)
    bad = captures.picture("red", 7)
    bad[0, 0] = CRASHES
    send(own, "cam-1/bad", bad)
    monkeypatch.setattr(picture, "decode", crashing)
    outcome = pull()
    assert len(outcome.new) == 1
    assert [(one.file, one.reason) for one in outcome.quarantined] == [
        ("captures/cam-1/bad.png", "cannot be decoded: a library crashed over it (bad memory); it is left out")
    ]


def test_no_device_keeps_the_others_out(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulling, "MOST", 4)
    for number in range(6):
        send(own, f"loud/c{number}", captures.picture("red", number))
    for number in range(2):
        send(own, f"quiet/c{number}", captures.picture("blue", number))
    outcome = pull()
    assert Counter(name.split("/")[0] for name in outcome.new) == {"loud": 2, "quiet": 2}
    assert outcome.left == 4
    assert (pull().left, pull().left) == (0, 0)


def test_what_was_left_out_takes_no_place_of_what_is_new(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulling, "MOST", 2)
    content = (layout.DATASET / open_dataset(layout.DATASET).samples[0].file).read_bytes()
    for number in range(3):
        send(own, f"cam-1/c{number}", picture.read(content), content)
    assert pull().left == 1
    send(own, "cam-1/late", captures.picture("red", 1))
    outcome = pull()
    assert (outcome.new, outcome.left) == (["cam-1/late"], 0)
    assert [one.file for one in outcome.quarantined] == [f"captures/cam-1/c{number}.png" for number in range(3)]
    assert pull().quarantined == outcome.quarantined


def test_only_what_was_decided_is_cleaned_away(own: Path) -> None:
    send_many(own, 3)
    told("pull", "inbox")
    decide({"cam-0/c0": "blue", "cam-1/c1": None})
    assert told("clean", "inbox") == "2 captures deleted from the inbox\n"
    assert sorted(path.name for path in own.rglob("*.*")) == ["c2.json", "c2.png"]
    assert told("pull", "inbox").startswith("0 new captures, 1 known already\n")


def test_what_is_missing_is_one_line(own: Path) -> None:
    assert "nothing was decided about: run this in the project" in told("clean", "inbox", code=2)
    assert "there is no such folder" in told("pull", "nowhere", code=2)
    assert "name a folder, or an address" in told("pull", "ftp://host/folder", code=2)
    os.mkfifo("pipe.json")
    assert "is a folder, a device or a pipe" in told("apply", "pipe.json", code=2)
    assert "address cannot be read" in told("pull", "https://[", code=2)
    assert "would be read in clear" in told("pull", "http://user:secret@example.org/inbox", code=2)
    assert "secret" not in told("pull", "http://user:secret@example.org/inbox", code=2)
    assert "run `dvc repro train@lenet-5`" in told("review", code=2)
    (layout.DATASET / "samples.csv").unlink()
    assert "run `dvc repro dataset`" in told("pull", "inbox", code=2)
    assert "run `dvc repro dataset`" in told("review", code=2)


# --- decisions --------------------------------------------------------------------------------------------------------


def decide(labels: dict[str, str | None], code: int = 0, **others: Any) -> str:
    """Apply decisions about captures that were pulled."""
    known = {one.name: one.facts.sha256 for one in pulled.read(layout.INGEST)}
    decisions = [
        {"capture": name, "sha256": known.get(name, "0" * 64), "class": label} for name, label in labels.items()
    ]
    Path("decisions.json").write_text(json.dumps({"by": BY, "decisions": decisions, **others}))
    return told("apply", "decisions.json", code=code)


def test_decisions_become_samples_and_change_nothing_twice(own: Path) -> None:
    send_many(own, 6)
    pull()
    labels = {one.name: one.facts.id for one in pulled.read(layout.INGEST)}
    labels = {name: CLASSES[int(identity[1:]) % 3] for name, identity in labels.items()}
    out = decide({**labels, "cam-1/c5": None})
    assert out.startswith("5 added, 1 rejected\n")
    assert "classes now:    blue 33.8 %, green 33.8 %, red 32.3 %  (1.0 points away)" in out
    tables = {name: (layout.DATA / "captures" / name).read_bytes() for name in ("manifest.csv", "rejected.csv")}
    assert decide({**labels, "cam-1/c5": None}) == "6 decided so before\n"
    assert {name: (layout.DATA / "captures" / name).read_bytes() for name in tables} == tables
    cutting.build(layout.DATA, layout.DATASET, load_params().split)
    dataset = open_dataset(layout.DATASET)
    more = {sample.file: sample.label for sample in dataset.samples if sample.file.startswith(captured.REGIONS)}
    assert more == {f"regions/captured/{name}.png": label for name, label in labels.items() if name != "cam-1/c5"}
    assert len(dataset.samples) == 65
    facts = json.loads((layout.DATASET / "summary.json").read_text())["captured"]
    assert (facts["devices"], facts["reasons"]) == ({"cam-0": 3, "cam-1": 2}, {"unsure": 5})


def test_a_mistake_is_put_right_where_it_is(own: Path) -> None:
    send_many(own, 3)
    pull()
    decide({"cam-0/c0": "red", "cam-1/c1": "green", "cam-0/c2": None})
    [before] = [one for one in captured.read(layout.DATA) if one.name == "cam-0/c0"]
    out = decide({"cam-0/c0": "blue", "cam-1/c1": None, "cam-0/c2": "red"})
    assert out.startswith("1 added, 1 relabelled, 1 rejected\n")
    found = {one.name: one for one in captured.read(layout.DATA)}
    assert found["cam-0/c0"] == replace(before, label="blue")
    assert set(found) == {"cam-0/c0", "cam-0/c2"}
    assert [one.name for one in captured.read_rejected(layout.DATA)] == ["cam-1/c1"]


def test_a_file_of_decisions_is_applied_whole_or_not_at_all(own: Path) -> None:
    send_many(own, 3)
    pull()
    known = {one.name: one.facts.sha256 for one in pulled.read(layout.INGEST)}
    good = {"capture": "cam-0/c2", "sha256": known["cam-0/c2"], "class": "red"}
    other = {"capture": "cam-0/c0", "sha256": known["cam-0/c0"], "class": "red"}
    for change, words in (
        ({"capture": "cam-0/c9"}, "no such captures were pulled: cam-0/c9"),
        ({"capture": "../../../etc/passwd"}, "no such captures were pulled"),
        ({"class": "yellow"}, "classes that the data has not: yellow; it has blue, green, red"),
        ({"class": ""}, "classes that the data has not"),
        ({"class": 3}, "holds no decisions"),
        ({"class": ["red"]}, "holds no decisions"),
        ({"sha256": "1" * 64}, "these pictures are others than those that were decided about: cam-0/c0"),
        ({"sha256": "x"}, "holds no decisions"),
        ({"split": "train"}, "holds no decisions"),
        ({"capture": "cam-0/c2", "class": None}, "decides about captures more than once: cam-0/c2"),
    ):
        decisions = [good, {**other, **change}]
        Path("decisions.json").write_text(json.dumps({"by": BY, "decisions": decisions}))
        out = told("apply", "decisions.json", code=2)
        assert words in out
        assert out.count("\n") == 1
        assert not (layout.DATA / "captures").exists()


def test_what_holds_no_decisions_is_one_line(own: Path) -> None:
    whole = {"by": BY, "decisions": []}
    shapes = ["", "[", "[1]", "{}", "null", json.dumps({**whole, "by": "me"}), '[{"data": {}}]', json.dumps(whole)[:-1]]
    for content in [*shapes, "[" * 100_000, "\0", "\ufeff{}", "9" * 20_000]:
        Path("decisions.json").write_text(content)
        assert told("apply", "decisions.json", code=2).startswith("edgeproof: decisions.json: holds no decisions: ")
    assert "cannot be read" in told("apply", "none.json", code=2)
    assert "has no captures.csv" in told("apply", "inbox", code=2)


# --- splits -----------------------------------------------------------------------------------------------------------


def row(name: str, label: str = "red", minute: int = 0, track: str = "", split: str = "", group: str = "") -> Captured:
    device, identity = name.split("/")
    place: Any = split or "train"
    return Captured(
        captured.picture(name), label, place, group, device, track or identity, 60.0 * minute, "unsure", "", "0" * 64
    )


def test_a_track_and_a_minute_go_to_one_split_whole() -> None:
    new = [
        row(f"cam-{number % 3}/{number}", CLASSES[number % 3], number // 2, f"t{number // 5}") for number in range(300)
    ]
    placed = grouping.place(new, []).placed
    groups = defaultdict(set)
    for one in placed:
        for key in ((one.device, one.track), (one.device, one.time_s), one.group):
            groups[key].add(one.split)
    assert {len(splits) for splits in groups.values()} == {1}
    shares = {split: count / 300 for split, count in Counter(one.split for one in placed).items()}
    assert shares == pytest.approx({"train": 0.6, "val": 0.15, "test": 0.25}, abs=0.02)
    by_class = Counter((one.split, one.label) for one in placed)
    assert all(by_class["test", label] == pytest.approx(25, abs=4) for label in CLASSES)


def test_what_is_there_stays_and_what_hangs_together_with_it_follows() -> None:
    there = [row("cam-1/a", minute=1, track="t1", split="test", group="walk 1"), row("cam-1/b", minute=9, split="val")]
    new = [
        row("cam-1/c", minute=5, track="t1"),  # the same walk
        row("cam-1/d", minute=5, track="t2"),  # beside it
        row("cam-2/d", minute=5, track="t2"),  # another camera, which counts tracks anew
        row("cam-1/e", minute=9, track="t1"),  # torn between both
    ]
    grouped = grouping.place(new[:3], there)
    assert {one.name: (one.split, one.group) for one in grouped.placed} == {
        "cam-1/c": ("test", "walk 1"), "cam-1/d": ("test", "walk 1"), "cam-2/d": ("train", "captured cam-2/d"),
    }  # fmt: skip
    torn = grouping.place(new, there)
    assert [one.name for one in torn.placed] == ["cam-2/d"]
    assert torn.torn == {name: ["test", "val"] for name in ("cam-1/c", "cam-1/d", "cam-1/e")}


def test_few_captures_are_for_training_and_later_ones_fill_the_other_splits() -> None:
    there: list[Captured] = []
    for number in range(40):
        placed = grouping.place([row(f"cam-1/{number}", minute=number)], there).placed
        assert placed[0].split == "train" or number
        there += placed
    assert Counter(one.split for one in there) == {"train": 24, "test": 10, "val": 6}


# --- the data set -----------------------------------------------------------------------------------------------------


def label_captures(count: int = 3, label: str = "person") -> None:
    """Captures of one class, labelled, in data/."""
    rows = [row(f"cam-1/{number}", label, number, split="train", group=f"g{number}") for number in range(count)]
    for number, one in enumerate(rows):
        file = layout.DATA / "captures" / one.file
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(png(captures.picture("red", number)))
    captured.write(layout.DATA, rows, [])


def test_captures_lie_beside_the_default_clip_too(project: Path) -> None:
    write_clip(layout.DATA)
    write_labels(layout.DATA)
    split = cutting.Split(train=(0, 5), val=(7, 9), test=(11, 19))
    before, _ = cutting.build(layout.DATA, layout.DATASET, split)
    label_captures()
    after, quarantined = cutting.build(layout.DATA, layout.DATASET, split)
    assert after[: len(before)] == before, "nothing that was there is another"
    assert [(one.file, one.split, one.group) for one in after[len(before) :]] == [
        (f"regions/captured/cam-1/{number}.png", "train", f"g{number}") for number in range(3)
    ]
    assert quarantined == []
    (layout.DATA / "captures/images/cam-1/1.png").write_bytes(b"damaged")
    _, quarantined = cutting.build(layout.DATA, layout.DATASET, split)
    assert [one.file for one in quarantined] == ["captures/images/cam-1/1.png"]
    label_captures(label="bicycle")
    with pytest.raises(InputError, match="is 'bicycle', a class that the rest of the data has not"):
        cutting.build(layout.DATA, layout.DATASET, split)
    assert (layout.DATA / CLIP_NAME).exists()


def test_an_import_does_not_take_captures_away(own: Path) -> None:
    label_captures(label="red")
    with pytest.raises(InputError, match="captures"):
        import_data(Path("photos"), layout.DATA)
    assert len(captured.read(layout.DATA)) == 3


def test_captures_are_checked_for_leaks_with_the_rest(own: Path) -> None:
    label_captures(label="red")
    rows = [
        replace(one, split="test", group="g0") if one.name == "cam-1/1" else one for one in captured.read(layout.DATA)
    ]
    captured.write(layout.DATA, rows, [])
    done = CliRunner().invoke(cli, ["data", "check", "--no-labels"])
    assert done.exit_code == 1, done.output
    assert "g0" in done.output


@pytest.mark.parametrize(
    ("text", "words"),
    [("file,class\n", "no column"), ("{header}\nimages/a/b.png,red,train,g,a,t,x,unsure,,0\n", "is no number"),
     ("{header}\nimages/a/b.png,red,nowhere,g,a,t,0,unsure,,0\n", "split 'nowhere'")],
)  # fmt: skip
def test_a_damaged_table_of_captures_is_one_line(own: Path, text: str, words: str) -> None:
    (layout.DATA / "captures").mkdir()
    (layout.DATA / "captures/manifest.csv").write_text(text.replace("{header}", ",".join(captured.COLUMNS)))
    assert words in told("pull", "inbox", code=2)
    with pytest.raises(InputError, match=words):
        cutting.build(layout.DATA, layout.DATASET, load_params().split)
