"""A folder with planted leaks and swapped labels: `edgeproof data check` finds them, mends the split, is quiet else."""

import csv
import json
import shutil
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from pipeline.cli import cli
from pipeline.data import doubtful, fetch
from pipeline.data.clip import CLIP_NAME
from pipeline.data.cutting import Split, build
from pipeline.data.dataset import open_dataset
from pipeline.data.images import Image, read_image
from pipeline.data.inspection import Inspected, inspect
from pipeline.system.errors import Missing

COLUMNS = ["file", "class", "split", "group"]
Row = dict[str, str]


def jpeg(image: Image, quality: int = 50) -> Image:
    return np.asarray(cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 1), np.uint8)


def resized(image: Image) -> Image:
    return np.asarray(cv2.resize(image, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA), np.uint8)


def cropped(image: Image, share: float = 0.05) -> Image:
    """Without `share` of each side, a little more at one corner than at the other."""
    height, width = image.shape[:2]
    return image[
        round(share * height) : -round(0.6 * share * height), round(0.6 * share * width) : -round(share * width)
    ]


def brighter(image: Image) -> Image:
    return np.clip(1.25 * image.astype(np.float64) + 10, 0, 255).astype(np.uint8)


def darker(image: Image) -> Image:
    return (0.7 * image).astype(np.uint8)


CHANGES: list[Callable[[Image], Image]] = [jpeg, resized, cropped, brighter, darker]


def scene(rng: np.random.Generator) -> Image:
    """A picture like no other: smooth light and shade, a few shapes, and the grain of a sensor."""
    light = cv2.resize(rng.uniform(40, 215, (4, 4, 3)).astype(np.float32), (96, 128), interpolation=cv2.INTER_CUBIC)
    for _ in range(6):
        centre, axes = rng.integers(0, 96, 2).tolist(), rng.integers(6, 30, 2).tolist()
        cv2.ellipse(light, centre, axes, float(rng.uniform(0, 180)), 0, 360, rng.uniform(0, 255, 3).tolist(), -1)
    return np.clip(light + rng.normal(0, 4, light.shape), 0, 255).astype(np.uint8)


def write(folder: Path, rows: list[Row]) -> Path:
    manifest = folder / "manifest.csv"
    with manifest.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return manifest


