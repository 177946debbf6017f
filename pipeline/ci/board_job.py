"""The job of one board: the suite of `tests/device` within a time, and what it came to, whatever happens.

The suite judges; here it is only written down. A job that is red for a verdict would hide from the jobs behind it what
was measured, so it is `edgeproof ci gate` that makes a run red.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipeline.boards.board_file import Board
from pipeline.boards.past import Past
from pipeline.ci import board_outcome
from pipeline.ci.board_outcome import FOLDER, Outcome
from pipeline.ci.parcel import BASE
from pipeline.project import layout
from pipeline.records.gates import Verdict
from pipeline.system import files
from pipeline.system.errors import InputError

SUITE = Path(__file__).resolve().parents[2] / "tests" / "device"
VERDICTS: dict[int, Verdict] = {0: "pass", 1: "fail", 3: "not_measured"}
BAD_INPUT = (2, 4, 5)  # what the suite refuses, and what pytest does: options that it does not know, no tests
NUMBERS = "numbers.json"
GRACE_S = 30.0


def run(board: Board, minutes: float, options: Sequence[str] = ()) -> Outcome:
    """Have a board go through the suite; it is stopped after so many minutes.

    The outcome, the records and pytest-benchmark's numbers lie in `artifacts/boards/NAME` then, for the report to take.

    Raises:
        InputError: the suite refuses what it was given.
    """
    outcome = board_outcome.of_board(board, "unanswered")
    outcome.write()  # what counts if this process is killed
    results = layout.ARTIFACTS / "results" / "device"
    with tempfile.TemporaryDirectory(prefix="edgeproof-") as room:
        told = Path(room) / "state.json"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(SUITE)]
        command += ["--board", str(board.file), "--how-it-was", str(told)]
        command += ["--benchmark-json", str(FOLDER / board.name / NUMBERS), *options]
        if (BASE / "runners").is_dir():
            command += ["--base", str(BASE)]
        code = _within(command, 60 * minutes)
        outcome = _outcome(board, code, told)
    for path in sorted(results.glob("*/*/*.json")):
        files.write_bytes(FOLDER / board.name / "results" / path.relative_to(results), path.read_bytes())
    outcome.write()
    return outcome


def _outcome(board: Board, code: int | None, told: Path) -> Outcome:
    """What the suite's exit code (None: it was stopped) and what it says of the board come to."""
    if code in BAD_INPUT:
        raise InputError(f"{board.name}: the suite refuses what it was given; the lines above say what")
    if code is None:
        return board_outcome.of_board(board, "hangs", since=Past(board).last_seen)
    if code not in VERDICTS:
        return board_outcome.of_board(board, "unusable")
    verdict = VERDICTS[code]
    said = _said(told)
    if verdict != "not_measured" or said["state"] == "ready":
        return board_outcome.of_board(board, "measured", verdict)
    return board_outcome.of_board(board, said["state"], since=said["since"])


def _said(told: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(told.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # it broke down, for which pytest has the same exit code
        return {"state": "unusable", "since": None}
    return found


def _within(command: Sequence[str], limit_s: float) -> int | None:
    """The exit code of a command; None where it was stopped for taking too long."""
    process = subprocess.Popen(command, start_new_session=True)
    try:
        return process.wait(limit_s)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)  # it ends what it has started, wherever that is
            with suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_S)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
