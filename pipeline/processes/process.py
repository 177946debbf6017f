"""A process that answers in lines, and ends with all that it started, however its owner ends."""

import math
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from pipeline.processes.activity import MARK, Standstill, kill

POLL_S = 0.2  # how soon a death is noticed
STILL_S = 4.5  # without using the CPU or wanting to: nothing but a dead-lock sleeps that long over an answer
GRACE_S = 2.0
CHUNK = 1 << 16

# Waits for the owner's end of the pipe to close, which a killed owner's does too, then clears up after it.
GUARD = """
read -r _ || true
kill -s KILL -- "-$1"
for again in 1 2; do
    grep -lF "$3" /proc/[0-9]*/environ | while IFS=/ read -r _ _ number _; do kill -s KILL "$number"; done
done
rm -rf -- "$2"
"""


class Ended(Exception):
    """The process is dead; all that it started is stopped. `code` is its exit status, minus a signal's number."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Stuck(Exception):
    """It will never answer; `how` says what it did instead."""

    def __init__(self, how: str) -> None:
        super().__init__(how)
        self.how = how


class Process:
    """A command in a process group of its own, asked and answering line by line.

    What it forks may hold its pipes open beyond its death, so that a pipe alone does not tell of it.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        directory: Path,
        folder: Path,
        before: Callable[[], None] | None = None,
        *,
        shows_errors: bool = False,
    ) -> None:
        """Start it in `directory`; `folder`, deleted should its owner be killed, gets a file `stderr`.

        `before` runs in the new process, before the command. With `shows_errors` its standard error is the owner's.

        Raises:
            OSError: there is no such command.
        """
        self.stderr = folder / "stderr"
        self._unread = b""
        self._code: int | None = None
        self._mark = uuid4().hex
        with self.stderr.open("wb") as stderr:
            self._process = subprocess.Popen(
                command,
                env={**environment, MARK: self._mark},
                cwd=directory,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=None if shows_errors else stderr,
                start_new_session=True,
                preexec_fn=before,
            )
        try:
            self._guard = subprocess.Popen(
                ["/bin/sh", "-c", GUARD, "guard", str(self._process.pid), str(folder), f"{MARK}={self._mark}"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except BaseException:
            self._stop()
            raise

    def write(self, line: bytes) -> None:
        """Send a line.

        Raises:
            Ended: nobody is there to read it.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise Ended(self._end()) from None

    def read(self, limit_s: float, cpu_limit_s: float = math.inf) -> bytes:
        """The next line.

        Raises:
            Ended: it died without one.
            Stuck: it does nothing any more, or has used `cpu_limit_s` of CPU time for this.
            TimeoutError: there is none within `limit_s`.
        """
        assert self._process.stdout is not None
        output, deadline = self._process.stdout.fileno(), time.monotonic() + limit_s
        standstill = Standstill(self._mark)
        while b"\n" not in self._unread:
            dead = self._is_dead()  # asked first: what it wrote before it died is read all the same
            left = deadline - time.monotonic()
            ready, _, _ = select.select([output], [], [], 0 if dead else max(0.0, min(POLL_S, left)))
            if ready and (chunk := os.read(output, CHUNK)):
                self._unread += chunk
            elif dead or ready:  # nothing more to come
                raise Ended(self._end())
            elif left <= 0:
                raise TimeoutError
            standstill.look()
            if standstill.idle_s > STILL_S:
                raise Stuck(f"no CPU used for {standstill.idle_s:.0f} s")
            if (used_s := standstill.cpu_s or 0.0) > cpu_limit_s:
                raise Stuck(f"{used_s:.0f} s of CPU used, many times what it should take")
        line, self._unread = self._unread.split(b"\n", 1)
        return line

    def close(self) -> int:
        """Stop it with all that it started, whatever they are doing; its exit status."""
        if self._code is None:
            self._code = self._stop()
            self._guard.kill()
            self._guard.wait()
            assert self._guard.stdin is not None
            self._guard.stdin.close()
        return self._code

    def _end(self) -> int:
        """Stop it where it has closed its pipes, after a while in which it can die of its own cause."""
        deadline = time.monotonic() + GRACE_S
        while not self._is_dead() and time.monotonic() < deadline:
            time.sleep(POLL_S / 10)
        died = self._is_dead()
        code = self.close()
        return code if died else 0

    def _stop(self) -> int:
        with suppress(ProcessLookupError):  # not reaped yet, so that its number is nobody else's
            os.killpg(self._process.pid, signal.SIGKILL)
        kill(self._mark)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):  # what was not sent is no loss
                    pipe.close()
        return self._process.wait()

    def _is_dead(self) -> bool:
        status = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return status is not None
