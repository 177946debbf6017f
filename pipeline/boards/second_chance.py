"""A board that is given a second chance, once: what fails is infrastructure, until it fails again."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from pipeline.boards import ways
from pipeline.boards.access import Access, Away, Outcome, Unmeasured
from pipeline.boards.board_file import Board

PAUSE_S = 2.0  # between two tries to reach a board that starts

_T = TypeVar("_T")


class Patient(Access):
    """A board whose power is switched off and on where it can be, and which is reached anew, the first time it fails.

    `notes` say what happened; none of it is a candidate's doing.
    """

    def __init__(self, board: Board) -> None:
        """Reach the board; raises Away where it stays away."""
        super().__init__(board)
        self.notes: list[str] = []
        self._inner: Access | None = None
        try:
            self._inner = ways.open_access(board, board.answer_s)
        except Away as error:
            self._start_anew(error)

    @property
    def root(self) -> str:  # type: ignore[override]
        """Where its /sys is."""
        return self._open.root

    @property
    def python(self) -> Sequence[str]:
        """What starts a Python there."""
        return self._open.python

    def run(self, command: Sequence[str], budget_s: float, folder: str = ".") -> Outcome:
        """Run a command there, twice if need be."""
        return self._patiently(lambda: self._open.run(command, budget_s, folder))

    def put(self, file: Path, name: str) -> None:
        """Copy a file there, twice if need be."""
        self._patiently(lambda: self._open.put(file, name))

    def get(self, name: str, file: Path) -> None:
        """Copy a file from there, twice if need be."""
        self._patiently(lambda: self._open.get(name, file))

    def close(self) -> None:
        """Let go of it."""
        if self._inner is not None:
            self._inner.close()
            self._inner = None

    @property
    def _open(self) -> Access:
        if self._inner is None:
            raise Away(f"{self.board.name} is away")
        return self._inner

    def _patiently(self, work: Callable[[], _T]) -> _T:
        try:
            return work()
        except Unmeasured as error:
            if self.notes:
                raise
            self._start_anew(error)
            return work()

    def _start_anew(self, error: Unmeasured) -> None:
        cycled = ways.power_cycle(self.board)
        how = "its power was switched off and on" if cycled else "tried once more"
        self.notes.append(f"{error}; {how}")
        if self.board.place != "ssh":
            return  # this machine is where it was, with its files
        self.close()
        deadline = time.monotonic() + (self.board.boot_s if cycled else self.board.answer_s)
        while True:
            try:
                self._inner = ways.open_access(self.board, self.board.answer_s)
                return
            except Away:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(PAUSE_S)
