"""Samples for a check: every source, how images are prepared, and what damaged or hostile data leads to."""

import io
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import models
from pipeline.data.batches import Regions
from pipeline.data.cutting import Split, build
from pipeline.data.dataset import open_dataset
from pipeline.data.importing import import_data
from pipeline.data.own import LabelledSamples, Preprocessing, is_imported, open_samples, random_samples
from pipeline.system.errors import InputError
from runners.contract.model_input import ModelInput
from runners.edge.loop import regions
from tests.conftest import write_images
from tests.damage import damaged

SHAPE = (3, 16, 16)


def read(samples: LabelledSamples, batch: int = 4) -> NDArray[np.float32]:
    """All samples in one array; their number and types are as promised."""
    batches = list(samples.batches(batch))
    assert all(len(found) == batch for found in batches[:-1])
    inputs = np.concatenate(batches)
    assert len(inputs) == len(samples)
    assert inputs.dtype == np.float32
    assert samples.labels is None or (samples.labels.dtype == np.int64 and len(samples.labels) == len(samples))
    return inputs


def open_(source: Path, **options: Any) -> LabelledSamples:
    return open_samples(source, **{"shape": SHAPE, **options})


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Three classes of four images each."""
    write_images(tmp_path / "photos", per_class=4)
    return tmp_path / "photos"


def manifest(folder: Path, header: str, rows: list[str]) -> Path:
    path = folder / "manifest.csv"
    path.write_text("\n".join([header, *rows, ""]))
    return path


class TestTree:
    def test_class_folders_are_indices_in_sorted_order(self, tree: Path) -> None:
        samples = open_(tree, classes=3)
        assert samples.labels is not None
        assert samples.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
        colour = read(samples).mean(axis=(2, 3)).argmax(axis=1)  # blue, green, red are channels 2, 1, 0 of RGB
        assert colour.tolist() == [2] * 4 + [1] * 4 + [0] * 4

    def test_a_file_of_names_gives_another_order(self, tree: Path, tmp_path: Path) -> None:
        (tmp_path / "names.txt").write_text("red\ngreen\nblue\nunused\n")
        samples = open_(tree, classes=4, labels=tmp_path / "names.txt")
        assert samples.labels is not None
        assert samples.labels.tolist() == [2] * 4 + [1] * 4 + [0] * 4

    @pytest.mark.parametrize(
        ("splits", "chosen", "images"), [(("test", "train", "val"), "test", 1), (("train", "val"), "val", 1)]
    )
    def test_the_split_for_testing_counts_and_keeps_every_class_index(
        self, tree: Path, splits: tuple[str, ...], chosen: str, images: int
    ) -> None:
        classes = tree.rename(tree.with_name("classes"))
        for name in splits:
            for label in ("blue", "red"):
                (tree / name / label).mkdir(parents=True)
        (classes / "blue" / "000.png").rename(tree / "train" / "blue" / "000.png")
        (classes / "red" / "000.png").rename(tree / chosen / "red" / "000.png")
        samples = open_(tree, classes=2)
        assert f"{chosen} split" in samples.description
        assert len(samples) == images
        assert samples.labels is not None
        assert samples.labels.tolist() == [1]

    def test_hidden_files_do_not_count(self, tree: Path) -> None:
        (tree / "red" / ".DS_Store").write_bytes(b"x")
        (tree / ".cache").mkdir()
        (tree / ".cache" / "thumbs.db").write_bytes(b"x")
        assert len(open_(tree, classes=3)) == 12

    @pytest.mark.parametrize(
        ("names", "words"), [(("1", "2", "10"), "'10' would come second"), (("0", "2"), "some are missing")]
    )
    def test_numbers_as_class_names_leave_their_order_in_doubt(
        self, tmp_path: Path, names: tuple[str, ...], words: str
    ) -> None:
        for name in names:
            (tmp_path / "data" / name).mkdir(parents=True)
            cv2.imwrite(str(tmp_path / "data" / name / "a.png"), np.zeros((8, 8, 3), np.uint8))
        with pytest.raises(InputError, match=f"{words}.*--labels"):
            open_(tmp_path / "data")
        (tmp_path / "names").write_text("\n".join(names))
        assert open_(tmp_path / "data", labels=tmp_path / "names").labels is not None

    @pytest.mark.parametrize(
        ("names", "classes", "words"),
        [
            (None, 1000, "3 classes, but the model answers 1,000"),
            ("red\ngreen\n", 3, "2 classes, but the model answers 3"),
            ("red\ngreen\nteal\n", 3, "'blue'"),
            ("red\ngreen\n\nblue\n", 3, "4 classes"),
            ("red\nred\nblue\ngreen\n", 4, "'red' .* more than once"),
            ("", None, "empty"),
            ("\n \n", None, "empty"),
        ],
    )
    def test_classes_that_do_not_match(
        self, tree: Path, tmp_path: Path, names: str | None, classes: int | None, words: str
    ) -> None:
        labels = None if names is None else tmp_path / "names.txt"
        if labels:
            labels.write_text(names or "")
        with pytest.raises(InputError, match=words):
            open_(tree, classes=classes, labels=labels)


class TestManifest:
    def test_indices_and_other_columns(self, tree: Path) -> None:
        manifest(tree, "file,camera,class_index", ["red/000.png,c1,7", "blue/001.png,c1,2"])
        samples = open_(tree, classes=8)
        assert samples.labels is not None
        assert samples.labels.tolist() == [7, 2]
        assert read(samples).shape == (2, *SHAPE)

    def test_names_with_splits_and_images_below(self, tree: Path, tmp_path: Path) -> None:
        tree.rename(tmp_path / "images")
        rows = ["red/000.png,red,train", "blue/000.png,blue,val", "green/000.png,green,val"]
        path = manifest(tmp_path, "file,class,split", rows)
        samples = open_(path, classes=3)
        assert samples.labels is not None
        assert samples.labels.tolist() == [0, 1]
        assert samples.description == f"{path} (val split), 2 images"
        path.write_text(path.read_text() + "red/001.png,red,test\n")
        assert open_(path, classes=3).description == f"{path} (test split), 1 images"

    @pytest.mark.parametrize(
        ("header", "rows", "words"),
        [
            ("picture,class", ["red/000.png,red"], "no column file"),
            ("file,kind", ["red/000.png,red"], "no column class or class_index"),
            ("file,class", [], "lists no files"),
            ("file,class", ["red/000.png,red", "red/001.png"], "line 3 has too few columns"),
            ("file,class", ["red/000.png,red", "red/001.png, "], "line 3 has no class"),
            ("file,class", ["/etc/passwd,red"], "line 2: '/etc/passwd' is not a path inside"),
            ("file,class", ["red/../../secret.png,red"], "not a path inside"),
            ("file,class", [",red"], "not a path inside"),
            ("file,class", ["a\0b,red"], "NUL|not a path inside"),
            ("file,class", [f"{'x' * 5000},red"], "name too long"),
            ("file,class", ["red/nope.png,red", "red/000.png,blue", "no.png,green"], "no such file; 2 of 3 files"),
            ("file,class,split", ["red/000.png,red,later"], "split 'later'"),
            ("file,class_index", ["red/000.png,red"], "class indices, one whole number"),
            ("file,class_index", ["red/000.png,1.5"], "class indices, one whole number"),
            ("file,class_index", ["red/000.png,3"], "label 3 of sample 0 is outside 0 to 2"),
            ("file,class_index", ["red/000.png,-1"], "label -1"),
            ("file,class_index", [f"red/000.png,{10**30}"], "class indices"),
        ],
    )
    def test_bad_tables(self, tree: Path, header: str, rows: list[str], words: str) -> None:
        path = manifest(tree, header, rows)
        for source in (path, tree):
            with pytest.raises(InputError, match=words):
                open_(source, classes=3)

    def test_labels_are_not_given_twice(self, tree: Path, tmp_path: Path) -> None:
        (tmp_path / "labels.txt").write_text("0\n")
        with pytest.raises(InputError, match="leave --labels away"):
            open_(manifest(tree, "file,class_index", ["red/000.png,0"]), labels=tmp_path / "labels.txt")


class TestPlainFolder:
    def test_without_labels(self, tree: Path) -> None:
        samples = open_(tree / "red", classes=3)
        assert samples.labels is None
        assert read(samples).shape == (4, *SHAPE)

    def test_labels_of_every_kind(self, tree: Path, tmp_path: Path) -> None:
        (tmp_path / "labels.txt").write_text("2\n0\n1\n2\n")
        np.save(tmp_path / "labels.npy", np.array([2, 0, 1, 2], np.uint8))
        (tmp_path / "labels.csv").write_text("file,class_index\n000.png,2\n001.png,0\n002.png,1\n003.png,2\n")
        for name in ("labels.txt", "labels.npy", "labels.csv"):
            samples = open_(tree / "red", classes=3, labels=tmp_path / name)
            assert samples.labels is not None
            assert samples.labels.tolist() == [2, 0, 1, 2]

    @pytest.mark.parametrize(
        ("labels", "words"),
        [
            (np.array([0, 1]), "2 labels for 4 samples"),
            (np.array([0.0, 1, 2, 1]), "one integer per sample"),
            (np.zeros((4, 1, 1, 1), np.int64), "one integer per sample"),
            (np.array([0, 1, 2, 3]), "label 3 of sample 3 is outside 0 to 2, the model's classes"),
            (np.array([0, 1, 2, 2**64 - 1], np.uint64), "outside"),
            (np.array([0, 1, 2, None]), "not a readable .npy"),
        ],
    )
    def test_labels_that_do_not_match(self, tree: Path, tmp_path: Path, labels: NDArray[Any], words: str) -> None:
        np.save(tmp_path / "labels.npy", labels)
        with pytest.raises(InputError, match=words):
            open_(tree / "red", classes=3, labels=tmp_path / "labels.npy")

    @pytest.mark.parametrize(
        ("text", "words"), [("0.0\n2.0\n1\n0", None), ("0\n1\n2\ncat", "'cat' is none"), ("1e9", "'1e9'")]
    )
    def test_labels_that_tables_write(self, tree: Path, tmp_path: Path, text: str, words: str | None) -> None:
        (tmp_path / "labels.txt").write_text(text)
        if words is None:
            assert open_(tree / "red", labels=tmp_path / "labels.txt").labels.tolist() == [0, 2, 1, 0]  # type: ignore[union-attr]
        else:
            with pytest.raises(InputError, match=f"one whole number a line, and {words}"):
                open_(tree / "red", labels=tmp_path / "labels.txt")

    @pytest.mark.parametrize("content", [b"", b"\x93NUMPY\x01\x00\xff\xff{", b"PK\x03\x04", b"\x93NUMPY\x09\x00v"])
    def test_labels_that_are_no_file_of_labels(self, tree: Path, tmp_path: Path, content: bytes) -> None:
        for name in ("labels.npy", "missing.npy"):
            (tmp_path / "labels.npy").write_bytes(content)
            with pytest.raises(InputError, match=r"not a readable \.npy"):
                open_(tree / "red", labels=tmp_path / name)


class TestImages:
    @pytest.mark.parametrize(
        ("write", "words"),
        [
            (lambda folder: (folder / "0.png").write_text("text"), r"0\.png: not an image; take out"),
            (lambda folder: (folder / "0.png").touch(), "not an image"),
            (
                lambda folder: (folder / "0.jpg").write_bytes(b"\0\0\0\x18ftypheic" + bytes(64)),
                r"0\.jpg: HEIC, a kind of image that is not decoded here; save it as PNG or JPEG",
            ),
            (
                lambda folder: (folder / "0.svg").write_text("<svg/>"),
                r"0\.svg: SVG, a kind of image .*; save it as PNG",
            ),
            (lambda folder: [(folder / f"{i}.png").touch() for i in range(3)], "3 of 7 files are unusable"),
        ],
    )
    def test_files_that_are_no_images(self, tree: Path, write: Callable[[Path], None], words: str) -> None:
        write(tree / "red")
        with pytest.raises(InputError, match=words):
            open_(tree / "red")

    def test_an_image_that_ends_too_early_shows_when_it_is_read(self, tree: Path) -> None:
        whole = (tree / "red" / "002.png").read_bytes()
        (tree / "red" / "002.png").write_bytes(whole[: len(whole) // 2])
        samples = open_(tree / "red")
        with pytest.raises(InputError, match=r"002\.png: not an image, or a damaged one"):
            read(samples)

    @pytest.mark.parametrize(
        ("make", "words"),
        [
            (lambda folder: folder / "missing", "does not exist"),
            (lambda folder: folder / "red" / "000.png", "neither a folder, a manifest"),
            (lambda folder: (folder / "new").mkdir() or folder / "new", "the folder is empty"),
            (lambda folder: (folder / "new" / "sub").mkdir(parents=True) or folder / "new", "hold no files"),
        ],
    )
    def test_sources_that_are_none(self, tree: Path, make: Callable[[Path], Path], words: str) -> None:
        with pytest.raises(InputError, match=words):
            open_(make(tree))

    def test_a_limit_is_spread_over_the_classes(self, tree: Path) -> None:
        samples = open_(tree, limit=3)
        assert samples.labels is not None
        assert samples.labels.tolist() == [0, 1, 2]
        assert len(open_(tree, limit=100)) == 12
        with pytest.raises(InputError, match="at least 1"):
            open_(tree, limit=0)

    def test_the_batch_and_the_pass_make_no_difference(self, tree: Path) -> None:
        samples = open_(tree)
        whole = read(samples, 12)
        for batch in (1, 5, 100):
            np.testing.assert_array_equal(read(samples, batch), whole)

    def test_the_fingerprint_is_of_files_and_labels(self, tree: Path, tmp_path: Path) -> None:
        first = open_(tree).sha256
        assert open_(tree, preprocessing=Preprocessing.chosen("tensorflow")).sha256 == first
        (tmp_path / "names").write_text("red\ngreen\nblue")
        others = [open_(tree, limit=5).sha256, open_(tree, labels=tmp_path / "names").sha256]
        cv2.imwrite(str(tree / "red" / "000.png"), np.zeros((50, 50, 3), np.uint8))
        others.append(open_(tree).sha256)
        assert len({first, *others}) == 4


class TestPreprocessing:
    def test_stretch_is_what_the_pipeline_does_with_its_regions(self) -> None:
        images = [np.random.default_rng(i).integers(0, 256, (64, 32 + i, 3), np.uint8) for i in range(3)]
        mean, std = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
        expected = regions.normalise(np.stack([regions.fit(image, 16) for image in images]), mean, std)
        np.testing.assert_array_equal(Preprocessing(mean, std, "stretch")(images, SHAPE, "nchw"), expected)

    def test_square_is_what_the_pipeline_does_with_imported_images(self) -> None:
        images = [np.random.default_rng(i).integers(0, 256, (40 + i, 32, 3), np.uint8) for i in range(3)]
        images.append(np.random.default_rng(3).integers(0, 256, (20, 61, 3), np.uint8))
        mean, std = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
        fitted = np.stack([regions.fit(regions.squared(image), 16) for image in images])
        found = Preprocessing(mean, std, "square")(images, SHAPE, "nchw")
        np.testing.assert_array_equal(found, regions.normalise(fitted, mean, std))
        assert not np.array_equal(found, Preprocessing(mean, std, "stretch")(images, SHAPE, "nchw"))

    def test_a_check_sees_an_imported_image_as_training_and_re_test_do(self, images: Path, project: Path) -> None:
        import_data(images, project / "data")
        build(project / "data", project / "out", Split(train=(0, 1), val=(2, 3), test=(4, 5)))
        spec = models.spec("lenet-5")
        expected = Regions(open_dataset(project / "out"), spec, "test")
        own = ModelInput(spec.input_size, spec.mean, spec.std, ["blue", "green", "red"])
        chosen = Preprocessing.chosen(own=own, imported=is_imported(project / "data"))
        shape = (3, spec.input_size, spec.input_size)
        samples = open_(project / "data", shape=shape, classes=3, preprocessing=chosen)
        np.testing.assert_array_equal(read(samples), np.concatenate(list(expected.batches(8))))
        np.testing.assert_array_equal(samples.labels, expected.labels)

    def test_crop_keeps_the_aspect_and_takes_the_centre(self) -> None:
        # With a short side of 256 nothing is resized: the middle 224x224 pixels remain.
        image = np.random.default_rng(0).integers(0, 256, (256, 300, 3), np.uint8)
        found = Preprocessing((0.0,), (1.0,))([image], (3, 224, 224), "nchw")[0]
        expected = image[16:240, 38:262, ::-1].transpose(2, 0, 1).astype(np.float32) / np.float32(255)
        np.testing.assert_array_equal(found, expected)

    IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    OWN = ModelInput(224, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), ["a", "b"])

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({}, (*IMAGENET, "crop")),
            ({"preset": "imagenet"}, (*IMAGENET, "crop")),
            ({"preset": "tensorflow"}, ((0.5,), (0.5,), "crop")),
            ({"imported": True}, (*IMAGENET, "square")),
            ({"own": OWN}, (OWN.mean, OWN.std, "square")),
            ({"own": OWN, "imported": True}, (OWN.mean, OWN.std, "square")),
            ({"own": OWN, "preset": "imagenet"}, (*IMAGENET, "square")),
            ({"own": OWN, "std": (1.0,)}, (OWN.mean, (1.0,), "square")),
            ({"own": OWN, "mean": (0.0,), "resize": "crop"}, ((0.0,), OWN.std, "crop")),
            ({"imported": True, "resize": "stretch"}, (*IMAGENET, "stretch")),
        ],
    )
    def test_what_the_user_says_counts_before_what_the_model_says_and_that_before_imagenet(
        self, options: dict[str, Any], expected: tuple[Any, ...]
    ) -> None:
        chosen = Preprocessing.chosen(**options)
        assert (chosen.mean, chosen.std, chosen.resize) == expected

    def test_a_model_by_rows_gets_the_same_values(self) -> None:
        image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
        by_channel = Preprocessing()([image], (3, 24, 32), "nchw")
        by_row = Preprocessing()([image], (24, 32, 3), "nhwc")
        assert by_row.flags.c_contiguous
        np.testing.assert_array_equal(by_row.transpose(0, 3, 1, 2), by_channel)

    def test_a_model_of_one_channel_gets_grey(self) -> None:
        grey = Preprocessing((0.5,), (0.5,))([np.full((9, 9, 3), 255, np.uint8)], (1, 8, 8), "nchw")
        np.testing.assert_array_equal(grey, np.ones((1, 1, 8, 8), np.float32))

    @given(
        st.integers(1, 90),
        st.integers(1, 90),
        st.tuples(st.integers(1, 40), st.integers(1, 40)),
        st.sampled_from(["crop", "stretch", "square"]),
    )
    def test_every_size_gives_what_the_network_takes(
        self, height: int, width: int, size: tuple[int, int], resize: Any
    ) -> None:
        image = np.full((height, width, 3), 255, np.uint8)
        inputs = Preprocessing((0.0,), (1.0,), resize)([image], (3, *size), "nchw")
        np.testing.assert_array_equal(inputs, np.ones((1, 3, *size), np.float32))

    @pytest.mark.parametrize("size", [(1, 60000), (60000, 1)])
    def test_a_long_strip_does_not_grow(self, size: tuple[int, int]) -> None:
        inputs = Preprocessing()([np.zeros((*size, 3), np.uint8)], (3, 224, 224), "nchw")
        assert inputs.shape == (1, 3, 224, 224)

    @pytest.mark.parametrize("values", [(0.0,), (-1.0, 1.0, 1.0), (float("nan"),), (float("inf"),)])
    def test_numbers_that_cannot_normalise(self, values: tuple[float, ...]) -> None:
        with pytest.raises(InputError, match="mean and std must be finite"):
            Preprocessing(std=values)

    @pytest.mark.parametrize(
        ("shape", "words"),
        [
            ((4, 8, 8), "4 channels, image files give 3 or 1"),
            ((1, 8, 8), "3 values, .* 1 channel; give --mean and --std with one number"),
        ],
    )
    def test_channels_that_images_do_not_have(self, tree: Path, shape: tuple[int, int, int], words: str) -> None:
        with pytest.raises(InputError, match=words):
            open_(tree, shape=shape)


INPUTS = np.random.default_rng(0).standard_normal((7, *SHAPE), np.float32)


def npz(inputs: NDArray[Any] = INPUTS, save: Any = np.savez, **others: Any) -> bytes:
    buffer = io.BytesIO()
    save(buffer, inputs=inputs, **others)
    return buffer.getvalue()


def npz_with_header(shape: tuple[int, ...], body: bytes, descr: str = "<f4", claimed: int | None = None) -> bytes:
    """An `.npz` whose header says `shape`; `claimed` is what the archive says of the size of `inputs.npy`."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": descr, "fortran_order": False, "shape": shape})
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as writer:
        writer.writestr("inputs.npy", header.getvalue() + body)
    data = archive.getvalue()
    if claimed is not None:
        real = struct.pack("<L", len(header.getvalue()) + len(body))
        data = data.replace(real, struct.pack("<L", claimed))
    return data


