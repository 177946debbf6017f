"""A board over SSH, by labgrid: its SSHDriver runs and copies, and whatever has its PowerProtocol switches the power.

Nothing here waits for ever: ssh gives a silent connection up after 45 s, `timeout` on the board ends a program.
"""

import logging
import math
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from labgrid import Environment
from labgrid.driver import ExecutionError
from labgrid.exceptions import NoDriverFoundError
from labgrid.protocol import PowerProtocol

from pipeline.boards.access import SHORT_S, Access, Away, Outcome, TookTooLong, Unmeasured, words
from pipeline.boards.board_file import Board
from pipeline.boards.lab_environment import DRIVER, ROLE, BadBoard

STOPPED = (124, 137)  # what `timeout` ends with, where TERM and where KILL was needed
LOST = 255  # what ssh ends with where it has no connection
GRACE_S = 5  # between TERM and KILL
SILENT_S = 60.0  # after which ssh has given a dead connection up


class OverSsh(Access):
    """A connection that is kept open."""

    def __init__(self, board: Board, within_s: float) -> None:
        super().__init__(board)
        self._temporary = tempfile.TemporaryDirectory(prefix="edgeproof-")
        try:
            self._environment = Environment(str(board.file))
            if board.known_hosts:
                self._environment.config.data.setdefault("tools", {})["ssh"] = self._checking(board.known_hosts)
            self._target: Any = self._environment.get_target(ROLE)
            self._driver: Any = self._target.get_driver(DRIVER, activate=False)
        except BadBoard:
            self._temporary.cleanup()
            raise
        except Exception as error:  # labgrid's own kinds have no common base
            self._temporary.cleanup()
            raise BadBoard(f"{board.file}: labgrid does not take it: {' '.join(str(error).split())}") from error
        self._connect(within_s)

    @property
    def python(self) -> Sequence[str]:
        """The board's."""
        return [self.board.python or "python3"]

    def run(self, command: Sequence[str], budget_s: float, folder: str = ".") -> Outcome:
        """Run a command; `timeout` there ends it, and what it started in its process group."""
        variables = [f"{name}={value}" for name, value in self.board.environment.items()]
        limited = ["timeout", "-k", str(GRACE_S), str(math.ceil(budget_s)), "env", *variables, *command]
        place = f"{self.board.folder}/{folder}"
        started_s = time.monotonic()
        out, err, status = self._ask(f"cd {shlex.quote(place)} || exit {LOST}; {words(limited)}", budget_s)
        if status in STOPPED and time.monotonic() - started_s >= budget_s:  # else something else killed it
            raise TookTooLong(f"{self.board.name}: no end of it within {math.ceil(budget_s)} s")
        return Outcome(status, "\n".join(out), "\n".join(err))

    def put(self, file: Path, name: str) -> None:
        """Copy a file there under another name, then give it its own."""
        unfinished = f"{self.board.folder}/{name}.part"
        try:
            self._driver.put(str(file), unfinished)
        except ExecutionError as error:
            raise Away(f"{self.board.name}: {file.name} could not be copied there") from error
        self._ask(f"mv -f {shlex.quote(unfinished)} {shlex.quote(unfinished.removesuffix('.part'))}", SHORT_S)

    def get(self, name: str, file: Path) -> None:
        """Copy a file from there."""
        try:
            self._driver.get(f"{self.board.folder}/{name}", str(file))
        except ExecutionError as error:
            raise Away(f"{self.board.name}: {name} could not be copied from there") from error

    def close(self) -> None:
        """End the connection."""
        self._environment.cleanup()
        self._temporary.cleanup()

    def _connect(self, within_s: float) -> None:
        logging.getLogger(self._driver.logger.name).setLevel(logging.CRITICAL)  # the reason is ours to tell
        self._driver._start_own_master_once = partial(_once, self._driver, self._driver._start_own_master_once)
        self._driver.connection_timeout = float(within_s)
        try:
            self._target.activate(self._driver)
            self._ask(f"mkdir -p {shlex.quote(self.board.folder)}", SHORT_S)
        except Unmeasured:
            self.close()
            raise
        except Exception as error:  # labgrid raises a bare one
            self.close()
            cause = error.__cause__
            said = [line.decode(errors="replace").strip() for line in getattr(cause, "stdout", None) or ()]
            why = next((line for line in reversed(said) if line), _one_line(error))
            raise Away(f"{self.board.name} is away: {why}") from error

    def _ask(self, line: str, budget_s: float) -> tuple[list[str], list[str], int]:
        try:
            out, err, status = self._driver.run(line, decodeerrors="replace", timeout=budget_s + GRACE_S + SILENT_S)
        except subprocess.TimeoutExpired as error:
            raise TookTooLong(f"{self.board.name}: no answer within {math.ceil(budget_s)} s") from error
        except ExecutionError as error:
            raise Away(f"{self.board.name}: the connection is lost: {error.msg}") from error
        if status == LOST:
            raise Away(f"{self.board.name}: the connection is lost: {(err or ['it gives no reason'])[-1]}")
        return out, err, status

    def _checking(self, known_hosts: Path) -> str:
        """An ssh that insists on the host's key: labgrid's own takes any, and of two settings the first counts."""
        if not known_hosts.is_file():
            raise BadBoard(
                f"{self.board.file}: board.known_hosts: no file {known_hosts}, which is to hold its host key"
            )
        script = Path(self._temporary.name) / "ssh"
        options = words(["-o", f"UserKnownHostsFile={known_hosts}", "-o", "StrictHostKeyChecking=yes"])
        script.write_text(f'#!/bin/sh\nexec ssh {options} "$@"\n', encoding="utf-8")
        script.chmod(0o700)
        return str(script)


def _once(driver: Any, connect: Callable[[int], str], timeout_s: int) -> str:
    """One of labgrid's tries to connect: it makes a folder for each, and deletes none of those that came to nothing."""
    try:
        return connect(timeout_s)
    except BaseException:
        if process := getattr(driver, "process", None):  # none where there is no ssh
            process.kill()  # one that was too slow
            process.wait()
            process.stdout.close()
        shutil.rmtree(getattr(driver, "tmpdir", ""), ignore_errors=True)
        raise


def power_cycle(board: Board) -> bool:
    """Switch a board's power off and on by whatever labgrid has a driver for; False where its file names none.

    Raises:
        Unmeasured: what switches it fails.
    """
    environment = Environment(str(board.file))
    try:
        power: Any = environment.get_target(ROLE).get_driver(PowerProtocol)
        power.cycle()
    except NoDriverFoundError:
        return False
    except Exception as error:  # of whatever switches it
        raise Unmeasured(f"{board.name}: its power cannot be switched: {_one_line(error)}") from error
    finally:
        environment.cleanup()
    return True


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
