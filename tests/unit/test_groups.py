"""What hangs together stays together: groups in manifests, in splits, in the data set and in what a drop is worth."""

import json
from collections import Counter, defaultdict
from pathlib import Path

import cv2
import numpy as np
import pytest

import models
from pipeline.data.batches import Regions
from pipeline.data.cutting import Split, build
from pipeline.data.dataset import SPLITS, numbered, open_dataset
from pipeline.data.importing import Imported, import_data
from pipeline.retest.emulate import Emulation
from pipeline.retest.score import score
from pipeline.system.errors import InputError
from tests.unit.test_dataset import write_clip

SPLIT = Split(train=(0, 5), val=(7, 9), test=(11, 19))
CLASSES = ("cat", "dog")


def write_manifest(people: int, photos: int = 6, splits: dict[int, str] | None = None) -> Path:
    """`people` people with `photos` photos each, half of either class; the last photo is of nobody."""
    folder = Path("photos")
    folder.mkdir()
    lines = ["file,Class,Split,GROUP"]
    for number in range(people * photos + 1):
        person, name = divmod(number, photos)
        file = f"{number:03d}.png"
        cv2.imwrite(str(folder / file), np.full((8, 8, 3), number % 251, np.uint8))
        group = f"person {person}" if person < people else ""
        split = (splits or {}).get(name, "")
        lines.append(f"{file},{CLASSES[number % 2]},{split},{group}")
    (folder / "manifest.csv").write_text("\n".join(lines))
    return folder


def by_group(found: Imported) -> dict[str, set[str]]:
    splits = defaultdict(set)
    for sample in found.samples:
        splits[sample.group].add(sample.split)
    return dict(splits)


def test_a_group_is_held_out_whole_and_the_shares_stay(project: Path) -> None:
    found = import_data(write_manifest(people=40), Path("data"))
    assert len(by_group(found)) == 41
    assert all(len(splits) == 1 for splits in by_group(found).values())
    assert found.notes == []
    counts = Counter((sample.split, sample.label) for sample in found.samples)
    for split, share in (("train", 0.6), ("val", 0.15), ("test", 0.25)):
        for label in CLASSES:
            assert counts[split, label] / 120 == pytest.approx(share, abs=0.06)


def test_without_groups_the_split_is_the_one_that_it_always_was(images: Path, project: Path) -> None:
    plain = import_data(images, Path("data"))
    rows = [f"{path.relative_to(images)},{path.parent.name},,\n" for path in sorted(images.rglob("*.png"))]
    (images / "manifest.csv").write_text("file,class,split,group\n" + "".join(rows))
    listed = import_data(images, Path("again"))
    assert [sample.split for sample in plain.samples] == [sample.split for sample in listed.samples]


def test_the_same_import_gives_the_same_split(project: Path) -> None:
    source = write_manifest(people=12)
    assert import_data(source, Path("a")) == import_data(source, Path("b"))


def test_too_few_groups_are_one_clear_line(project: Path) -> None:
    source = write_manifest(people=1)
    with pytest.raises(InputError, match=r"photos: the 2 groups of 7 images are too few .* give splits of your own$"):
        import_data(source, Path("data"))
    assert not Path("data").exists()


def test_given_splits_are_kept_and_the_groups_that_they_part_are_said(project: Path) -> None:
    given = {0: "train", 1: "train", 2: "train", 3: "val", 4: "test", 5: "test"}
    found = import_data(write_manifest(people=2, splits={**given}), Path("data"))
    assert by_group(found)["person 0"] == {"train", "val", "test"}
    (note,) = (note for note in found.notes if "group" in note)
    assert note.startswith("2 groups are in more than one split, 12 images: person 0 (train, val, test), person 1")


def test_the_group_goes_all_the_way_to_the_regions(project: Path) -> None:
    found = import_data(write_manifest(people=12), Path("data"))
    build(Path("data"), Path("out"), SPLIT)
    opened = open_dataset(Path("out"))
    assert [sample.group for sample in opened.samples] == [sample.group for sample in found.samples]
    summary = json.loads(Path("out/summary.json").read_text())
    assert sum(summary["groups"].values()) == 12
    for split in SPLITS:
        names = [sample.group for sample in opened.split(split)]
        regions = Regions(opened, models.spec("lenet-5"), split)
        assert len(set(regions.groups.tolist())) == len(set(names))
        drawn = Regions(opened, models.spec("lenet-5"), split, samples=3, seed=1)
        order = np.random.default_rng(1).permutation(len(names))[:3]
        assert drawn.groups.tolist() == regions.groups[order].tolist()


def test_an_earlier_import_without_the_column_still_builds(project: Path) -> None:
    import_data(write_manifest(people=12), Path("data"))
    manifest = Path("data/manifest.csv")
    lines = [line.rpartition(",")[0] for line in manifest.read_text().splitlines()]
    manifest.write_text("\n".join(lines))
    build(Path("data"), Path("out"), SPLIT)
    assert {sample.group for sample in open_dataset(Path("out")).samples} == {""}


def test_the_tracks_of_the_clip_are_groups_where_they_are_labelled(project: Path) -> None:
    write_clip(Path("data"))
    rows = [f"{n},100,100,40,80,{CLASSES[n % 2]},{n // 4}" for n in range(20)]
    Path("data/labels.csv").write_text("\n".join(["frame,x,y,w,h,class,track", *rows]))
    build(Path("data"), Path("out"), SPLIT)
    groups = [sample.group for sample in open_dataset(Path("out")).split("test")]
    assert groups == ["track 2"] + ["track 3"] * 4 + ["track 4"] * 4


def test_what_has_no_group_stands_for_itself() -> None:
    assert numbered(["a", "", "b", "a", ""]).tolist() == [0, 1, 2, 0, 3]


def test_the_interval_of_a_drop_widens_where_answers_change_by_the_group() -> None:
    labels = np.zeros(200, np.int64)
    right, wrong = np.float32([1, 0]), np.float32([0, 1])
    fp32 = np.tile(right, (200, 1))
    target = np.where(np.arange(200)[:, None] < 10, wrong, right)
    emulation = Emulation(target, fp32, fp32, None, "exact")
    alone = score(emulation, labels, fp32).paired
    together = score(emulation, labels, fp32, groups=np.arange(200) // 10).paired
    assert alone
    assert together
    assert alone.design_effect == 1
    assert together.design_effect == pytest.approx(10, rel=0.15), "ten photos of one person tell as much as one"
    assert alone.drop_points == together.drop_points == 5
    assert together.interval()[0] < alone.interval()[0] < 5 < alone.interval()[1] < together.interval()[1]
