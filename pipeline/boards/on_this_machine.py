"""This machine as a board: as it is, or under the instruction set and memory of a target, with a recorded /sys."""

import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

from pipeline.boards import recorded_boards
from pipeline.boards.access import Access, Outcome, TookTooLong, Unmeasured
from pipeline.boards.board_file import Board
from pipeline.processes import limits
from pipeline.processes.activity import MARK, kill


class OnThisMachine(Access):
    """Programs run in a folder of their own, which is deleted at the end."""

    def __init__(self, board: Board) -> None:
        super().__init__(board)
        self._temporary = tempfile.TemporaryDirectory(prefix="edgeproof-")
        self._folder = Path(self._temporary.name) / board.folder
        self._folder.mkdir(parents=True)
        self._environment, self._memory_mib = dict(board.environment), None
        if board.place == "emulated":
            emulation = board.profile.emulation
            self._memory_mib = emulation.memory_limit_mib
            own = limits.ENVIRONMENT if self._memory_mib else {}
            self._environment = {**own, **emulation.environment, **self._environment}
        if board.recorded:
            root = Path(self._temporary.name) / "recorded"
            self.root = str(recorded_boards.TREES[board.recorded](root))

    @property
    def python(self) -> Sequence[str]:
        """This program's own, unless the board names another."""
        return [self.board.python or sys.executable]

    def run(self, command: Sequence[str], budget_s: float, folder: str = ".") -> Outcome:
        """Run a command; descendants that went their own way are found by a mark in their environment."""
        mark = uuid4().hex
        try:
            process = subprocess.Popen(
                command,
                cwd=self._folder / folder,
                env={**os.environ, **self._environment, MARK: mark},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,
                preexec_fn=lambda: limits.limit(self._memory_mib),
            )
        except OSError as error:
            raise Unmeasured(f"{self.board.name}: {command[0]} cannot be started ({error.strerror})") from error
        try:
            out, err = process.communicate(timeout=budget_s)
        except subprocess.TimeoutExpired:
            raise TookTooLong(f"{self.board.name}: no end of it within {math.ceil(budget_s)} s") from None
        finally:
            if process.returncode is None:
                kill(mark)
                process.communicate()
            kill(mark)
        return Outcome(process.returncode, out, err)

    def put(self, file: Path, name: str) -> None:
        """Copy a file there."""
        (self._folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, self._folder / name)

    def get(self, name: str, file: Path) -> None:
        """Copy a file from there."""
        try:
            shutil.copyfile(self._folder / name, file)
        except OSError as error:
            raise Unmeasured(f"{self.board.name}: {name} cannot be fetched ({error.strerror})") from error

    def close(self) -> None:
        """Delete the folder."""
        self._temporary.cleanup()
