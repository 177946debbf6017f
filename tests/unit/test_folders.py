"""Folders and tables of images as people have them: read as they are meant or refused in one line, nothing unsaid."""

import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.cli import cli
from pipeline.compress.any_file import output_folder
from pipeline.data.dataset import SPLITS, SplitName
from pipeline.data.images import looks_like_image
from pipeline.data.importing import Imported, import_data
from pipeline.data.own import LabelledSamples, open_samples
from pipeline.data.splits import hold_out, split_of
from pipeline.formats.model_file import open_model
from pipeline.system.errors import InputError

CLASSES = ("cat", "dog", "owl")


@pytest.fixture(autouse=True)
def here(project: Path) -> None:
    """All paths are relative to the test's own folder."""


def picture(number: int) -> bytes:
    """A PNG like no other."""
    image = np.full((8, 8, 3), number % 251, np.uint8)
    image[0, 0] = number // 251
    return cv2.imencode(".png", image)[1].tobytes()


def plant(*names: str, first: int = 0) -> Path:
    """A folder `photos` with these files, each another image."""
    for number, name in enumerate(names, start=first):
        path = Path("photos", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(number))
    return Path("photos")


def tree(*tops: str, count: int = 4, classes: tuple[str, ...] = CLASSES) -> Path:
    """Class folders of `count` images each, below every one of `tops`."""
    names = [os.path.join(top, label, f"{n}.png") for top in tops or ("",) for label in classes for n in range(count)]  # noqa: PTH118
    return plant(*names)


def check(source: Path = Path("photos")) -> LabelledSamples:
    return open_samples(source, shape=(3, 8, 8))


def imported(source: Path = Path("photos")) -> Imported:
    return import_data(source, Path("data"))


def splits(samples: Imported) -> dict[str, int]:
    return dict(Counter(sample.split for sample in samples.samples))


def refused(words: str, source: Path = Path("photos"), *readers: Callable[[Path], object]) -> None:
    """All readers refuse in one line, and leave everything as it was."""
    before = {path: path.read_bytes() if path.is_file() else None for path in sorted(Path().rglob("photos/**/*"))}
    for read in readers or (check, imported):
        with pytest.raises(InputError, match=words) as caught:
            read(source)
        assert "\n" not in str(caught.value)
    after = {path: path.read_bytes() if path.is_file() else None for path in sorted(Path().rglob("photos/**/*"))}
    assert after == before
    assert not Path("data").exists()