@pytest.fixture
def scenes(project: Path) -> list[Row]:
    """120 scenes in `photos`, 40 of each split, no two alike."""
    rng = np.random.default_rng(0)
    folder = project / "photos"
    folder.mkdir()
    rows = []
    for number in range(120):
        file, split = f"{number:03d}.png", ("train", "val", "test")[number // 40]
        cv2.imwrite(str(folder / file), scene(rng))
        rows.append({"file": file, "class": ("cat", "dog")[number % 2], "split": split, "group": ""})
    return rows


def plant(rows: list[Row], folder: Path = Path("photos"), count: int = 40) -> set[frozenset[str]]:
    """Put changed copies of `count` training pictures into val and test; returns the pairs."""
    train = [row for row in rows if row["split"] == "train"]
    pairs = set()
    for number in range(count):
        row = train[number * len(train) // count]
        file = f"planted-{number}.png"
        image = read_image(folder / row["file"])
        cv2.imwrite(str(folder / file), CHANGES[number % len(CHANGES)](image))
        rows.append({**row, "file": file, "split": ("val", "test")[number % 2]})
        pairs.add(frozenset((row["file"], file)))
    return pairs


def found(inspected: Inspected) -> set[frozenset[str]]:
    return {frozenset((pair.first, pair.second)) for pair in inspected.findings.look_alikes}


def check(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["data", "check", *arguments])


def test_changed_copies_in_another_split_are_found_and_nothing_else(scenes: list[Row]) -> None:
    assert not inspect(write(Path("photos"), scenes), labels=False).findings.leaks
    planted = plant(scenes)
    seen = found(inspect(write(Path("photos"), scenes), labels=False))
    assert len(planted & seen) >= 0.95 * len(planted)
    assert not seen - planted


def test_copies_in_the_same_split_are_no_leak(scenes: list[Row]) -> None:
    shutil.copy("photos/000.png", "photos/again.png")
    scenes.append({**scenes[0], "file": "again.png"})
    assert not inspect(write(Path("photos"), scenes), labels=False).findings.leaks


def test_pictures_that_show_nothing_are_alike_only_byte_for_byte(scenes: list[Row]) -> None:
    for number, file in enumerate(("a.png", "b.png", "c.png")):
        cv2.imwrite(f"photos/{file}", np.full((40, 30, 3), 100 + number // 2, np.uint8))
        scenes.append({**scenes[0], "file": file, "split": ("train", "test", "test")[number]})
    findings = inspect(write(Path("photos"), scenes), labels=False).findings
    assert findings.look_alikes == []
    assert [(pair.first, pair.second) for pair in findings.duplicates] == [("a.png", "b.png")]


def test_all_of_it_is_said_and_the_exit_code_is_1(scenes: list[Row]) -> None:
    plant(scenes, count=5)
    shutil.copy("photos/000.png", "photos/same.png")
    scenes.append({**scenes[1], "file": "same.png", "split": "test"})
    Path("photos/broken.png").write_bytes(b"no picture")
    scenes.append({**scenes[0], "file": "broken.png"})
    for number in (3, 50, 90):
        scenes[number]["group"] = "anna"
    scenes = [{**row, "class": "owl"} if row["file"] in ("010.png", "012.png") else row for row in scenes]
    write(Path("photos"), scenes)
    done = check("photos", "--no-labels")
    assert done.exit_code == 1
    for words in (
        "photos/broken.png: not an image",
        "the same file in two splits (1):\n  000.png (train) = same.png (test), of another class",
        "groups in more than one split (1):\n  anna: train 1, val 1, test 1",
        "classes in train and not in test (1): owl",
        "labels were not looked at: not asked for",
        "LEAKS",
    ):
        assert words in done.output
    told = json.loads(check("photos", "--no-labels", "--json").stdout)
    assert told["counts"]["train"] == {"cat": 18, "dog": 20, "owl": 2}
    assert len(told["look_alikes"]) >= 5
    assert told["parted_groups"] == [{"group": "anna", "images": {"test": 1, "train": 1, "val": 1}}]


def test_the_mended_split_holds_every_copy_and_every_person_together(scenes: list[Row]) -> None:
    for number, row in enumerate(scenes):
        row["group"] = f"person {number % 30}"
    plant(scenes, count=20)
    for row in scenes[120:]:
        row["group"] = ""
    write(Path("photos"), scenes)
    done = check("photos", "--no-labels", "--output", "mended/manifest.csv")
    assert done.exit_code == 1
    assert "`edgeproof data import` takes them" in done.stderr
    assert check("mended/manifest.csv", "--no-labels").exit_code == 0, "nothing leaks any more"
    done = CliRunner().invoke(cli, ["data", "check", "photos", "--no-labels", "--output", "photos/manifest.csv"])
    assert done.exit_code == 2
    assert "is to be read" in done.stderr
    splits = defaultdict(set)
    with Path("mended/manifest.csv").open() as stream:
        for row in csv.DictReader(stream):
            splits[row["group"]].add(row["split"])
    assert all(len(names) == 1 for names in splits.values())
    assert set.union(*splits.values()) == {"train", "val", "test"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nowhere",), "nowhere: is neither a folder"),
        (("--output", "mended.csv"), "the clip is split by time"),
        ((), "holds no data: run `edgeproof data fetch`"),
    ],
)
def test_bad_input_is_one_line(project: Path, arguments: tuple[str, ...], words: str) -> None:
    done = check(*arguments)
    assert done.exit_code == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_labels_that_all_neighbours_contradict_are_candidates() -> None:
    rng = np.random.default_rng(0)
    centres = np.eye(3, 16)
    own = rng.integers(0, 3, 600)
    features = (centres[own] + rng.normal(0, 0.12, (600, 16))).astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    labels = [("cat", "dog", "owl")[number] for number in own]
    assert doubtful.find(features, labels) == []
    swapped = rng.choice(600, 30, replace=False)
    for number in swapped:
        labels[number] = ("cat", "dog", "owl")[(own[number] + 1) % 3]
    doubts = doubtful.find(features, labels)
    assert len({doubt.number for doubt in doubts} & set(swapped.tolist())) >= 0.95 * len(swapped)
    assert not {doubt.number for doubt in doubts} - set(swapped.tolist())
    assert all(doubt.rather == ("cat", "dog", "owl")[own[doubt.number]] for doubt in doubts)


def test_pictures_that_nobody_has_decided_on_do_not_hold_each_other_up() -> None:
    """A camera's pictures are most like each other, and a network that is wrong about one is so about all of them."""
    rng = np.random.default_rng(0)
    own = np.concatenate([rng.integers(0, 3, 600), np.full(40, 2)])
    features = (np.eye(3, 16)[own] + rng.normal(0, 0.12, (640, 16))).astype(np.float32)
    features[600:] += np.eye(16, dtype=np.float32)[5] * 0.5  # one place, one light
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    labels = [("cat", "dog", "owl")[number] for number in own[:600]] + ["dog"] * 40
    assert len([one for one in doubtful.find(features, labels) if one.number >= 600]) < 4
    doubts = doubtful.find(features, labels, voters=600)
    assert {doubt.number for doubt in doubts} == set(range(600, 640))
    assert {doubt.rather for doubt in doubts} == {"owl"}
    assert doubtful.find(features[:1], ["cat"], voters=0) == []


def test_classes_that_look_the_same_give_few_candidates() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(0, 1, (400, 16)).astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    assert len(doubtful.find(features, ["ab"[number] for number in rng.integers(0, 2, 400)])) < 12


def test_labels_that_nobody_could_look_at_are_not_called_right(
    scenes: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise Missing("cannot get pretrained weights: no network")

    monkeypatch.setattr(doubtful, "describe", fail)
    write(Path("photos"), scenes)
    done = check("photos")
    assert done.exit_code == 0
    assert "labels were not looked at: cannot get pretrained weights: no network" in done.output


@pytest.mark.nightly
def test_plants_in_the_default_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what is planted at least 95 % is found, and of the clip itself less than 1 % is called a leak or doubtful."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(
        Path(__file__).parents[2] / ".dvc", tmp_path / ".dvc", ignore=shutil.ignore_patterns("tmp", "cache")
    )
    fetch.fetch_clip(tmp_path / "data" / CLIP_NAME)
    (tmp_path / "data/labels.csv").write_bytes(fetch.LABELS.read_bytes())
    build(Path("data"), Path("out"), Split(train=(0, 445), val=(458, 585), test=(598, 794)))
    samples = open_dataset(Path("out")).samples
    rows = [{"file": one.file, "class": one.label, "split": one.split, "group": one.group} for one in samples]
    clean = inspect(write(Path("out"), rows))
    alarms = {file for pair in clean.findings.look_alikes for file in (pair.first, pair.second)}
    alarms |= {one.file for one in clean.findings.doubtful}
    assert clean.findings.labels_unchecked is None
    assert len(alarms) < 0.01 * len(rows)
    planted = plant(rows, Path("out"), count=200)
    swapped = set()
    for number in np.random.default_rng(0).choice(len(samples), 60, replace=False):
        row = rows[number]
        row["class"] = "person" if row["class"] == "background" else "background"
        swapped.add(row["file"])
    seen = inspect(write(Path("out"), rows))
    assert len(planted & found(seen)) >= 0.95 * len(planted)
    assert len(swapped & {one.file for one in seen.findings.doubtful}) >= 0.95 * len(swapped)
    parted = {one.group for one in seen.findings.parted_groups}
    assert {*(f"track {number}" for number in (66, 68, 76, 81, 83, 86))} <= parted
