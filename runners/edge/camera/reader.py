"""One run of a reader: its process, the frames it writes, and what it says."""

import os
import signal
import socket
import struct
import subprocess
import sys
import time
from contextlib import suppress
from typing import Any, Callable, NamedTuple, Optional

from runners.edge.camera import y4m
from runners.edge.camera.log import Log
from runners.edge.camera.readers import Command, Size
from runners.edge.procfs import cpu_s, peak_memory_mib

LAUNCH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "launch.py")
LOOK_S = 0.25  # how often the log is read while no frame comes: a program that fills it would stop
WAIT_S = 2.0  # for a killed process; one that hangs in a driver does not even end then


class Lost(Exception):
    """No more frames will come; the message says why, `damaged` how many frames came broken."""

    def __init__(self, why: str, damaged: int = 0) -> None:
        super().__init__(why)
        self.damaged = damaged


class Ended(Exception):
    """The source is over: the program ended well, after a whole frame."""


class Spent(NamedTuple):
    """CPU time in seconds, and the most memory held at once."""

    cpu_s: float
    peak_memory_mib: float


class Reader:
    """A program in a process group of its own, which ends with us, and the socket on which its frames come.

    A socket rather than a pipe: one system call (MSG_WAITALL) waits for a whole frame in the kernel. From a pipe a
    frame comes in dozens of pieces, and between them the thread would have to win Python's lock anew.
    """

    def __init__(self, make: Callable[[int], Command], size_line: Any) -> None:
        """Start `make(fd)`, which writes frames to the file descriptor `fd`; `size_line` matches in its log.

        Raises:
            OSError: no process can be made.
        """
        self._frames, theirs = socket.socketpair()
        log, their_log = os.pipe()
        self.log = Log(log, size_line)
        try:
            self._frames.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, int(LOOK_S * 1e6)))
            command = make(theirs.fileno())
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", LAUNCH, str(os.getpid()), *command.arguments],
                env=dict(os.environ, **command.environment),
                stdin=subprocess.DEVNULL,
                stdout=their_log,
                stderr=their_log,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        except BaseException:
            self._frames.close()
            self.log.close()
            raise
        finally:
            theirs.close()
            os.close(their_log)

    def size(self, patience_s: float) -> Size:
        """Width and height of the frames to come.

        Raises:
            Lost, Ended: the program ends, says nothing of use, or nothing for `patience_s`.
        """
        line, letter = b"", bytearray(1)
        deadline = time.monotonic() + patience_s
        while not line.endswith(b"\n") and len(line) < y4m.LONGEST_LINE:
            self._fill(memoryview(letter), deadline, patience_s)
            line += bytes(letter)
        try:
            return y4m.size(line)
        except ValueError as error:
            raise Lost(str(error), damaged=1) from error

    def fill(self, buffer: y4m.Buffer, patience_s: float) -> None:
        """Read the next frame.

        Raises:
            Lost: none comes within `patience_s`, it is broken, or the program died.
            Ended: there is none.
            Resized: the camera's size changed; the frame in `buffer` is none of its own.
        """
        self._fill(buffer.raw, time.monotonic() + patience_s, patience_s)
        if not buffer.is_marked:
            raise Lost("the frames are out of step: where one should begin is something else", damaged=1)
        self.log.read()

    def _fill(self, room: memoryview, deadline: float, patience_s: float) -> None:
        got = 0
        while got < len(room):
            try:
                count = self._frames.recv_into(room[got:], 0, socket.MSG_WAITALL)
            except BlockingIOError:  # SO_RCVTIMEO
                count = -1
            except OSError as error:
                raise Lost("its frames cannot be read: {}".format(error.strerror)) from error
            if count == 0:
                self._over(got)
            got += max(count, 0)
            if got < len(room):
                self.log.read()
                if time.monotonic() >= deadline:
                    part = ", only a part of one" if got else ""
                    raise Lost("no frame for {:g} s{}".format(patience_s, part), damaged=got > 0)

    def _over(self, got: int) -> None:
        """The program closed its end, within a frame where `got`."""
        code = self._exit_code()
        self.log.read()
        damaged = int(got > 0)
        if code == 0 and not damaged:
            raise Ended
        if code is None:
            how = "it closed its output"
        elif code < 0:
            how = "it was killed by signal {}".format(-code)
        else:
            how = "it ended with {}".format(code) + (" within a frame" if damaged else "")
        raise Lost(": ".join(filter(None, [how, self.log.reason])), damaged)

    def _exit_code(self) -> Optional[int]:
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            # Not reaped yet, so that its number stays its group's until `close`.
            status = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if status is not None:
                return status.si_status if status.si_code == os.CLD_EXITED else -status.si_status
            time.sleep(0.01)
        return None

    @property
    def spent(self) -> Spent:
        """What the program has taken so far."""
        return Spent(cpu_s(self._process.pid), peak_memory_mib(str(self._process.pid)) or 0.0)

    def kill(self) -> None:
        """End the program with all that it started; from any thread, before `close`."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """End it and give everything back."""
        self.kill()
        self._frames.close()
        self.log.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(WAIT_S)