class TestSplits:
    @pytest.mark.parametrize(
        ("tops", "expected", "tested"),
        [
            (("train", "valid", "test"), {"train": 12, "val": 12, "test": 12}, "test"),
            (("Train", "Test"), {"train": 9, "val": 3, "test": 12}, "test"),
            (("train", "validation"), {"train": 9, "val": 3, "test": 12}, "val"),
            (("Training", "DEV", "Testing"), {"train": 12, "val": 12, "test": 12}, "test"),
            (("training_set", "test_set"), {"train": 9, "val": 3, "test": 12}, "test"),
            (("train images", "eval"), {"train": 9, "val": 3, "test": 12}, "test"),
            (("entrenamiento", "Validación", "prueba"), {"train": 12, "val": 12, "test": 12}, "test"),
            (("Trainingsdaten", "Testdaten"), {"train": 9, "val": 3, "test": 12}, "test"),
            (("entraînement", "validation"), {"train": 9, "val": 3, "test": 12}, "val"),
            (("训练集", "测试集"), {"train": 9, "val": 3, "test": 12}, "test"),
            (("train",), {"train": 6, "val": 3, "test": 3}, "train"),
        ],
    )
    def test_whatever_the_case_and_the_word(self, tops: tuple[str, ...], expected: dict[str, int], tested: str) -> None:
        tree(*tops)
        assert splits(imported()) == expected
        assert check().description == f"photos ({tested} split), 12 images"

    def test_another_name_than_usual_is_said(self) -> None:
        tree("train", "valid", "Test")
        for notes in (imported().notes, check().notes):
            assert list(notes) == ["valid is read as the val split"]

    @pytest.mark.parametrize("name", ["trains", "invalid", "tests", "protest", "evaluate", "developers", "2train", ""])
    def test_what_is_no_split(self, name: str) -> None:
        assert split_of(name) is None

    @pytest.mark.parametrize(
        ("files", "words"),
        [
            (["unlabeled/1.png"], r"photos: unlabeled lies beside the splits \(test, train\) and is none; take out"),
            (["extra/cat/1.png", "more/dog/1.png"], "extra, more lies beside"),
            (["testing/cat/9.png"], "test and testing are both the test split"),
            (["valid/1.png", "valid/2.png"], "valid: holds 2 files and no class folders"),
            (["valid/.DS_Store"], "valid: holds nothing and no class folders"),
            (["test/test/cat/9.png"], "test/test.*: is named as a split, but stands (where class|inside a class)"),
            (["test/cat/train/9.png"], "cat/train: is named as a split, but stands inside a class"),
        ],
    )
    def test_what_does_not_fit_beside_splits_is_named(self, files: list[str], words: str) -> None:
        tree("train", "test")
        plant(*files, first=100)
        refused(words)

    @pytest.mark.parametrize(
        "tops", [("seg_train/seg_train", "seg_test/seg_test"), ("fold1", "fold2", "fold10"), ("my train", "my-val")]
    )
    def test_parts_of_a_set_are_no_classes(self, tops: tuple[str, ...]) -> None:
        tree(*tops)
        refused("are named as parts of one set and hold folders, so they are no classes; name them train, val and test")

    @pytest.mark.parametrize("pair", [("images", "masks"), ("JPEGImages", "SegmentationClass", "Annotations")])
    @pytest.mark.parametrize("tops", [(), ("train", "valid")])
    def test_images_and_what_belongs_to_each_are_no_classes(self, pair: tuple[str, ...], tops: tuple[str, ...]) -> None:
        tree(*tops, classes=pair)
        refused("are no classes, but images and what belongs to each; give every class a folder")

    def test_classes_may_have_such_names_or_folders(self) -> None:
        plant(*(f"{name}/{index}.png" for name in ("fold1", "fold2") for index in range(8)))
        assert {sample.label for sample in imported().samples} == {"fold1", "fold2"}
        plant(*(f"{name}/{part}/{index}.png" for name in ("1", "2") for part in "ab" for index in range(8)))
        assert {sample.label for sample in imported().samples} == {"fold1", "fold2", "1", "2"}

    def test_splits_below_classes(self) -> None:
        tree("cat", "dog", classes=("train", "test"))
        refused("cat/test: is named as a split, but stands inside a class; put splits at the top")

    def test_a_folder_around_it_all(self) -> None:
        tree("unpacked")
        refused("holds nothing but unpacked; give photos/unpacked$")
        shutil.rmtree("photos")
        tree("a/b/train", "a/b/test")
        refused("holds nothing but a/b; give photos/a/b$")

    def test_a_class_that_a_split_lacks_is_said(self) -> None:
        tree("train", classes=("cat", "dog"))
        tree("test", classes=("dog", "owl"))
        for notes in (imported().notes, check().notes):
            assert list(notes)[:2] == [
                "classes in test and not in train (1): owl",
                "classes in train and not in test (1): cat",
            ]

    def test_the_same_image_in_two_splits_is_counted(self) -> None:
        tree("train", "test", "val")
        for n in range(2):
            shutil.copy(f"photos/train/cat/{n}.png", f"photos/test/owl/same{n}.png")
        shutil.copy("photos/train/dog/0.png", "photos/val/dog/same.png")
        [note] = check().notes
        assert note.startswith("2 images are in two splits, as photos/test/owl/same"), "the test split is what counts"
        [note] = imported().notes
        assert note.startswith("3 images are in two splits")

    def test_the_same_image_on_both_sides_of_a_random_split_is_counted(self) -> None:
        tree(count=1)
        for label in CLASSES:
            for n in range(1, 8):
                shutil.copy(f"photos/{label}/0.png", f"photos/{label}/{n}.png")
        assert imported().notes[-1].startswith("3 images are in two splits")


