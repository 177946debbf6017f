"""A board within reach: run a program there, put a file there, get one back, each within a time.

Where that fails it is the board or the way to it: no fault of a candidate, and no verdict on one.
"""

import shlex
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from pipeline.boards.board_file import Board

SHORT_S = 60.0  # for a program that only looks


State = Literal["ready", "away", "sick", "throttled", "hangs", "unusable"]


class Unmeasured(Exception):
    """A board gave no measurement; the message says why, in one line, and `state` how the board is."""

    state: ClassVar[State] = "unusable"


class Away(Unmeasured):
    """It does not answer."""

    state = "away"


class Sick(Unmeasured):
    """The golden bundle says that it is not sound."""

    state = "sick"


class Throttled(Unmeasured):
    """It holds itself back."""

    state = "throttled"


class Open(Unmeasured):
    """It did what it was asked, and a limit is left open all the same."""

    state = "ready"


class TookTooLong(Unmeasured):
    """A program there did not end in its time and was stopped."""

    state = "hangs"


class Died(Unmeasured):
    """A program there crashed, or ran out of memory."""


@dataclass(frozen=True)
class Outcome:
    """How a program ended, and what it wrote."""

    status: int
    stdout: str
    stderr: str

    @property
    def last_words(self) -> str:
        """The last line that it wrote of itself, for a message."""
        lines = [" ".join(line.split()) for line in (self.stderr or self.stdout).splitlines() if line.strip()]
        return lines[-1] if lines else f"it ended with status {self.status}"


class Access(ABC):
    """The way to one board, open until it is closed. Names of files there are relative to the board's folder.

    `root` is where its /sys and /proc are found. All but `close` raise Unmeasured.
    """

    root = "/"

    def __init__(self, board: Board) -> None:
        self.board = board

    @property
    @abstractmethod
    def python(self) -> Sequence[str]:
        """What starts a Python there."""

    @abstractmethod
    def run(self, command: Sequence[str], budget_s: float, folder: str = ".") -> Outcome:
        """Run a command in a folder there; it is stopped, with all that it started, after `budget_s`."""

    @abstractmethod
    def put(self, file: Path, name: str) -> None:
        """Copy a file there, whole or not at all."""

    @abstractmethod
    def get(self, name: str, file: Path) -> None:
        """Copy a file from there."""

    @abstractmethod
    def close(self) -> None:
        """Let go of it."""


def words(command: Sequence[str]) -> str:
    """A command as a shell takes it."""
    return " ".join(shlex.quote(part) for part in command)
