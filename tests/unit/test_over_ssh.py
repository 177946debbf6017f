"""A board over SSH: a real sshd on the loopback, another user, another folder, another Python."""

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from pipeline.boards.access import Away, TookTooLong
from pipeline.boards.board_file import load_board
from pipeline.boards.presence import presence
from pipeline.boards.second_chance import Patient
from pipeline.boards.ways import open_access
from pipeline.cli import cli
from pipeline.device import session, verdicts
from pipeline.device.on_board import OnBoard
from pipeline.device.session import Session
from pipeline.records.gates import Gates
from pipeline.records.targets import load_target
from tests import without_xdist
from tests.loopback_board import Loopback, loopback
from tests.old_python import python_3_6
from tests.tiny_candidate import clip, tiny_candidate

pytest.importorskip("labgrid")
REPOSITORY = Path(__file__).parents[2]
WHEELS = ("numpy==1.19.5", "opencv-python-headless==4.6.0.66", "onnxruntime==1.10.0")  # the last for Python 3.6
PLATFORM = ["manylinux2014_x86_64", "manylinux_2_17_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64"]


def soc() -> str:
    """What this machine calls its own SoC: the board that it plays is to be one."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")


@pytest.fixture
def room() -> Iterator[Path]:
    """A folder that the board's user may pass through."""
    with tempfile.TemporaryDirectory(prefix="edgeproof-loopback-") as folder:
        yield Path(folder)


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is made where temporary files belong is gone when a connection has ended or come to nothing."""
    tmp_path_factory.getbasetemp()  # all other tests' folders are elsewhere
    with tempfile.TemporaryDirectory(prefix="edgeproof-") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        monkeypatch.setenv("TMPDIR", folder)
        yield
        assert [path.name for path in Path(folder).iterdir() if not path.name.startswith("pytest-of-")] == []


@pytest.fixture
def board(room: Path) -> Iterator[Loopback]:
    with loopback(room, {"target": "atom-x5-e3940", "soc": soc()}) as found:
        yield found


def test_programs_and_files_of_another_user_within_a_time(board: Loopback, tmp_path: Path) -> None:
    mine = load_board(str(board.file))
    assert presence(mine).state == "ready"
    access = open_access(mine, 5)
    done = access.run(["sh", "-c", 'echo "$(id -un) $PWD" "$1"; echo wrong >&2; exit 7', "sh", "a 'b' $c"], 10)
    assert (done.status, done.stdout, done.last_words) == (7, "board /home/board/work a 'b' $c", "wrong")
    (tmp_path / "there").write_bytes(bytes(range(256)))
    access.put(tmp_path / "there", "with space")
    access.get("with space", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == bytes(range(256))
    with pytest.raises(TookTooLong, match="no end of it within 1 s"):
        access.run(["sleep", "30"], 1)
    access.close()


def test_a_host_key_that_is_not_the_board_s_is_refused(board: Loopback, room: Path) -> None:
    known = room / "known_hosts"
    other = room / "key.pub"
    known.write_text(known.read_text().split()[0] + " " + " ".join(other.read_text().split()[:2]) + "\n")
    with pytest.raises(Away, match="is away"):
        open_access(load_board(str(board.file)), 1)


def test_a_board_that_is_away_is_switched_off_and_on_and_then_answers(board: Loopback) -> None:
    """What stands for the switched socket starts the sshd again."""
    board.with_power_switch()
    mine = load_board(str(board.file)).model_copy(update={"answer_s": 1.0})
    access = Patient(mine)
    board.stop()

    def power_comes_back() -> None:
        deadline = time.monotonic() + 30
        while "on" not in board.switched and time.monotonic() < deadline:
            time.sleep(0.05)
        board.start()

    thread = threading.Thread(target=power_comes_back)
    thread.start()
    try:
        assert access.run(["echo", "hello"], 5).stdout == "hello"
    finally:
        thread.join()
    assert board.switched == ["off", "on"]
    assert len(access.notes) == 1
    assert access.notes[0].endswith("its power was switched off and on")
    access.close()


def test_a_board_that_stays_away_is_away_in_bounded_time(
    board: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.boards.presence.WITHIN_S", 0.5)
    monkeypatch.setenv("EDGEPROOF_CACHE", str(tmp_path / "cache"))  # what is remembered of a board is nobody else's
    board.stop()
    content = yaml.safe_load(board.file.read_text())
    content["board"]["answer_s"] = 0.5
    board.file.write_text(yaml.safe_dump(content))
    mine = load_board(str(board.file))
    with pytest.raises(Away, match=r"loopback is away: .*refused"):
        Patient(mine)
    assert presence(mine).state == "away"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "pipeline.device.plugin"]
    candidate = tiny_candidate(load_target("atom-x5-e3940"), board.folder).folder
    record = board.folder / "record.json"
    asked = CliRunner().invoke(
        cli, ["device", "run", str(candidate), "--board", str(board.file), "--json", str(record)]
    )
    assert asked.exit_code == 3, asked.output
    assert "loopback is away" in asked.output
    assert json.loads(record.read_text())["verdict"] == "not_measured"
    done = subprocess.run(
        [*command, "tests/device", "--board", str(board.file), "--candidate", str(candidate),
         "--benchmark-json", str(board.folder / "numbers.json")],
        cwd=REPOSITORY, env=without_xdist.environment(), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 3, done.stdout + done.stderr
    assert "8 skipped" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert "loopback is away" in done.stdout


@pytest.mark.nightly
def test_the_whole_suite_over_ssh(board: Loopback, tmp_path: Path) -> None:
    """OpenVINO on this machine's own kernels: what it answers is not what an Atom does, and FP32 is near enough."""
    mine = load_board(str(board.file))
    tiny = tiny_candidate(mine.profile, tmp_path)
    with OnBoard(mine, tmp_path) as on:
        found = Session(on, tiny, None, 1.0, 2.0, clip(tmp_path / "clip.avi"))
        found.all()
    judged = verdicts.judged(found, Gates(accuracy_drop_points=2.0))
    record = judged.result
    assert record.lane == "device"
    assert record.accuracy_drop_points == 0
    assert record.measured is not None
    assert set(record.measured.frames_per_s) == {0, 1, 2, 3, 4}
    assert record.measured.fingerprint.soc == " ".join(soc().split())
    assert found.found.agreement is not None
    assert found.found.agreement.audit.largest_difference < 1e-5  # type: ignore[operator]
    assert "power" in record.not_measured, "this machine has no RAPL to read"
    assert judged.verdict == "not_measured"