class TestClasses:
    def test_what_systems_leave_is_no_class_and_is_counted(self) -> None:
        tree()
        plant(".ipynb_checkpoints/cat0-checkpoint.png", "__MACOSX/cat/._0.png", "@eaDir/1.png", first=50)
        plant(".git/objects/aa/bb", "cat/.ipynb_checkpoints/x.png", first=60)
        plant("cat/Thumbs.db", "dog/.DS_Store", "desktop.ini", "owl/@eaDir/0.png", first=70)
        for samples, notes in ((len(check()), check().notes), (len(imported().samples), imported().notes)):
            assert samples == 12
            assert any(note.startswith("hidden folders left out (6): .git with 1 files") for note in notes)
            assert any(note.startswith("files that systems leave left out (3)") for note in notes)

    def test_files_beside_class_folders_are_counted(self) -> None:
        tree("train", "test")
        plant("README.txt", "data.yaml", "train/1.png", first=50)
        for notes in (imported().notes, check().notes):
            assert "files beside the class folders left out (3): README.txt, data.yaml, train/1.png" in notes

    def test_folders_inside_a_class_folder_count_and_are_said(self) -> None:
        tree()
        plant("cat/session 1/a.png", "cat/session 2/b/c.png", first=50)
        for samples, notes in ((len(check()), check().notes), (len(imported().samples), imported().notes)):
            assert samples == 14
            assert list(notes) == [
                "files in folders inside a class's count as that class (2): cat/session 1, cat/session 2/b"
            ]

    def test_an_empty_class_folder_keeps_its_index_and_is_said(self) -> None:
        tree(classes=("cat", "owl"))
        Path("photos/dog").mkdir()
        samples = open_samples(Path("photos"), shape=(3, 8, 8), classes=3)
        assert samples.labels is not None
        assert samples.labels.tolist() == [0] * 4 + [2] * 4
        assert list(samples.notes) == ["class folders without files (1): dog"] == imported().notes

    @pytest.mark.parametrize(
        ("one", "other"), [("cat", "Cat"), ("cat", "cat "), ("big cat", "bigcat"), ("\u00e9", "e\u0301")]
    )
    def test_classes_that_hardly_differ(self, one: str, other: str) -> None:
        tree("train", classes=("dog", one))
        tree("test", classes=("dog", other))
        refused("differ by case or blanks only; rename one")

    def test_links_are_followed_once_and_the_rest_is_said(self) -> None:
        tree()
        plant("cat/0.png")
        Path("elsewhere").mkdir()
        Path("elsewhere/0.png").write_bytes(picture(99))
        Path("photos/fox").symlink_to(Path("elsewhere").resolve())
        Path("photos/cat/back").symlink_to(Path("photos").resolve())
        Path("photos/self").symlink_to(Path("photos").resolve())
        Path("photos/cat/gone.png").symlink_to("nowhere")
        os.mkfifo("photos/dog/pipe")
        assert len(check()) == 13
        notes = "\n".join(check().notes)
        assert "links that lead back left out (2): self, cat/back" in notes
        assert "links to nothing, devices and pipes left out (2): cat/gone.png, dog/pipe" in notes

    def test_a_source_whose_name_is_too_long(self) -> None:
        refused("cannot be read", Path("x" * 5000))

    def test_images_without_classes_are_for_a_check_alone(self) -> None:
        plant("a.png", "b.png", "Thumbs.db", ".hidden/c.png")
        assert len(check()) == 2
        assert check().labels is None
        refused("photos: holds 2 files and no class folders", Path("photos"), imported)

    def test_the_command_says_it(self) -> None:
        tree()
        plant("cat/.DS_Store", first=50)
        result = CliRunner().invoke(cli, ["data", "import", "photos"])
        assert result.exit_code == 0
        assert "note: files that systems leave left out (1): cat/.DS_Store" in result.stderr


