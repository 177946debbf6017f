"""A library that crashes or hangs over a stranger's file takes nothing with it, and leaves nothing behind."""

import resource
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import onnx
import pytest

from pipeline.compress.any_file import compress_file, convert_file
from pipeline.data.own import random_samples
from pipeline.formats.model_file import open_model
from pipeline.processes import activity, process
from pipeline.processes.apart import done_apart
from pipeline.records.targets import load_target
from pipeline.system.errors import BadModel, InputError, Refused
from tests.graphs import model, node, random
from tests.unruly import misbehave
from tests.waiting import until

SOURCE = Path("net.onnx")
JETSON = load_target("jetson-tx2-maxq")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activity, "SAMPLE_S", 0.3)
    monkeypatch.setattr(process, "STILL_S", 1.2)


def written(folder: Path, text: str) -> str:
    (folder / "made").write_text(text)
    return str(Path.cwd())


def unruly(folder: Path, what: str) -> None:
    (folder / "half").write_text("half of it")
    misbehave(what)


def warning(folder: Path) -> None:
    warnings.warn("of a library", UserWarning, stacklevel=1)


def failing(folder: Path, index: int) -> None:
    raise ERRORS[index][0]


class Special(Refused):
    """An error that cannot be made of its message alone."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")


ERRORS: list[tuple[Exception, type[Exception], str]] = [
    (Special("a", "b"), Refused, "^a b$"),
    (InputError("of the user's"), InputError, "of the user's"),
    (PermissionError(13, "denied", "f"), PermissionError, "denied: 'f'"),
    (ModuleNotFoundError("no nncf", name="nncf"), ModuleNotFoundError, "no nncf"),
]


def test_what_was_written_and_answered_is_had_until_the_block_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)  # where relative names of files are looked for
    with done_apart(SOURCE, written, "whole", cpu_limit_s=99.0) as (folder, answer):
        assert (folder / "made").read_text() == "whole"
        assert answer == str(tmp_path)
        assert capsys.readouterr().err == "net.onnx: takes 2 minutes of CPU time at most\n"
    assert not folder.exists()


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("deadlocks", r"working on it stopped \(no CPU used for \d s\)"),
        ("spins", r"working on it stopped \(\d s of CPU used, many times what it should take\)"),
        ("segfaults", r"a library crashed over it \(bad memory\)"),
        ("killed", "most likely since the memory ran out"),
        ("leaves", r"crashed over it \(ended with 0\)"),
    ],
)
def test_an_end_without_an_answer_is_one_line_that_names_the_file(what: str, told: str) -> None:
    with pytest.raises(BadModel, match=f"^net.onnx: .*{told}"), done_apart(SOURCE, unruly, what, cpu_limit_s=2.0):
        pytest.fail("there is nothing to go on with")


def test_errors_keep_their_kinds() -> None:
    for index, (error, kind, words) in enumerate(ERRORS):
        with pytest.raises(kind, match=words) as caught, done_apart(SOURCE, failing, index, cpu_limit_s=99.0):
            pytest.fail("it failed")
        assert type(caught.value) is kind
        assert getattr(caught.value, "name", None) == getattr(error, "name", None)


def too_much(folder: Path) -> str:
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
    return "x" * 5000


def test_an_answer_for_which_there_is_no_room_is_no_fault_of_the_file() -> None:
    with pytest.raises(OSError, match="File too large"), done_apart(SOURCE, too_much, cpu_limit_s=99.0):
        pytest.fail("it failed")


def test_however_the_caller_ends_nothing_is_left(tmp_path: Path) -> None:
    code = f"""
import os, sys
sys.path.insert(0, {str(Path.cwd())!r})
from pathlib import Path
from pipeline.processes.apart import done_apart
from tests.unit.test_apart import waiting
with done_apart(Path("net.onnx"), waiting, {str(tmp_path / "room")!r}, cpu_limit_s=99.0):
    pass
"""
    caller = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    until(lambda: (tmp_path / "room").exists() and (tmp_path / "room").read_text())
    folder = Path((tmp_path / "room").read_text())
    caller.send_signal(signal.SIGKILL)
    caller.wait()
    until(lambda: not folder.parent.exists())


def waiting(folder: Path, told: str) -> None:
    Path(told).write_text(str(folder))
    misbehave("spins")


@pytest.mark.parametrize("what", ["deadlocks", "segfaults"])
def test_a_file_over_which_a_library_dies_is_refused_and_nothing_is_written(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "libraries").mkdir()
    fake = f"from tests.unruly import misbehave\n\n\ndef slim(model):\n    misbehave({what!r})\n"
    (tmp_path / "libraries" / "onnxslim.py").write_text(fake)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "libraries"))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    weights = {"w": random(4, 3, 3, 3)}
    nodes = [node("Conv", "x w", "a"), node("HardSwish", "a", "y")]
    network = model(nodes, weights, ("n", 3, 8, 8))
    network.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 4, 6, 6]))
    onnx.save(network, tmp_path / "net.onnx")
    opened = open_model(tmp_path / "net.onnx")
    samples = random_samples(opened.sample_shape, 4)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(BadModel, match=r"net\.onnx: "):
        compress_file(opened, "fp16", JETSON, samples, tmp_path / "new" / "out")
    with pytest.raises(BadModel, match=r"net\.onnx: "):
        convert_file(opened, JETSON, tmp_path / "new" / "out")
    assert sorted(tmp_path.rglob("*")) == before


def test_what_a_library_warns_of_is_nothing_to_its_user(capfd: pytest.CaptureFixture[str]) -> None:
    with done_apart(SOURCE, warning, cpu_limit_s=60):
        assert "of a library" not in capfd.readouterr().err
