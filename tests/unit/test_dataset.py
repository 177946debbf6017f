"""From data/ to the data set: imports, splits, quarantine, and the clip with its labels."""

import csv
import os
import shutil
import socket
import struct
import zlib
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data import fetch, own
from pipeline.data.clip import CLIP_NAME
from pipeline.data.cutting import Split, build
from pipeline.data.dataset import SPLITS, open_dataset
from pipeline.data.images import read_image
from pipeline.data.importing import import_data
from pipeline.system import files
from pipeline.system.errors import InputError
from runners.edge.loop import regions
from tests.conftest import write_images

SPLIT = Split(train=(0, 5), val=(7, 9), test=(11, 19))


def write_clip(folder: Path, frames: int = 20) -> None:
    folder.mkdir(exist_ok=True)
    writer = cv2.VideoWriter(str(folder / CLIP_NAME), cv2.VideoWriter_fourcc(*"MJPG"), 10, (320, 180))
    for number in range(frames):
        writer.write(np.full((180, 320, 3), 10 * number, np.uint8))
    writer.release()


def write_labels(folder: Path, frames: int = 20) -> None:
    with (folder / "labels.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["frame", "x", "y", "w", "h", "class", "certain"])
        for number in range(frames):
            writer.writerow([number, 100, 100, 40, 80, ("person", "background")[number % 2], 1])
            writer.writerow([number, 300, 100, 40, 80, "person", 0])


class TestImport:
    def test_class_folders_are_split_by_class(self, images: Path, project: Path) -> None:
        samples, quarantined, _ = import_data(images, project / "data")
        assert not quarantined
        counts = Counter((sample.split, sample.label) for sample in samples)
        assert sum(counts.values()) == 60
        assert all(counts[split, label] >= 2 for split in SPLITS for label in ("red", "green", "blue"))
        assert all((project / "data" / sample.file).exists() for sample in samples)

    def test_the_folder_says_that_it_was_imported(self, images: Path, project: Path) -> None:
        import_data(images, project / "data")
        assert own.is_imported(project / "data")
        assert not own.is_imported(images)

    def test_the_same_import_gives_the_same_split(self, images: Path, project: Path) -> None:
        assert import_data(images, project / "a") == import_data(images, project / "b")

    def test_a_manifest_keeps_its_splits_and_val_becomes_test_when_there_is_none(
        self, images: Path, project: Path
    ) -> None:
        rows = [
            (path.relative_to(project).as_posix(), path.parent.name, "val" if index % 4 == 0 else "train")
            for index, path in enumerate(sorted(images.rglob("*.png")))
        ]
        manifest = project / "manifest.csv"
        manifest.write_text("file,class,split,camera\n" + "".join(f"{','.join(row)},c1\n" for row in rows))
        samples, *_ = import_data(manifest, project / "data")
        given_val = {index for index, row in enumerate(rows) if row[2] == "val"}
        assert {index for index, sample in enumerate(samples) if sample.split == "test"} == given_val
        assert 0 < sum(sample.split == "val" for sample in samples) < 10

    def test_a_folder_with_a_manifest_and_its_images_below(self, images: Path, project: Path) -> None:
        images.rename(project / "images")
        names = [path.relative_to(project / "images") for path in sorted((project / "images").rglob("*.png"))]
        (project / "manifest.csv").write_text("file,class\n" + "".join(f"{n},{n.parent}\n" for n in names))
        samples, quarantined, _ = import_data(project, project / "data")
        assert (len(samples), quarantined) == (60, [])

    def test_files_that_are_no_images_are_left_out_and_counted(self, images: Path, project: Path) -> None:
        (images / "red" / "notes.txt").write_text("not an image")
        (images / "red" / "empty.png").touch()
        whole = (images / "red" / "000.png").read_bytes()
        (images / "red" / "header_only.png").write_bytes(whole[:30])
        samples, quarantined, _ = import_data(images, project / "data")
        assert {Path(item.file).name for item in quarantined} == {"notes.txt", "empty.png", "header_only.png"}
        assert len(samples) == 60
        assert len((project / "data" / "quarantine.csv").read_text().splitlines()) == 4

    @pytest.mark.parametrize(
        ("content", "complaint"),
        [
            ("file,kind\na.png,red\n", "no column class"),
            ("file,class,split\na.png,red,later\n", "'later' is none of"),
            ("file,class\n", "lists no files"),
            ("file,class\nphotos/red/000.png\n", "too few columns"),
            ("file,class\nphotos/red/000.png,red\n", "at least two classes, found red"),
            ("file,class\nphotos/red/000.png,red\nphotos/blue/000.png,../out\n", "cannot name a folder"),
            ("file,class,split\nphotos/red/000.png,red,later\nphotos/blue/000.png,blue,train\n", "'later' is none of"),
        ],
    )
    def test_a_wrong_manifest_is_named_and_nothing_is_written(
        self, images: Path, project: Path, content: str, complaint: str
    ) -> None:
        (project / "manifest.csv").write_text(content)
        with pytest.raises(InputError, match=complaint):
            import_data(project / "manifest.csv", project / "data")
        assert not (project / "data").exists()

    def test_a_source_that_is_nothing(self, project: Path) -> None:
        with pytest.raises(InputError, match="neither a folder"):
            import_data(project / "nowhere", project / "data")

    def test_a_failed_import_keeps_the_old_data(self, images: Path, project: Path) -> None:
        import_data(images, project / "data")
        before = sorted(path.name for path in (project / "data").rglob("*"))
        (project / "one").mkdir()
        with pytest.raises(InputError):
            import_data(project / "one", project / "data")
        assert sorted(path.name for path in (project / "data").rglob("*")) == before


class TestReplacingData:
    @staticmethod
    def refused(source: Path, words: str) -> None:
        before = {path: path.read_bytes() for path in sorted(Path("data").rglob("*")) if path.is_file()}
        with pytest.raises(InputError, match=words):
            import_data(source, Path("data"))
        assert {path: path.read_bytes() for path in sorted(Path("data").rglob("*")) if path.is_file()} == before

    def test_an_import_replaces_an_import(self, images: Path, project: Path) -> None:
        (project / "data").mkdir()
        import_data(images, Path("data"))
        shutil.rmtree(images / "red")
        import_data(images, Path("data"))
        assert sorted(path.name for path in Path("data/images").iterdir()) == ["blue", "green"]

    def test_an_import_of_an_earlier_version_has_no_record(self, images: Path, project: Path) -> None:
        import_data(images, Path("data"))
        Path("data/edgeproof.json").unlink()
        Path("data/images/red/mine.png").write_bytes(b"mine")
        self.refused(
            images, r"data holds other files \(images/red/mine\.png\); move them to another folder, and import"
        )
        Path("data/images/red/mine.png").unlink()
        Path("data/imported.json").unlink()
        import_data(images, Path("data"))

    def test_the_default_data_is_replaced_and_another_clip_is_not(
        self, images: Path, project: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_clip(project / "data")
        monkeypatch.setattr(fetch, "CLIP_SHA256", files.sha256(project / "data" / CLIP_NAME))
        write_labels(project / "data")
        self.refused(images, r"\(labels\.csv \(changed\)\)")
        shutil.copyfile(fetch.LABELS, project / "data" / "labels.csv")
        (project / "data" / CLIP_NAME).write_bytes(b"another clip")
        self.refused(images, r"\(vtest\.avi \(changed\)\)")
        write_clip(project / "data")
        import_data(images, Path("data"))
        assert own.is_imported(Path("data"))

    def test_what_a_person_put_or_changed_there_is_kept(self, images: Path, project: Path) -> None:
        import_data(images, Path("data"))
        manifest = Path("data/manifest.csv")
        manifest.write_text(manifest.read_text().replace(",red,", ",green,", 1))
        self.refused(images, r"\(manifest\.csv \(changed\)\)")
        shutil.rmtree("data")
        images.rename("data")
        self.refused(Path("data"), r"data holds other files \(blue/, green/, red/\)")
        write_images(images, 4)
        Path("data/manifest.csv").write_text("file,class,split\n")
        self.refused(images, r"blue/, green/, manifest\.csv, red/")

    def test_data_is_not_imported_from_itself(self, images: Path, project: Path) -> None:
        import_data(images, Path("data"))
        self.refused(Path("data"), r"data holds data/manifest\.csv, which is to be read")
        self.refused(Path("data/images"), "data holds data/images, which is to be read")
        self.refused(project, "data lies in .*, which is to be read; name a folder elsewhere")

    def test_a_file_or_a_link_in_its_place(self, images: Path, project: Path) -> None:
        Path("data").write_text("mine")
        self.refused(images, "data is a file")
        assert Path("data").read_text() == "mine"
        Path("data").unlink()
        (project / "disk").mkdir()
        Path("data").symlink_to("disk")
        self.refused(images, "data is a symbolic link")


class TestBuild:
    def test_clip_regions_are_what_the_device_cuts(self, project: Path) -> None:
        write_clip(project / "data")
        write_labels(project / "data")
        samples, _ = build(project / "data", project / "out", SPLIT)
        counts = Counter(sample.split for sample in samples)
        assert counts == {"train": 6, "val": 3, "test": 9}, "frames between the splits and uncertain labels stay out"
        opened = open_dataset(project / "out")
        assert opened.classes == ["background", "person"]
        images, labels = opened.load("test", 32)
        assert images.shape == (9, 32, 32, 3)
        assert labels.tolist() == [0 if number % 2 else 1 for number in range(11, 20)]
        capture = cv2.VideoCapture(str(project / "data" / CLIP_NAME))
        capture.set(cv2.CAP_PROP_POS_FRAMES, 11)
        frame = regions.to_frame(capture.read()[1])
        np.testing.assert_array_equal(images[0], regions.crop(frame, regions.Box(100, 100, 40, 80), 32))

    def test_images_keep_their_shape(self, images: Path, project: Path) -> None:
        import_data(images, project / "data")
        build(project / "data", project / "out", SPLIT)
        opened = open_dataset(project / "out")
        region = read_image(opened.folder / opened.samples[0].file)
        assert region.shape == (40, 40, 3), "the 40x32 image was made square by its edges, not stretched"

    def test_an_image_that_went_bad_since_the_import_is_quarantined(self, images: Path, project: Path) -> None:
        samples, *_ = import_data(images, project / "data")
        (project / "data" / samples[0].file).write_bytes(b"damaged")
        built, quarantined = build(project / "data", project / "out", SPLIT)
        assert len(built) == 59
        assert [item.file for item in quarantined] == [samples[0].file]

    def test_a_truncated_clip_is_named_and_nothing_is_written(self, project: Path) -> None:
        write_clip(project / "data")
        write_labels(project / "data")
        clip = project / "data" / CLIP_NAME
        clip.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
        with pytest.raises(InputError, match="data fetch"):
            build(project / "data", project / "out", SPLIT)
        assert not (project / "out").exists()

    def test_a_clip_shorter_than_its_labels(self, project: Path) -> None:
        write_clip(project / "data", frames=12)
        write_labels(project / "data")
        with pytest.raises(InputError, match="ends at frame 11"):
            build(project / "data", project / "out", SPLIT)

    @pytest.mark.parametrize("place", ["frame", "w"])
    def test_a_label_that_is_nowhere_is_named(self, project: Path, place: str) -> None:
        write_clip(project / "data")
        row = {"frame": 3, "x": 1, "y": 2, "w": 30, "h": 40, "class": "person", place: "ten"}
        lines = [row.keys(), map(str, row.values())]
        (project / "data" / "labels.csv").write_text("".join(",".join(line) + "\n" for line in lines))
        with pytest.raises(InputError, match=r"labels\.csv: line 2: .*whole numbers.*'ten'"):
            build(project / "data", project / "out", SPLIT)

    def test_no_data(self, project: Path) -> None:
        with pytest.raises(InputError, match="data fetch"):
            build(project / "data", project / "out", SPLIT)

    def test_an_empty_split(self, project: Path) -> None:
        write_clip(project / "data")
        write_labels(project / "data")
        with pytest.raises(InputError, match="the test split has no usable images"):
            build(project / "data", project / "out", Split(train=(0, 5), val=(7, 19), test=(100, 101)))


@given(st.binary(max_size=2000))
def test_no_bytes_crash_the_image_reader(content: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "captured.jpg"
        path.write_bytes(content)
        with suppress(InputError):
            assert read_image(path).ndim == 3


@pytest.mark.parametrize(("width", "height"), [(4, 2_000_000_000), (1_500_000, 1), (0, 4), (4, 0), (200_000, 200_000)])
def test_a_png_that_claims_nonsense_is_told_by_us_alone(
    width: int, height: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    small = cv2.imencode(".png", np.zeros((4, 4, 3), np.uint8))[1].tobytes()
    header = b"IHDR" + struct.pack(">II", width, height) + small[24:29]
    (tmp_path / "a.png").write_bytes(small[:12] + header + struct.pack(">I", zlib.crc32(header)) + small[33:])
    with pytest.raises(InputError, match=r"a\.png: (not an image, or a damaged|claims to have over 268 million)"):
        read_image(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(small[:45] + bytes(4) + small[49:])
    with suppress(InputError):
        read_image(tmp_path / "b.png")
    assert capfd.readouterr() == ("", "")
    os.write(2, b"heard again")
    assert capfd.readouterr().err == "heard again"


def bind(path: Path) -> None:
    """A socket of that name."""
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, bind])
def test_what_is_no_regular_file_is_no_image(
    make: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the whole path may be too long for a socket
    make(Path("a.png"))
    with pytest.raises(InputError, match=r"a\.png: is no image"):
        read_image(Path("a.png"))