class TestTables:
    def table(self, text: str | bytes) -> Path:
        tree(count=4)
        Path("photos/manifest.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
        return Path("photos/manifest.csv")

    def test_blanks_around_values_and_names(self) -> None:
        rows = "".join(
            f"{label}/{n}.png , {label} ,{'Test ' if n else ' Training'}\n" for label in CLASSES for n in (0, 1)
        )
        table = self.table(" File, class ,Split\n" + rows)
        assert check(table).description.endswith("(test split), 3 images")
        refused("1 image a class is too few to hold out 15 %; give splits of your own", table, imported)
        table.write_text(table.read_text() + "cat/2.png,cat,\ndog/2.png,dog, \nowl/2.png,owl,train\n")
        assert splits(imported(table)) == {"train": 3, "val": 3, "test": 3}
        assert "images that name no split count as train, of which a part may be held out (2)" in imported(table).notes
        assert "rows that name no split left out (2)" in check(table).notes

    @pytest.mark.parametrize(
        "names", ["file,class", "filename,label", "label,image", "path,category,label", "img,target"]
    )
    @pytest.mark.parametrize("separator", [",", ";", "\t"])
    def test_columns_as_other_programs_call_and_part_them(self, names: str, separator: str) -> None:
        rows = [names.split(",")]
        for label in CLASSES:
            values = {
                "label": label,
                "class": label,
                "target": label,
                "category": "animal, small" if "label" in names else label,
            }
            rows += [[values.get(name, f"{label}/{n}.png") for name in rows[0]] for n in range(4)]
        text = "\n".join(separator.join(f'"{value}"' if "," in value else value for value in row) for row in rows)
        found = check(self.table(f"\ufeff{text}\r\n"))
        assert found.labels is not None
        assert found.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4

    @pytest.mark.parametrize("said", ["sep=;", '"sep=;"', "SEP=;"])
    def test_what_a_first_line_says_to_a_spreadsheet(self, said: str) -> None:
        """As Excel writes it, so that it opens its own tables wherever numbers have a decimal comma."""
        rows = [f"{label}/{n}.png;{label};1,5" for label in CLASSES for n in range(4)]
        table = self.table("\r\n".join([f"\ufeff{said}", "file;class;weight, kg", *rows]))
        assert (len(check(table)), len(imported(table).samples)) == (12, 12)

    @pytest.mark.parametrize(
        ("names", "labels"),
        [
            ("file,class_id", [2, 1, 0]),
            ("file,label_idx", [2, 1, 0]),
            ("file,class_index,class_name", [2, 1, 0]),
            ("file,class_id,class_name", [0, 1, 2]),
            ("file,category_id,label", [0, 1, 2]),
        ],
    )
    def test_numbers_of_classes_count_unless_there_are_names(self, names: str, labels: list[int]) -> None:
        rows = [f"{label}/0.png,{2 - index},{label}" for index, label in enumerate(CLASSES)]
        if names.count(",") == 1:
            rows = [row.rsplit(",", 1)[0] for row in rows]
        found = check(self.table("\n".join([names, *rows])))
        assert found.labels is not None
        assert found.labels.tolist() == labels

    def test_numbers_of_classes_are_their_names_where_there_are_no_others(self) -> None:
        rows = [f"{label}/{n}.png,{index}" for index, label in enumerate(CLASSES) for n in range(4)]
        found = imported(self.table("\n".join(["file,class_id", *rows]))).samples
        assert {sample.label for sample in found} == {"0", "1", "2"}

    def test_a_table_among_images_is_what_says_their_classes(self) -> None:
        plant("a.png", "b.png")
        table = Path("photos/labels.csv")
        table.write_text("filename;label\na.png;cat\nb.png;dog\n")
        refused("no class folders, but labels.csv: give photos/labels.csv if that says", Path("photos"), check)
        assert len(check(table)) == 2

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("file,class\ncat/0.png,stra\xdfe\n".encode("cp1252"), r"is no UTF-8 text \(byte 0xdf\); save it as"),
            ("file,class\ncat/0.png,cat\n".encode("utf-16"), "is no UTF-8 text"),
            ("file~class\ncat/0.png~cat\n", "no column class|no column file"),
            ("file,class\ncat/0, or so.png,cat\n", "line 2 has too many columns"),
            ("file,class,Class \ncat/0.png,cat,dog\n", "'class' is there more than once"),
            ("file,class\ncat/0.png,cat\ncat/0.png,dog\n", "'cat/0.png' is 'dog' here and 'cat' in another line"),
            ("file,class\ncat/0.png,cat\ndog/0.png,Cat\n", "'Cat' and 'cat' differ by case or blanks only"),
            ("file,class,split\ncat/0.png,cat,later\n", "line 2: split 'later' is none of"),
            ("file,class\n,cat\n", "line 2: '' is not a path"),
            (
                f"file,class,split\ncat/0.png,cat,train\n{'x' * 5000},cat,test\n",
                "cannot be read|two classes, found cat",
            ),
        ],
    )
    def test_tables_that_are_not_clear(self, text: str | bytes, words: str) -> None:
        refused(words, self.table(text))

    @pytest.mark.parametrize("name", ["set", "data set", "Subset"])
    def test_a_column_of_splits_is_one_whatever_its_name(self, name: str) -> None:
        rows = [f"{label}/{n}.png,{label},{'TRAIN' if n else 'test'}" for label in CLASSES for n in range(4)]
        source = self.table("\n".join([f"file,class,{name}", *rows, "owl/3.png,owl,"]))
        found = check(source)
        assert len(found) == 3
        assert f"the column {name.lower()} says the splits" in found.notes
        assert Counter(sample.split for sample in imported(source).samples)["test"] == 3

    def test_paths_of_another_system_and_of_this_one(self) -> None:
        files = [(label, n) for label in CLASSES for n in range(4)]
        source = self.table("\n".join(["file|class", *(f"{label}\\{n}.png|{label}" for label, n in files)]))
        assert (len(check(source)), len(imported(source).samples)) == (12, 12)
        assert "backslashes in paths are read as slashes" in check(source).notes
        here = source.parent.absolute()
        assert (
            len(check(self.table("\n".join(["filepaths,labels", *(f"{here}/{a}/{n}.png,{a}" for a, n in files)]))))
            == 12
        )

    def test_a_file_named_twice_is_said(self) -> None:
        rows = "".join(f"{label}/{n}.png,{label}\n" for label in CLASSES for n in range(4))
        table = self.table(f"file,class\n{rows}cat/0.png,cat\n")
        assert "rows that name a file once more, which counts again (1)" in check(table).notes

    def test_a_table_whose_files_are_missing_says_why_nothing_is_left(self) -> None:
        table = self.table("file,class\ncat/90.png,cat\ndog/90.png,dog\n")
        refused(r"2 files cannot be used, such as photos/cat.*: cannot be read", table, imported)


