"""The device's programs are found by their names, from wherever they are started."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from runners.edge import __main__ as edge
from runners.edge import commands
from runners.edge.commands import facts
from tests.old_python import python_3_6

HOUSE = Path(__file__).parents[2]


@pytest.fixture
def a_command(tmp_path, monkeypatch):
    (tmp_path / "shout_aloud.py").write_text(
        '"""Shouts a word."""\n'
        "from runners.edge.refused import Refused\n"
        "def add_arguments(parser):\n    parser.add_argument('word')\n"
        "def run(given):\n"
        "    if given.word == 'no':\n        raise Refused('no: say another word')\n"
        "    print(given.word.upper())\n    return 3\n"
    )
    monkeypatch.setattr(commands, "__path__", [str(tmp_path)])
    yield
    sys.modules.pop("runners.edge.commands.shout_aloud", None)


def test_a_file_is_a_command(a_command, capsys):
    assert edge.main(["shout-aloud", "hey"]) == 3
    assert capsys.readouterr().out == "HEY\n"


def test_what_is_wrong_is_one_line(a_command, capsys):
    assert edge.main(["shout-aloud", "no"]) == 2
    assert capsys.readouterr().err == "edge shout-aloud: no: say another word\n"


def test_a_package_that_is_not_there_is_one_line(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "cv2", None)
    assert edge.main(["run", "--bundle=x", "--source=y", "--events=z"]) == 2
    assert "has not the package cv2" in capsys.readouterr().err


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.ELOOP, errno.EISDIR])
def test_a_place_that_takes_no_file_is_one_line(monkeypatch, capsys, code):
    def fail(_):
        raise OSError(code, os.strerror(code), "events/1")

    monkeypatch.setattr(facts, "run", fail)
    assert edge.main(["facts"]) == 2
    assert capsys.readouterr().err == f"edge facts: events/1: {os.strerror(code)}\n"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            ["watts", "--bundle=x", "--source=y", "--meter=rapl", "--rail=z", "--seconds=-1"],
            "above 0 and at most a day",
        ),
        (["watts", "--bundle=x", "--source=y", "--meter=rapl", "--rail=z", "--idle=nan"], "above 0 and at most a day"),
        (["bench", "--bundle=x", "--source=y", "--seconds=0"], "above 0 and at most a day"),
        (["speed", "--bundle=x", "--source=y", "--seconds=inf"], "above 0 and at most a day"),
        (["speed", "--bundle=x", "--source=y", "--regions", "1", "5"], "5: give a whole number, 0 to 4"),
        (["run", "--bundle=x", "--source=y", "--events=z", "--regions=0"], "0: give a whole number, 1 to 4"),
        (["run", "--bundle=x", "--source=y", "--events=z", "--live=99999"], "give a whole number, 0 to 65535"),
        (["selftest", "--bundle=x", "--threads=1e9"], "1e9: give a whole number, 0 to 1024"),
        (["speed", "--bundle=x", "--source=y", "--meter=none"], "no meter none: there are command, "),
        (["logits", "--bundle=x", "--regions=y", "--output=/nowhere/z.npy"], "no answers can be written there"),
        (["run", "--bundle=x", "--source=y", "--events=z", "--record=/nowhere/z.avi"], "no video can be written there"),
    ],
)
def test_what_would_only_fail_later_is_refused_at_once(given, said, capfd):
    try:
        status = edge.main(given)
    except SystemExit as ended:  # argparse's own
        status = ended.code
    assert status == 2
    assert said in capfd.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(("folder", "module"), [(HOUSE, "runners.edge"), (HOUSE / "runners", "edge")])
def test_it_starts_in_either_folder(folder, module):
    shown = subprocess.run([sys.executable, "-m", module, "--help"], cwd=folder, capture_output=True, text=True)
    assert shown.returncode == 0
    assert shown.stdout.startswith("usage: edge ")


def test_python_3_6_takes_every_line_of_it():
    """Vermin knows features, not every corner of the grammar."""
    old = python_3_6() / "bin" / "python3.6"
    files = sorted(map(str, (HOUSE / "runners").rglob("*.py")))
    script = "import sys\nfor name in sys.argv[1:]:\n    compile(open(name, encoding='utf-8').read(), name, 'exec')"
    done = subprocess.run([old, "-c", script, *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_help_needs_no_package():
    command = [python_3_6() / "bin" / "python3.6", "-m", "edge", "run", "--help"]
    shown = subprocess.run(command, cwd=HOUSE / "runners", capture_output=True)
    assert (shown.returncode, shown.stderr) == (0, b"")
