"""Boards in a lab: their files, programs with a time, what lies on them, a second try, and how they are."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from pipeline.boards import ways
from pipeline.boards.access import TookTooLong, Unmeasured
from pipeline.boards.board_file import board_names, load_board
from pipeline.boards.kit import Kit, packed_code
from pipeline.boards.past import Past
from pipeline.boards.second_chance import Patient
from pipeline.cli import cli
from pipeline.records.targets import load_target, target_names
from pipeline.system.errors import InputError
from tests import without_xdist
from tests.tiny_candidate import tiny_candidate
from tests.waiting import has_ended

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def board(tmp_path: Path) -> Any:
    file = tmp_path / "mine.yaml"

    def write(**own: Any) -> Path:
        content = {"description": "mine", "place": "emulated", "target": "atom-x5-e3940", **own}
        file.write_text(
            yaml.safe_dump({"board": {name: value for name, value in content.items() if value is not None}})
        )
        return file

    return write


# --- files --------------------------------------------------------------------------------------------------------


def test_every_board_s_file_is_sound_and_labgrid_takes_those_over_ssh() -> None:
    environment = pytest.importorskip("labgrid").Environment
    for name in board_names():
        found = load_board(name)
        assert found.power.rails
        if found.place == "ssh":
            target = environment(str(found.file)).get_target("main")
            assert target.get_driver("SSHDriver", activate=False).keyfile


def test_there_is_an_emulated_board_for_every_target_whose_runtime_runs_here() -> None:
    emulated = {load_board(name).target for name in board_names() if load_board(name).place == "emulated"}
    assert emulated == {name for name in target_names() if load_target(name).emulation.kind == "capped-isa"}


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ({"place": None}, "neither labgrid's `targets` nor board.place"),
        ({"place": "ssh"}, "neither labgrid's `targets` nor board.place"),
        ({"place": "here"}, "board.soc: say what its SoC is called"),
        ({"target": "atom"}, r"unknown target in .*: 'atom'"),
        ({"meter": {"sampler": "rapl2", "rails": ["x"]}}, r"unknown meter in .*: did you mean 'rapl'"),
        ({"colour": "red"}, "colour"),
        ({"folder": "/etc"}, "folder"),
        ({"recorded": "pi"}, "unknown recorded board"),
    ],
)
def test_a_board_s_file_says_what_is_wrong_with_it(board: Any, own: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        load_board(str(board(**own)))
    assert "\n" not in str(caught.value)


def over_ssh(folder: Path, right: str = "", wrong: str = "") -> Path:
    """The example of a board over SSH, with a typo."""
    file = folder / "lab.yaml"
    example = (REPOSITORY / "runners/boards/atom-1.yaml").read_text()
    assert right in example
    file.write_text(example.replace(right, wrong, 1))
    return file


@pytest.mark.parametrize(
    ("right", "wrong", "words"),
    [
        ("  main:", "  mian:", "labgrid's `targets` has no `main`"),
        ("targets:", "targets: []\nothers:", "labgrid's `targets` has no `main`"),
        ("    drivers:", "    drivres:", "targets.main.drivres: labgrid knows no such key; did you mean drivers?"),
        ("SSHDriver: {", "SHHDriver: {", "targets.main.drivers.SHHDriver: .*did you mean SSHDriver?"),
        ("NetworkService: {", "NetService: {", "targets.main.resources.NetService: .*no such resource; did you mean"),
        ("keyfile:", "keyflie:", r"targets.main.drivers.SSHDriver.keyflie: .*did you mean keyfile\?"),
        ("address:", "adress:", r"targets.main.resources.NetworkService.adress: .*did you mean address\?"),
        ("address: atom-1.lab, ", "", "targets.main.resources.NetworkService.address: is missing"),
        ("atom-1.lab", "17", "NetworkService.address: is to be of type str, not 17"),
        ("delay: 5.0", "delay: 5", "ExternalPowerDriver.delay: is to be of type float, not 5"),
        ("{keyfile: /etc/edgeproof/board-key}", "", "targets.main.drivers.SSHDriver: is to be a mapping"),
        ("SSHDriver: {keyfile: /etc/edgeproof/board-key}", "", "targets.main.drivers: has no SSHDriver"),
    ],
)
def test_a_typo_in_what_is_labgrid_s_names_file_and_key(tmp_path: Path, right: str, wrong: str, words: str) -> None:
    pytest.importorskip("labgrid")
    file = over_ssh(tmp_path, right, wrong)
    with pytest.raises(InputError, match=f"^{file}: .*{words}") as caught:
        load_board(str(file))
    assert "\n" not in str(caught.value)


def test_a_value_that_labgrid_fills_in_and_a_class_of_one_s_own_are_labgrid_s_business(tmp_path: Path) -> None:
    assert load_board(str(over_ssh(tmp_path, "atom-1.lab", "!template $LG_NOWHERE"))).place == "ssh"
    own = "imports: [mine.py]\ntargets:"
    file = over_ssh(tmp_path, "targets:", own)
    file.write_text(file.read_text().replace("ExternalPowerDriver", "MyDriver"))
    assert load_board(str(file)).place == "ssh"


def test_a_typo_is_bad_input_to_every_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("labgrid")
    file = over_ssh(tmp_path, "keyfile:", "keyflie:")
    for module in ("pipeline.boards.board_file", "pipeline.ci.preflight"):
        monkeypatch.setattr(f"{module}.board_names", lambda folder=None: [str(file)])
    for command in (["boards"], ["ci", "preflight"], ["device", "run", "lenet-5/int8", "--board", str(file)]):
        done = CliRunner().invoke(cli, command)
        assert done.exit_code == 2, done.output
        assert f"{file}: targets.main.drivers.SSHDriver.keyflie" in done.output


def test_a_host_key_s_file_that_is_not_there_is_bad_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("labgrid")
    monkeypatch.setenv("EDGEPROOF_CACHE", str(tmp_path / "cache"))
    file = over_ssh(tmp_path, "/etc/edgeproof/known_hosts", str(tmp_path / "nowhere"))
    candidate = tiny_candidate(load_target("atom-x5-e3940"), tmp_path).folder
    done = CliRunner().invoke(cli, ["device", "run", str(candidate), "--board", str(file)])
    assert done.exit_code == 2, done.output
    assert f"{file}: board.known_hosts: no file {tmp_path}/nowhere" in done.output


def test_a_board_that_is_not_there_is_told_with_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'atom-1'"):
        load_board("atom1")


def test_boards_are_listed_for_people_and_for_workflows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EDGEPROOF_CACHE", str(tmp_path))
    monkeypatch.setattr("pipeline.boards.board_file.board_names", lambda folder=None: ["emulated-atom-x5-e3940"])
    shown = CliRunner().invoke(cli, ["boards", "--state"])
    assert "emulated-atom-x5-e3940" in shown.output
    assert "ready" in shown.output
    [row] = json.loads(CliRunner().invoke(cli, ["boards", "--json"]).output)
    assert (row["target"], row["required"], row["place"]) == ("atom-x5-e3940", False, "emulated")


# --- programs, within a time --------------------------------------------------------------------------------------


def test_a_program_that_hangs_is_stopped_with_all_that_it_started(board: Any, tmp_path: Path) -> None:
    access = ways.open_access(load_board(str(board())), 5)
    file = tmp_path / "number"
    script = f"setsid sh -c 'echo $$ > {file}; sleep 60' & sleep 60"
    start = time.monotonic()
    with pytest.raises(TookTooLong, match="no end of it within 1 s"):
        access.run(["sh", "-c", script], 1)
    assert time.monotonic() - start < 20
    number = int(file.read_text())
    assert has_ended(number)
    access.close()


def test_programs_of_an_emulated_board_are_held_to_the_target(board: Any) -> None:
    access = ways.open_access(load_board(str(board(environment={"OWN": "1"}))), 5)
    done = access.run(["sh", "-c", "echo $ONEDNN_MAX_CPU_ISA $OWN; ulimit -d"], 5)
    assert done.stdout.split() == ["AVX", "1", str(4096 << 10)]
    with pytest.raises(Unmeasured, match="no-such-program cannot be started"):
        access.run(["no-such-program"], 5)
    access.close()


# --- what lies there ----------------------------------------------------------------------------------------------


def test_files_and_programs_are_put_there_once(board: Any, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("hello")
    access = Patient(load_board(str(board())))
    kit = Kit(access)
    name = kit.file(tmp_path / "a")
    assert access.run(["cat", name], 5).stdout == "hello"
    again = tmp_path / "again"
    access.get(name, again)
    assert again.read_text() == "hello"
    puts: list[str] = []
    access._open.put = lambda file, name: puts.append(name)  # type: ignore[method-assign]
    assert kit.file(tmp_path / "a") == name
    assert puts == []
    access.close()


def test_the_device_s_programs_are_packed_alike_and_whole() -> None:
    assert packed_code(REPOSITORY) == packed_code(REPOSITORY)


def test_a_program_s_refusal_is_one_line_and_its_nonsense_too(board: Any) -> None:
    access = Patient(load_board(str(board())))
    with pytest.raises(InputError, match=r"mine: edge logits: .*nowhere") as caught:
        Kit(access).ask("logits", {"bundle": "nowhere", "regions": "nowhere.npy", "output": "out.npy"}, 30)
    assert "\n" not in str(caught.value)
    access.close()


# --- a second try, and the past -----------------------------------------------------------------------------------


def test_the_second_failure_is_final(board: Any) -> None:
    access = Patient(load_board(str(board())))
    with pytest.raises(TookTooLong):
        access.run(["sleep", "9"], 0.2)
    with pytest.raises(TookTooLong):
        access.run(["sleep", "9"], 0.2)
    assert access.notes == ["mine: no end of it within 1 s; tried once more"]
    access.close()


def test_a_board_is_sick_since_it_was_first_found_so_until_it_is_sound_again(board: Any, tmp_path: Path) -> None:
    mine, same = load_board(str(board())), {"soc": "E3940"}
    past = Past(mine, tmp_path)
    assert past.judged(same, 2.0, "a") is None
    past.add(same, 2.0, "a", None)
    past.add(same, 2.0, "b", "other answers")
    past.add(same, 2.0, "b", "other answers still")
    file = tmp_path / "mine.jsonl"
    lines = file.read_text().splitlines()
    file.write_text(lines[0] + "\n" + "damaged\n" + "\n".join(lines[1:]))
    again = Past(mine, tmp_path)
    assert again.sick_since is not None
    assert again.sick_since[1] == "other answers still"
    assert "others than on" in (again.judged(same, 2.0, "b") or "")
    assert again.judged({"soc": "another"}, 2.0, "b") is None
    again.add(same, 2.0, "a", None)
    assert Past(mine, tmp_path).sick_since is None


# --- pytest on a board --------------------------------------------------------------------------------------------


def suite(tmp_path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += ["-p", "pipeline.device.plugin", "tests/device", *options]
    environment = {**without_xdist.environment(), "EDGEPROOF_CACHE": str(tmp_path / "cache")}
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, env=environment)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--board", "emulated-atom-x5-e3940", "--candidate", "no/candidate"], "no candidate 'no/candidate'"),
    ],
)
def test_bad_input_ends_the_suite_with_2_and_one_line(tmp_path: Path, options: list[str], words: str) -> None:
    done = suite(tmp_path, *options)
    assert done.returncode == 2, done.stdout + done.stderr
    assert words in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