class TestNames:
    ODD = (
        b"stra\xdfe.png",
        b"\xff\xfe",
        b"two\nlines.png",
        b"\x1b[2J\x07.png",
        "naïve \u202egnp.".encode(),
        b"a" * 250,
    )

    def odd_names(self, folder: bytes = b"photos/cat") -> None:
        tree()
        for number, name in enumerate(self.ODD):
            Path(os.fsdecode(folder)).mkdir(parents=True, exist_ok=True)
            Path(os.fsdecode(os.path.join(folder, name))).write_bytes(picture(200 + number))  # noqa: PTH118

    def test_images_with_any_name_are_read(self) -> None:
        self.odd_names()
        assert sum(len(batch) for batch in check().batches(4)) == len(check()) == 12 + len(self.ODD)
        assert len(imported().samples) == 12 + len(self.ODD)
        assert all(sample.file.isascii() for sample in imported().samples)

    def test_what_is_no_image_is_named_in_one_printable_line(self) -> None:
        tree()
        for name in self.ODD:
            Path("photos/cat", os.fsdecode(name)).write_text("no image")
        result = CliRunner().invoke(cli, ["data", "import", "photos"])
        assert result.exit_code == 0
        assert r"photos/cat/stra\xdfe.png" in Path("data/quarantine.csv").read_text()
        assert all(line.isprintable() for line in Path("data/quarantine.csv").read_text().splitlines())
        with pytest.raises(InputError, match="not an image; 6 of 18 files are unusable"):
            check()

    def test_folders_with_any_name(self) -> None:
        self.odd_names(b"photos/stra\xdfe")
        assert len(check()) == 12 + len(self.ODD)
        refused(r"class 'stra\\udcdfe' has characters that cannot be printed; rename it", Path("photos"), imported)
        shutil.rmtree("photos")
        tree()
        source = Path("photos").rename(os.fsdecode(b"pho\xdfos\n"))
        assert check(source).description == r"pho\xdfos\n, 12 images"
        result = CliRunner().invoke(cli, ["data", "import", str(source)])
        assert result.exit_code == 0
        shutil.rmtree(source / "cat")
        shutil.rmtree(source / "dog")
        result = CliRunner().invoke(cli, ["data", "import", str(source)])
        assert result.exit_code == 2
        assert result.output.count("\n") == 1
        assert r"pho\xdfos" in result.output

    def test_a_file_is_known_by_its_bytes_as_opencv_knows_it(self) -> None:
        tree()
        Path("photos/text.png").write_text("text")
        for name in ("cat/0.png", "text.png", "missing.png"):
            expected = name.startswith("cat")
            assert looks_like_image(Path("photos", name)) is expected
            if (path := Path("photos", name)).exists():
                assert looks_like_image(path.rename(os.fsdecode(b"\xdf"))) is expected

    def test_models_and_output_folders_are_refused_before_the_work(self) -> None:
        for call in (open_model, output_folder):
            with pytest.raises(InputError, match="is no UTF-8 text, which runtimes cannot open; rename it"):
                call(Path(os.fsdecode(b"n\xdft.onnx")))

    def test_a_folder_on_the_way_that_no_runtime_could_open_is_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The file's own name is no trouble; the whole one, under which a runtime gets it, is."""
        folder = tmp_path / os.fsdecode(b"stra\xdfe")
        folder.mkdir()
        monkeypatch.chdir(folder)
        for arguments in (["check"], ["predict"], ["convert", "--output", "made"]):
            Path("net.onnx").write_bytes(b"a network")
            result = CliRunner().invoke(cli, [*arguments, "net.onnx", "--target", "jetson-tx2-maxq"])
            assert result.exit_code == 2
            assert r"/stra\xdfe/" in result.stderr
            assert result.stderr.endswith("the name is no UTF-8 text, which runtimes cannot open; rename it\n")

    def test_a_link_to_itself_is_one_line(self) -> None:
        Path("net.xml").symlink_to("net.xml")
        for command in ("check", "predict"):
            result = CliRunner().invoke(cli, [command, "net.xml", "--target", "jetson-tx2-maxq"])
            assert result.exit_code == 2
            assert result.stderr.startswith("edgeproof: net.xml: ")

    def test_a_list_of_classes_that_is_no_utf8_is_said_with_the_byte(self) -> None:
        Path("order.txt").write_bytes("Straße\nKatze\n".encode("cp1252"))
        tree()
        with pytest.raises(InputError, match=r"^order\.txt: is no UTF-8 text \(byte 0xdf\); save it as text in UTF-8$"):
            open_samples(Path("photos"), shape=(3, 8, 8), classes=3, labels=Path("order.txt"))

    def test_tables_and_lists_may_have_any_name_themselves(self) -> None:
        tree()
        table = Path("photos") / os.fsdecode(b"\xe4.csv")
        table.write_text("file,class\n" + "".join(f"{label}/{n}.png,{label}\n" for label in CLASSES for n in range(4)))
        order = Path(os.fsdecode(b"\xe4.txt"))
        order.write_text("\n".join(reversed(CLASSES)))
        samples = open_samples(table, shape=(3, 8, 8), classes=3, labels=order)
        assert samples.labels is not None
        assert samples.labels.tolist() == [2] * 4 + [1] * 4 + [0] * 4


