"""A folder that a user names is replaced only while it holds nothing but what the same command wrote there."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from pipeline.cli import cli
from pipeline.system import files, written
from pipeline.system.errors import InputError, shown
from pipeline.system.written import RECORD, Output

BY = "edgeproof compress"


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEPROOF_CACHE", str(tmp_path_factory.mktemp("cache")))


def write(path: Path, by: str = BY, name: str = "model.onnx", text: str = "weights") -> None:
    with Output(path, by).replaced() as folder:
        (folder / "openvino").mkdir()
        (folder / name).write_text(text)
        (folder / "openvino" / "model.bin").write_text(text)


def contents(path: Path) -> dict[str, object]:
    """All that is below a folder, with what is in it."""
    found = {}
    for entry in sorted(path.rglob("*")):
        link, file = entry.is_symlink(), entry.is_file()
        found[entry.relative_to(path).as_posix()] = entry.readlink() if link else entry.read_bytes() if file else None
    return found


def refused(path: Path, words: str, **options: object) -> None:
    """Refused before the work and at its end; everything around stays, bit for bit."""
    before = contents(path.parent)
    output = Output(path, BY, **options)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=words), output.claimed():
        pytest.fail("the work was begun")
    with pytest.raises(InputError, match=words), output.replaced():
        pytest.fail("the work was begun")
    assert contents(path.parent) == before


def test_a_missing_an_empty_and_a_written_folder_are_replaced_whole(tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    write(out)
    assert {"model.onnx", "openvino/model.bin", RECORD} <= contents(out).keys()
    write(out, name="other.onnx")
    assert set(contents(out)) == {"other.onnx", "openvino", "openvino/model.bin", RECORD}
    (tmp_path / "empty").mkdir()
    write(tmp_path / "empty")
    assert (tmp_path / "empty" / "model.onnx").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "new"]


def test_the_record_says_what_was_written(tmp_path: Path) -> None:
    write(tmp_path / "out")
    record = json.loads((tmp_path / "out" / RECORD).read_text())
    assert record["by"] == BY
    assert record["files"]["model.onnx"] == files.sha256(tmp_path / "out" / "model.onnx")
    assert RECORD not in record["files"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda out: (out / "notes.txt").write_text("mine"), r"out holds other files \(notes\.txt\); name a new"),
        (lambda out: (out / "model.onnx").write_text("mine"), r"\(model\.onnx \(changed\)\)"),
        (lambda out: (out / "openvino" / "model.bin").write_text("mine"), r"openvino/model\.bin \(changed\)"),
        (lambda out: (out / "openvino" / "more").write_text("mine"), r"\(openvino/more\)"),
        (lambda out: (out / "empty").mkdir(), r"\(empty/\)"),
        (lambda out: (out / "theirs").symlink_to(out.parent), r"\(theirs/\)"),
        (lambda out: (out / "nowhere").symlink_to(out.parent / "nowhere"), r"\(nowhere\)"),
        (lambda out: os.mkfifo(out / "pipe"), r"\(pipe\)"),
        (lambda out: (out / RECORD).unlink(), r"\(model\.onnx, openvino/\)"),
        (lambda out: (out / RECORD).write_text("{"), rf"\({RECORD}, model\.onnx, openvino/\)"),
        (lambda out: (out / RECORD).write_text("[" * 9999), rf"\({RECORD}, model\.onnx, openvino/\)"),
        (lambda out: (out / RECORD).write_text(f'{{"by": "{BY}", "files": []}}'), "holds other files"),
        (lambda out: [(out / f"{i}.txt").touch() for i in range(9)], r"0\.txt, 1.* and 4 more\)"),
        (lambda out: (out / "a\x1b[2J\nb").touch(), re.escape(r"(a\x1b[2J\nb)")),
    ],
)  # fmt: skip
def test_what_was_added_or_changed_since_is_named(tmp_path: Path, change: Callable[[Path], object], words: str) -> None:
    write(tmp_path / "out")
    change(tmp_path / "out")
    before = {name: what for name, what in contents(tmp_path).items() if name != "out/pipe"}
    with pytest.raises(InputError, match=words):
        write(tmp_path / "out")
    assert {name: what for name, what in contents(tmp_path).items() if name != "out/pipe"} == before


def test_what_was_written_and_is_gone_is_no_loss(tmp_path: Path) -> None:
    write(tmp_path / "out")
    (tmp_path / "out" / "model.onnx").unlink()
    write(tmp_path / "out")
    assert (tmp_path / "out" / "model.onnx").exists()


def test_another_command_s_folder_is_not_ours(tmp_path: Path) -> None:
    write(tmp_path / "data", by="edgeproof data import")
    refused(tmp_path / "data", "data holds other files")


def test_a_folder_of_somebody_s(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    for name in ("net.onnx", "data.npz", "notes.txt"):
        (tmp_path / "work" / name).write_text(name)
    words = r"work holds other files \(data\.npz, net\.onnx, notes\.txt\); name a new folder$"
    refused(tmp_path / "work", words, apart_from=(tmp_path / "work" / "net.onnx",))


def test_names_that_are_no_utf8_are_named_too(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / os.fsdecode(b"stra\xdfe")).touch()
    refused(tmp_path / "work", re.escape(r"(stra\xdfe)"))


def test_places_that_no_folder_can_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "theirs").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "theirs")
    (tmp_path / "dangling").symlink_to(tmp_path / "none")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_text("image")
    write(tmp_path / "own")
    refused(tmp_path / "file", "file is a file; name a new folder")
    refused(tmp_path / "file" / "below", "file is no folder|Not a directory")
    refused(tmp_path / "link", "link is a symbolic link")
    refused(tmp_path / "dangling", "dangling is a symbolic link")
    refused(tmp_path / "photos" / "out", "out lies in .*photos, which is to be read", apart_from=(tmp_path / "photos",))
    refused(tmp_path / "own", "own holds .*model.onnx, which is to be read", apart_from=(tmp_path / "own/model.onnx",))
    refused(tmp_path / ("x" * 300), "File name too long")
    with pytest.raises(InputError, match=r"/proc/none: no (file can be written|permission to write) in /proc"):
        write(Path("/proc/none"))
    monkeypatch.chdir(tmp_path / "theirs")
    refused(tmp_path / "theirs", "is the folder that you are in")
    refused(Path("/proc/sys"), "holds other files|mounted") if Path("/proc/sys").is_mount() else None


def test_what_fails_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    write(tmp_path / "out")
    before = contents(tmp_path)
    with suppress(KeyboardInterrupt), Output(tmp_path / "out", BY).replaced() as folder:
        (folder / "half").touch()
        raise KeyboardInterrupt
    assert contents(tmp_path) == before


def test_an_interruption_between_the_two_moves_leaves_the_old_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "out")
    before = contents(tmp_path)

    def interrupted(output: Output, folder: Path) -> None:
        if folder.name == "old":
            raise KeyboardInterrupt

    monkeypatch.setattr(Output, "_fault", interrupted)
    with suppress(KeyboardInterrupt):
        write(tmp_path / "out", name="other.onnx")
    assert contents(tmp_path) == before


def test_what_comes_while_the_work_is_done_is_kept(tmp_path: Path) -> None:
    write(tmp_path / "out")
    with pytest.raises(InputError, match=r"holds other files \(mine\)"), Output(tmp_path / "out", BY).replaced():
        (tmp_path / "out" / "mine").write_text("mine")
    assert (tmp_path / "out" / "mine").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_two_runs_at_once_are_told_of_each_other(tmp_path: Path) -> None:
    # Through a link and from another process it is the same folder.
    (tmp_path / "alias").symlink_to(tmp_path)
    code = (
        "import sys; from pathlib import Path; from pipeline.system.written import Output\n"
        "from pipeline.system.errors import InputError\n"
        "try:\n    with Output(Path(sys.argv[1]), 'x').claimed(): pass\n"
        "except InputError as error: print(error)\n"
    )
    run = [sys.executable, "-c", code, str(tmp_path / "alias" / "out")]
    with Output(tmp_path / "out", "x").claimed():
        told = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    assert "another run is writing it" in told
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout == ""


def test_runs_that_do_not_see_each_other_s_lock_leave_one_whole_folder(tmp_path: Path) -> None:
    together = threading.Barrier(4)
    failed: list[BaseException] = []

    def work(name: str) -> None:
        try:
            with Output(tmp_path / "out", BY).replaced() as folder:
                (folder / name).write_text(name)
                together.wait()
        except InputError as error:  # the others were too quick for it, which is said
            assert "other runs" in str(error)  # noqa: PT017
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(f"model{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(contents(tmp_path / "out")) == 2, "one run's file, and its record"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("name", ["x" * 250, "\N{PIG}" * 63])
def test_names_as_long_as_they_may_be_are_written(tmp_path: Path, name: str) -> None:
    files.check_writable(tmp_path / name, "JSON")
    files.write_json(tmp_path / name, {})
    with Output(tmp_path / f"{name}2", "edgeproof test").replaced() as folder:
        (folder / "model.onnx").write_text("weights")
    assert sorted(path.name for path in tmp_path.iterdir()) == [name, f"{name}2"]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc")
def test_a_place_that_permits_files_and_takes_none() -> None:
    with pytest.raises(InputError, match=r"no (file can be written|permission to write) in /proc"):
        files.check_writable(Path("/proc/new.json"), "JSON")


def test_a_file_to_write_is_never_one_to_read_nor_a_device(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_text("weights")
    (tmp_path / "link.json").symlink_to(tmp_path / "net.onnx")
    for path in (tmp_path / "net.onnx", tmp_path / "link.json"):
        with pytest.raises(InputError, match="is to be read; name another"):
            files.check_writable(path, "JSON", None, tmp_path / "net.onnx")
    with pytest.raises(InputError, match="is a device or a pipe"):
        files.check_writable(Path("/dev/null"), "JSON")
    with pytest.raises(InputError, match="File name too long"):
        files.check_writable(tmp_path / ("x" * 300), "JSON")
    files.check_writable(tmp_path / "new.json", "JSON", tmp_path / "net.onnx", Path("x" * 5000))


MAKES = {
    "init": "init {}",
    "a registry": "release init --registry {} --root-key root.pem --online-key online.pem",
    "a root key": "release init --registry releases --root-key {} --online-key online.pem",
    "an online key": "release init --registry releases --root-key root.pem --online-key {}",
    "reports": "release reports {} --inbox inbox",
    "a history": "ci history history.jsonl --out {}",
    "sheets": "data sheets {}",
    "a record": "predict net.onnx --target jetson-tx2-maxq --json {}",
    "a conversion": "convert net.onnx --target jetson-tx2-maxq --output {}",
}


@pytest.mark.parametrize("place", ["/proc/x", "/proc/x/y", "notes.txt/x", "circle/x", "x" * 300])
@pytest.mark.parametrize("what", MAKES)
def test_where_nothing_can_be_made_a_command_says_so_and_makes_nothing(
    what: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    somebodys_work(tmp_path)
    (tmp_path / "inbox").mkdir()
    (tmp_path / "history.jsonl").touch()
    (tmp_path / "circle").symlink_to("circle")
    before = contents(tmp_path)
    done = CliRunner().invoke(cli, MAKES[what].format(place).split())
    assert (done.exit_code, done.output.splitlines()) == (2, [done.stderr.strip()]), done.exception
    assert place.split("/")[0] in done.stderr
    assert contents(tmp_path) == before


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="there is no /dev/zero")
@pytest.mark.parametrize("command", ["release verify --registry releases --root", "ci history"])
def test_a_file_without_end_is_not_read(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "releases" / "metadata").mkdir(parents=True)
    (tmp_path / "releases" / "metadata" / "1.root.json").touch()
    monkeypatch.setattr("pipeline.release.metadata_files.MetadataFiles.root", lambda self: None)
    done = CliRunner().invoke(cli, [*command.split(), "/dev/zero"])
    assert done.exit_code == 2
    assert "/dev/zero: is a folder, a device or a pipe; give a file" in done.stderr


def somebodys_work(folder: Path) -> list[str]:
    """A model with weights beside it, an IR, pictures with their manifest and a note; the command that reads them."""
    kind, beside = onnx.TensorProto.FLOAT, {"save_as_external_data": True, "location": "weights", "size_threshold": 0}
    ends = [onnx.helper.make_tensor_value_info(name, kind, [1, 3, 8, 8]) for name in "xy"]
    weights = onnx.numpy_helper.from_array(np.full((3, 3, 1, 1), 1e-5, np.float32), "w")
    nodes = [onnx.helper.make_node("Conv", ["x", "w"], ["y"])]
    made = onnx.helper.make_model(onnx.helper.make_graph(nodes, "n", ends[:1], ends[1:], [weights]))
    onnx.save(made, folder / "net.onnx", **beside)
    (folder / "net.xml").write_text("<net/>")
    (folder / "net.bin").write_bytes(b"weights")
    (folder / "photos").mkdir()
    (folder / "photos" / "a.png").write_bytes(b"\x89PNG")
    (folder / "photos" / "manifest.csv").write_text("file,class\na.png,cat\n")
    (folder / "notes.txt").write_text("mine")
    return [str(folder / "net.onnx"), "--target", "jetson-tx2-maxq"]


@pytest.mark.parametrize("name", ["weights", "net.bin", "net.xml", "photos/a.png", "photos/manifest.csv", "notes.txt"])
@pytest.mark.parametrize("command", ["check", "predict"])
def test_a_record_takes_the_place_of_no_file_that_is_none(command: str, name: str, tmp_path: Path) -> None:
    given = somebodys_work(tmp_path)
    before = contents(tmp_path)
    done = CliRunner().invoke(cli, [command, *given, "--json", str(tmp_path / name)])
    assert done.exit_code == 2
    assert f"{name}: is there already and is no JSON that edgeproof wrote; name another file to write" in done.stderr
    assert contents(tmp_path) == before


@pytest.mark.parametrize("command", ["device run net.onnx --board atom-1 --json", "ci summary --out"])
def test_nor_does_that_of_a_board_or_a_run(command: str, tmp_path: Path) -> None:
    somebodys_work(tmp_path)
    before = contents(tmp_path)
    done = CliRunner().invoke(cli, [*command.split(), str(tmp_path / "notes.txt")])
    assert done.exit_code == 2
    assert "notes.txt: is there already and is no JSON" in done.stderr
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("command", "name", "kind", "words"),
    [
        ("ingest review --out", "index.html", "page", "<!doctype html><title>mine</title>"),
        ("data check photos --output", "labels.csv", "manifest", "file,class,mine"),
        ("data check photos --output", "photos/a.png", "manifest", "\x89PNG"),
    ],
)
def test_nor_do_pages_and_manifests(
    command: str, name: str, kind: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    somebodys_work(tmp_path)
    monkeypatch.chdir(tmp_path)
    Path(name).write_text(words)
    before = contents(tmp_path)
    done = CliRunner().invoke(cli, [*command.split(), name])
    assert done.exit_code == 2
    assert f"{name}: is there already and is no {kind} that edgeproof wrote" in done.stderr
    assert contents(tmp_path) == before


def test_a_record_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    for text in ("{}", ""):
        (tmp_path / "record.json").write_text(text)
        files.check_writable(tmp_path / "record.json", "JSON")
    files.check_writable(tmp_path / "new" / "record.json", "JSON")


@pytest.mark.parametrize(
    ("out", "words"),
    [
        (".", "lies in|holds other files|which is to be read"),
        ("photos", r"holds other files \(a\.png, manifest\.csv\)"),
        ("compressed", r"holds other files"),
        ("net.onnx", "is a file"),
    ],
)
def test_a_conversion_replaces_nothing_but_conversions(out: str, words: str, tmp_path: Path) -> None:
    given = somebodys_work(tmp_path)
    write(tmp_path / "compressed")  # of another command
    before = contents(tmp_path)
    done = CliRunner().invoke(cli, ["convert", *given, "--output", str(tmp_path / out)])
    assert done.exit_code == 2
    assert re.search(words, done.stderr)
    assert contents(tmp_path) == before


def test_no_name_does_anything_to_a_terminal() -> None:
    assert shown("photos/Straße.png") == "photos/Straße.png"
    assert shown(os.fsdecode(b"stra\xdfe")) == r"stra\xdfe"
    assert shown("a\nb\x1b[2Jc\u202e\ud800") == r"a\nb\x1b[2Jc\u202e\ud800"


def test_the_record_s_name_is_what_people_are_told() -> None:
    assert written.RECORD in (Path(__file__).resolve().parents[2] / "docs/check.md").read_text()
