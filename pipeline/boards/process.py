"""A process that answers in lines, and ends with all that it started, however its owner ends."""

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

POLL_S = 0.2  # how soon a death is noticed
GRACE_S = 2.0
CHUNK = 1 << 16

# Waits for the owner's end of the pipe to close, which a killed owner's does too, then clears up after it.
GUARD = 'read -r _ || true; kill -s KILL -- "-$1" 2>/dev/null; rm -rf -- "$2"'


class Ended(Exception):
    """The process is dead; all that it started is stopped. `code` is its exit status, minus a signal's number."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


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
    ) -> None:
        """Start it in `directory`; `folder`, deleted should its owner be killed, gets a file `stderr`.

        Raises:
            OSError: there is no such command.
        """
        self.stderr = folder / "stderr"
        self._unread = b""
        self._code: int | None = None
        with self.stderr.open("wb") as stderr:
            self._process = subprocess.Popen(
                command,
                env=environment,
                cwd=directory,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                start_new_session=True,
                preexec_fn=before,
            )
        try:
            self._guard = subprocess.Popen(
                ["/bin/sh", "-c", GUARD, "guard", str(self._process.pid), str(folder)],
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

    def read(self, limit_s: float) -> bytes:
        """The next line.

        Raises:
            Ended: it died without one.
            TimeoutError: there is none within `limit_s`.
        """
        assert self._process.stdout is not None
        output, deadline = self._process.stdout.fileno(), time.monotonic() + limit_s
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
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):  # what was not sent is no loss
                    pipe.close()
        return self._process.wait()

    def _is_dead(self) -> bool:
        status = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return status is not None
