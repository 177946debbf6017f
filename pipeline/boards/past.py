"""What the golden bundle showed on a board before: one line a check, in the cache of whoever asks the board.

Compared are only checks under an equal fingerprint.
"""

import json
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from statistics import median
from typing import Any

from pipeline.boards.board_file import Board
from pipeline.system import cache, files

SLOWER = 1.10  # than the median of its sound checks: a board so slow is sick
LEAST = 3  # sound checks, before its speed says anything
KEPT = 200  # lines


@dataclass(frozen=True)
class Check:
    """One check: median time of a batch, what its answers were (a hash), and what was wrong with it, if anything."""

    time: str
    fingerprint: dict[str, Any]
    batch_ms: float
    answers_sha256: str
    sick: str | None = None


class Past:
    """The checks of one board, oldest first. Damaged lines are left out."""

    def __init__(self, board: Board, folder: Path | None = None) -> None:
        self._file = (folder or cache.folder("boards")) / f"{board.name}.jsonl"
        self._checks = list(self._read())

    def judged(self, fingerprint: dict[str, Any], batch_ms: float, answers_sha256: str) -> str | None:
        """Why a board with these figures is sick by its own past; None where it is not, or where there is none."""
        sound = [check for check in self._checks if check.fingerprint == fingerprint and check.sick is None]
        if sound and sound[-1].answers_sha256 != answers_sha256:
            return f"its answers to the golden bundle are others than on {sound[-1].time}"
        if len(sound) >= LEAST:
            usual_ms = median(check.batch_ms for check in sound)
            if batch_ms > SLOWER * usual_ms:
                return f"a batch of the golden bundle takes {batch_ms:.2f} ms, and {usual_ms:.2f} ms before"
        return None

    def add(self, fingerprint: dict[str, Any], batch_ms: float, answers_sha256: str, sick: str | None) -> None:
        """Write a check down."""
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        self._checks = [*self._checks, Check(now, fingerprint, batch_ms, answers_sha256, sick)][-KEPT:]
        lines = "".join(json.dumps(asdict(check)) + "\n" for check in self._checks)
        files.write_bytes(self._file, lines.encode())

    @property
    def sick_since(self) -> tuple[str, str] | None:
        """When it was first found sick after it was last sound, and why at last; None where it is sound or unknown."""
        if not self._checks or self._checks[-1].sick is None:
            return None
        first = self._checks[-1]
        for check in reversed(self._checks):
            if check.sick is None:
                break
            first = check
        return first.time, self._checks[-1].sick

    @property
    def last_seen(self) -> str | None:
        """When it last answered the golden bundle, rightly or not; None where nobody knows of a time."""
        return self._checks[-1].time if self._checks else None

    def _read(self) -> Any:
        try:
            lines = self._file.read_text(encoding="utf-8").splitlines()
        except OSError:
            return
        for line in lines:
            try:
                yield Check(**json.loads(line))
            except (ValueError, TypeError):
                continue