@pytest.mark.nightly
def test_the_whole_suite_on_python_3_6_and_what_it_had(
    room: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a TX2 has it: Python 3.6, NumPy 1.19, OpenCV 4.6, ONNX Runtime 1.10; TensorRT is not to be had."""
    old = python_3_6()
    packages = room / "packages"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--disable-pip-version-check"]
    command += ["--target", str(packages), "--python-version", "3.6", "--implementation", "cp", "--abi", "cp36m"]
    command += ["--abi", "abi3", "--only-binary=:all:", "--no-deps"]
    command += [part for one in PLATFORM for part in ("--platform", one)]
    if subprocess.run([*command, *WHEELS], capture_output=True).returncode:
        pytest.skip("the wheels of Python 3.6 cannot be fetched")
    own: dict[str, Any] = {"target": "tegra-parker-a57", "soc": soc()}
    with loopback(room, own, old, packages) as board:
        mine = load_board(str(board.file))
        tiny = tiny_candidate(mine.profile, tmp_path)
        monkeypatch.setattr(session, "REGIONS", (0, 4))
        with OnBoard(mine, tmp_path) as on:
            found = Session(on, tiny, None, 1.0, 2.0, clip(tmp_path / "clip.avi"))
            found.all()
    record = verdicts.judged(found, Gates(accuracy_drop_points=2.0)).result
    assert record.versions["python"].startswith("3.6.")
    assert record.versions["onnxruntime"] == "1.10.0"
    assert record.accuracy_drop_points == 0
    assert record.measured is not None, record.not_measured
    assert record.measured.frames_per_s[4] > 0
    assert "VDD_IN" in record.not_measured["power"]
    assert found.found.agreement is None or found.found.agreement.audit.agrees