class TestFewImages:
    def test_two_a_class_are_too_few(self) -> None:
        tree(count=2)
        words = "^photos: 2 images a class are too few to hold out 15 % and 25 %; give splits of your own$"
        refused(words, Path("photos"), imported)

    def test_one_small_class_is_named(self) -> None:
        tree()
        plant("fox/0.png", first=50)
        refused("photos: 1 image of the class fox is too few to hold out", Path("photos"), imported)

    def test_many_small_classes_are_split(self) -> None:
        tree(count=5, classes=tuple(f"class {number}" for number in range(20)))
        found = Counter((sample.label, sample.split) for sample in imported().samples)
        assert set(found.values()) == {1, 3}

    def test_where_classes_are_large_enough_the_shares_are_the_same_in_every_split(self) -> None:
        labels = ["a"] * 20 + ["b"] * 40
        found = Counter(zip(labels, hold_out(labels, [None] * 60, Path("photos")), strict=True))
        assert found == {
            ("a", "train"): 13, ("a", "val"): 3, ("a", "test"): 4,
            ("b", "train"): 25, ("b", "val"): 6, ("b", "test"): 9,
        }  # fmt: skip

    def test_a_test_split_alone_leaves_nothing_to_train_on(self) -> None:
        tree("test")
        refused("photos: holds no images to train on", Path("photos"), imported)

    @given(
        st.dictionaries(
            st.sampled_from("abcdef"),
            st.dictionaries(st.sampled_from(["train", "val", "test", None]), st.integers(0, 30), max_size=4),
            max_size=6,
        )
    )
    @example({"a": {None: 2}, "b": {None: 2}, "c": {None: 2}})
    @example({"a": {None: 1}, "b": {None: 1000}})
    def test_any_numbers_can_be_split_or_are_refused(self, counts: dict[str, dict[SplitName | None, int]]) -> None:
        given = [(label, split) for label, of in counts.items() for split, count in of.items() for _ in range(count)]
        labels, asked = [label for label, _ in given], [split for _, split in given]
        try:
            found = hold_out(labels, asked, Path("photos"))
        except InputError as error:
            assert "give" in str(error)  # noqa: PT017
            return
        names = set(asked)
        for split in SPLITS:
            assert split in found
        for label in {label for label, split in given if split in (None, "train")}:
            ours = Counter(split for name, split in zip(labels, found, strict=True) if name == label)
            assert ours["train"] >= 1
            assert ours["val"] >= 1 or {"val", "test"} <= names
        for before, after in zip(asked, found, strict=True):
            assert before in (None, "train", after) or (before == "val" and "test" not in names)