class TestArrays:
    @pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
    def test_rows_come_as_they_were_stored(self, tmp_path: Path, save: Any) -> None:
        (tmp_path / "a.npz").write_bytes(npz(save=save, labels=np.arange(7) % 3))
        samples = open_(tmp_path / "a.npz", classes=3)
        for batch in (1, 3, 7, 100):
            np.testing.assert_array_equal(read(samples, batch), INPUTS)
        assert samples.labels is not None
        assert samples.labels.tolist() == [0, 1, 2, 0, 1, 2, 0]
        few = open_(tmp_path / "a.npz", limit=3)
        np.testing.assert_array_equal(read(few), INPUTS[[0, 2, 4]])
        assert few.labels is not None
        assert few.labels.tolist() == [0, 2, 1]

    def test_labels_from_a_file_replace_its_own(self, tmp_path: Path) -> None:
        (tmp_path / "a.npz").write_bytes(npz(labels=np.zeros(7, np.int64)))
        (tmp_path / "labels.txt").write_text("\n".join("1234567"))
        labels = open_(tmp_path / "a.npz", labels=tmp_path / "labels.txt").labels
        assert labels is not None
        assert labels.tolist() == [1, 2, 3, 4, 5, 6, 7]
        assert open_(tmp_path / "a.npz").sha256 != open_(tmp_path / "a.npz", labels=tmp_path / "labels.txt").sha256

    def test_any_number_of_channels(self, tmp_path: Path) -> None:
        (tmp_path / "a.npz").write_bytes(npz(np.zeros((2, 5, 6, 12), np.float32)))
        assert read(open_(tmp_path / "a.npz", shape=(5, 6, 12), layout="nhwc")).shape == (2, 5, 6, 12)

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (None, "no such file"),
            (b"", "not an .npz"),
            (b"text", "not an .npz"),
            (npz()[:-100], "not an .npz"),
            (npz().replace(b"inputs", b"images"), "no array inputs"),
            (npz(INPUTS.astype(np.float64)), "inputs is float64 .* takes float32"),
            (npz(INPUTS.astype(">f4")), "inputs is >f4"),
            (npz(INPUTS[0]), r"inputs is float32 \(3, 16, 16\), the model takes float32 \(N, 3, 16, 16\)"),
            (npz(INPUTS.transpose(0, 2, 3, 1).copy()), "the model takes"),
            (npz(INPUTS[:0]), "no samples"),
            (npz(np.asfortranarray(INPUTS)), "stored by columns"),
            (npz(np.array([{}], object)), "pickled objects, which are never loaded"),
            (npz(labels=np.array([None] * 7)), "pickled"),
            (npz(labels=np.zeros(6, np.int64)), r"labels is int64 \(6,\), but must be 7 integers"),
            (npz(labels=np.zeros(7)), "labels is float64"),
            (npz(labels=np.zeros((3, 7), np.int64)), "must be 7 integers"),
            (npz(labels=np.zeros((7, 3, 2, 2), np.int64)), "must be 7 integers"),
            (npz(labels=np.full(7, 9)), "label 9 of sample 0 is outside 0 to 2"),
            (npz(labels=np.full(7, -1)), "label -1"),
            (npz_with_header((10**12, *SHAPE), b"\0" * 100), "not as long as its shape"),
            (npz_with_header((-7, *SHAPE), b"\0" * 100), "not as long as its shape"),
            (npz_with_header((2, *SHAPE), b"\0" * (3072 * 2 - 4)), "not as long as its shape"),
            (npz_with_header((10**6, *SHAPE), b"", claimed=128 + 3072 * 10**6), "not as long as its shape"),
            (npz_with_header((1, *SHAPE), b"", descr="|V1000000000"), "inputs .* not as long|the model takes"),
        ],
    )
    def test_bad_arrays(self, tmp_path: Path, content: bytes | None, words: str) -> None:
        if content is not None:
            (tmp_path / "a.npz").write_bytes(content)
        with pytest.raises(InputError, match=words):
            open_(tmp_path / "a.npz", classes=3)

    @pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    def test_methods_of_compression_that_need_memory_without_bound(self, tmp_path: Path, method: int) -> None:
        with zipfile.ZipFile(tmp_path / "a.npz", "w", method) as archive:
            archive.writestr("inputs.npy", b"\0" * 100)
        with pytest.raises(InputError, match="in a way NumPy never does"):
            open_(tmp_path / "a.npz")

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_values_that_are_no_numbers(self, tmp_path: Path, value: float) -> None:
        inputs = INPUTS.copy()
        inputs[5, 0, 3, 3] = value
        (tmp_path / "a.npz").write_bytes(npz(inputs))
        with pytest.raises(InputError, match="sample 5 of inputs holds NaN or infinity"):
            read(open_(tmp_path / "a.npz"))

    def test_a_flipped_bit_is_found(self, tmp_path: Path) -> None:
        content = bytearray(npz())
        content[len(content) // 2] ^= 1
        (tmp_path / "a.npz").write_bytes(content)
        with pytest.raises(InputError, match=r"damaged, truncated or not an \.npz"):
            read(open_(tmp_path / "a.npz"))

    @pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
    def test_memory_grows_with_the_batch_not_with_the_data(self, tmp_path: Path, method: int) -> None:
        def peak_bytes(count: int) -> int:
            path = tmp_path / "long.npz"
            header = {"descr": "<f4", "fortran_order": False, "shape": (count, 3, 64, 64)}
            with zipfile.ZipFile(path, "w", method, compresslevel=1) as archive, archive.open("inputs.npy", "w") as out:
                np.lib.format.write_array_header_1_0(out, header)
                for _ in range(count // 64):
                    out.write(b"\0" * (64 * 49152))
            tracemalloc.start()
            try:
                samples = open_(path, shape=(3, 64, 64))
                assert sum(len(batch) for batch in samples.batches(4)) == count
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

        short, long = peak_bytes(64), peak_bytes(1024)  # 3 and 50 MB
        assert long < short + (1 << 20)
        assert long < 8 << 20


class TestRandom:
    def test_the_seed_and_the_place_decide_not_the_batch(self) -> None:
        samples = random_samples(SHAPE, 9, seed=1)
        assert samples.labels is None
        whole = read(samples, 9)
        np.testing.assert_array_equal(read(samples, 2), whole)
        np.testing.assert_array_equal(read(random_samples(SHAPE, 3, seed=1)), whole[:3])
        assert not np.array_equal(read(random_samples(SHAPE, 9, seed=2)), whole)
        assert abs(float(whole.mean())) < 0.1
        assert random_samples(SHAPE, 9, seed=2).sha256 != samples.sha256

    def test_numbers_that_make_no_sense(self) -> None:
        for count, seed in ((0, 0), (4, -1)):
            with pytest.raises(InputError, match="need at least one"):
                random_samples(SHAPE, count, seed)


@settings(max_examples=300)
@given(damaged(npz(labels=np.arange(7)), npz(save=np.savez_compressed, labels=np.arange(7))))
def test_no_damage_to_an_array_file_goes_further_than_one_line(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.npz"
    path.write_bytes(content)
    with suppress(InputError):
        assert read(open_(path, classes=7)).shape == (7, *SHAPE)


@settings(max_examples=200)
@given(
    damaged(
        b"file,class,split\na.png,cat,test\nb.png,dog,test\nb.png,cat,val\n",
        b"file,class_index\r\na.png,1\r\nb.png,0\r\n",
        '\ufefffile,class\n"a.png","cat, big"\nb.png,dög\n'.encode(),
    )
)
def test_no_damage_to_a_manifest_goes_further_than_one_line(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    folder = tmp_path_factory.getbasetemp() / "manifest"
    folder.mkdir(exist_ok=True)
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(folder / name), np.zeros((8, 8, 3), np.uint8))
    (folder / "manifest.csv").write_bytes(content)
    with suppress(InputError):
        read(open_(folder))
