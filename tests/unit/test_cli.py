"""The command's edges: the operating system's refusals become one line and exit code 2."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.cli import cli
from pipeline.data import cutting
from pipeline.system.errors import BadData, InputError


def shell(line: str) -> subprocess.CompletedProcess[bytes]:
    root = Path(__file__).resolve().parents[2]
    return subprocess.run(["bash", "-c", line], cwd=root, env={**os.environ, "PYTHON": sys.executable}, check=False)


def test_a_fault_of_our_own_is_shown_and_is_no_verdict() -> None:
    fault = "from pipeline import cli; cli.cli = lambda **_: {}['nothing']; cli.main()"
    done = subprocess.run([sys.executable, "-c", fault], capture_output=True, text=True, check=False)
    assert done.returncode == 70
    assert done.stderr.endswith("KeyError: 'nothing'\n")


@pytest.mark.parametrize("asked", [[], ["-W", "default"]])
def test_warnings_of_libraries_are_shown_to_who_asks_python_for_them(asked: list[str]) -> None:
    warns = "import warnings; from pipeline import cli; cli.cli = lambda **_: warnings.warn('of a library'); cli.main()"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"}
    done = subprocess.run([sys.executable, *asked, "-c", warns], env=environment, capture_output=True, text=True)
    assert ("of a library" in done.stderr) is bool(asked)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "artifacts/x"), "artifacts/x: no space left"),
        (PermissionError(errno.EACCES, "Permission denied", "artifacts/x"), "artifacts/x: permission denied"),
        (OSError(errno.EROFS, "Read-only file system", "artifacts/x"), "artifacts/x: the file system is read-only"),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "artifacts/x"), "artifacts/x: is a folder"),
        (OSError(errno.EFBIG, "File too large"), "size limit"),
        (OSError(errno.ELOOP, "Too many levels of symbolic links", "x"), "x: links lead in a circle"),
        (shutil.Error([("a", "b", "[Errno 28] No space left on device: 'a' -> 'b'")]), "writing: no space left"),
        (RuntimeError("Symlink loop from '/x'"), "'/x': links lead in a circle"),
        (UnicodeEncodeError("utf-8", "secret\udcff", 6, 7, "surrogates not allowed"), "a variable holds bytes"),
        (InputError("two\nlines"), "two lines"),
        (BadData("photo.png: not an image"), "photo.png: not an image"),
        (ModuleNotFoundError("No module named 'cv2'", name="cv2"), "this needs the package cv2"),
    ],
)
def test_one_line_and_exit_code_2(project: None, monkeypatch: pytest.MonkeyPatch, error: Exception, words: str) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(cutting, "build", fail)
    result = CliRunner().invoke(cli, ["stage", "dataset"])
    assert result.exit_code == 2
    assert result.output.startswith("edgeproof: ")
    assert words in result.output
    assert result.output.count("\n") == 1


def test_a_folder_that_is_gone_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tmp_path.rmdir()
    result = CliRunner().invoke(cli, ["init", "mine"])
    assert (result.exit_code, result.output.count("\n")) == (2, 1)
    assert "the folder that you are in is gone" in result.output


def test_a_name_that_is_no_utf_8_ends_no_command_half_way(tmp_path: Path) -> None:
    (tmp_path / "history.jsonl").touch()
    command = [sys.executable, "-m", "pipeline", "ci", "history", "history.jsonl", "--out", b"\xff"]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2]), "PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "0 commits: \\udcff/index.html\n"), done.stderr


def test_an_output_that_nobody_reads_is_no_failed_check() -> None:
    """1 would be the verdict of a check."""
    assert shell("set -o pipefail; $PYTHON -m pipeline targets | true").returncode == 141
    asked = "import sys; from pipeline import cli; cli.cli = lambda **_: sys.exit(sys.stdout.isatty()); cli.main()"
    assert shell(f"$PYTHON -c '{asked}' <&- >&- 2>&-").returncode == 0


def test_an_interruption_is_no_verdict(project: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cutting, "build", stopped)
    result = CliRunner().invoke(cli, ["stage", "dataset"])
    assert (result.exit_code, result.output) == (130, "edgeproof: interrupted\n")


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EBADF, "Bad file descriptor"),
        ModuleNotFoundError("No module named 'pipeline.nowhere'", name="pipeline.nowhere"),
        ValueError("nobody expected this"),
        UnicodeEncodeError("ascii", "\xe4", 0, 1, "ordinal not in range(128)"),
    ],
)
def test_our_own_mistakes_are_not_hidden(project: None, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(cutting, "build", fail)
    assert CliRunner().invoke(cli, ["stage", "dataset"]).exception is error


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["data", "--help"],
        ["stage", "--help"],
        ["gate", "--help"],
        ["cache-key"],
        ["models"],
        ["methods"],
        ["targets"],
        ["targets", "show", "jetson-tx2-maxq"],
    ],
)
def test_commands_that_only_tell(arguments: list[str]) -> None:
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0
    assert result.output