NAMES = st.one_of(
    st.sampled_from([b"train", b"Valid", b"test", b"cat", b"Cat", b"dog", b"owl", b".git", b"Thumbs.db", b"a.png"]),
    st.binary(min_size=1, max_size=6).map(lambda name: name.replace(b"/", b"_").replace(b"\0", b"_")),
).filter(lambda name: name not in (b".", b".."))
FILES = st.one_of(st.integers(0, 5).map(picture), st.binary(max_size=8))
TREES = st.dictionaries(
    NAMES,
    st.recursive(FILES, lambda below: st.dictionaries(NAMES, below, max_size=4), max_leaves=25),
    max_size=5,
)


def grow(folder: bytes, content: object) -> None:
    if isinstance(content, bytes):
        Path(os.fsdecode(folder)).write_bytes(content)
    elif isinstance(content, dict):
        Path(os.fsdecode(folder)).mkdir()
        for name, below in content.items():
            grow(folder + b"/" + name, below)


def looked_at(folder: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


@settings(max_examples=60)
@given(TREES)
def test_any_tree_is_read_or_refused_in_one_line_and_stays_as_it_is(
    tmp_path_factory: pytest.TempPathFactory, content: object
) -> None:
    folder = tmp_path_factory.mktemp("any")
    grow(os.fsencode(folder / "photos"), content)
    before = looked_at(folder / "photos")
    try:
        samples = check(folder / "photos")
        assert sum(len(batch) for batch in samples.batches(8)) == len(samples)
        assert all(note.isprintable() for note in (samples.description, *samples.notes))
    except InputError:
        pass
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        result = CliRunner().invoke(cli, ["data", "import", "photos"])
    assert result.exit_code in (0, 2), result.exception
    assert (folder / "data").exists() == (result.exit_code == 0)
    if result.exit_code == 2:
        assert [line.isprintable() for line in result.output.splitlines() if "it/s" not in line][-1:] == [True]
    assert looked_at(folder / "photos") == before
    shutil.rmtree(folder)
