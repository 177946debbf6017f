"""Running other programs: what they print, or one reason why not."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from pipeline.system.errors import InputError


class Failed(InputError):
    """A program is missing, refused its work or took too long; the message is the reason alone."""


def run(command: Sequence[str | Path], timeout_s: float, folder: Path | None = None) -> str:
    """What `command` prints to its standard output, started in `folder` or here; killed after `timeout_s` seconds.

    Raises:
        Failed: it is missing, ends with an error, or takes longer.
    """
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}  # the reasons are looked for in English
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=timeout_s, env=environment, cwd=folder
        )
    except FileNotFoundError:
        raise Failed(f"no {command[0]} here") from None
    except subprocess.TimeoutExpired:
        raise Failed(f"it took more than {timeout_s:g} s") from None
    if done.returncode < 0:
        raise Failed(f"it crashed with signal {-done.returncode}")
    if done.returncode:
        raise Failed(_reason(done.stderr))
    return done.stdout


def _reason(stderr: str) -> str:
    """The line that says why: the first one marked as an error, else the last one."""
    lines = [" ".join(line.split()) for line in stderr.splitlines() if line.strip()]
    if any("No space left on device" in line for line in lines):
        return "no space left on the disk"
    errors = [line for line in lines if line.startswith(("E: ", "ERROR: ", "dpkg-deb: error"))]
    return (errors or lines[-1:] or ["no message"])[0]
