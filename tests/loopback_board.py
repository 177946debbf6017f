"""A board that is this machine in disguise: a real sshd on the loopback, a user of its own, a Python of its own.

The sshd runs in mounts of its own: its passwd has the user `board`, whose home is on a file system in memory, and the
Python that the board is to have is mounted there. Nothing of it is seen from outside, and nothing is left of it.
"""

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import yaml

from tests.sshd import Sshd

USER, NUMBER = "board", 61234
MOUNTS = """
mount -t tmpfs none /home
mkdir /home/board /home/python /home/packages
chown {number}:{number} /home/board
mount --bind {python} /home/python
[ -z "{packages}" ] || mount --bind {packages} /home/packages
mount --bind {folder}/passwd /etc/passwd
mount --bind {folder}/shadow /etc/shadow
"""


class Loopback(Sshd):
    """The board; `file` is its YAML. `switch` counts how often its power was switched."""

    def __init__(self, folder: Path, python: Path, packages: Path | None, board: dict[str, object]) -> None:
        mounts = MOUNTS.format(number=NUMBER, python=python, packages=packages or "", folder=folder)
        super().__init__(folder, mounts=mounts)
        accounts = {"passwd": f"{USER}:x:{NUMBER}:{NUMBER}::/home/board:/bin/sh\n", "shadow": f"{USER}:*:1::::::\n"}
        for name, line in accounts.items():
            (folder / name).write_text((Path("/etc") / name).read_text() + line)
        for path in (folder, *folder.parents):  # the board's user reads its keys there
            if path.stat().st_mode & 0o011 != 0o011:
                path.chmod(path.stat().st_mode | 0o011)
        (folder / "authorized_keys").chmod(0o644)
        for name in ("on", "off"):
            script = folder / f"power-{name}"
            script.write_text(f"#!/bin/sh\necho {name} >> {folder}/switched\n")
            script.chmod(0o755)
        self.file = folder / "loopback.yaml"
        content = {
            "board": {
                "description": "this machine in disguise", "python": "/home/python/bin/python3", "answer_s": 3,
                "boot_s": 20, "known_hosts": str(folder / "known_hosts"), **board,
                # Where this Python is at home, another user cannot look.
                "environment": {"PYTHONPATH": "/home/packages", "LD_LIBRARY_PATH": "/home/python/lib"},
            },
            "targets": {
                "main": {
                    "resources": {"NetworkService": {"address": "127.0.0.1", "port": self.port, "username": USER}},
                    "drivers": {"SSHDriver": {"keyfile": str(folder / "key")}},
                }
            },
        }  # fmt: skip
        self.file.write_text(yaml.safe_dump(content))

    def with_power_switch(self) -> "Loopback":
        """A board that labgrid switches off and on with a command."""
        content = yaml.safe_load(self.file.read_text())
        switch = {"cmd_on": str(self.folder / "power-on"), "cmd_off": str(self.folder / "power-off"), "delay": 0.0}
        content["targets"]["main"]["drivers"]["ExternalPowerDriver"] = switch
        self.file.write_text(yaml.safe_dump(content))
        return self

    @property
    def switched(self) -> list[str]:
        """What was done to its power."""
        file = self.folder / "switched"
        return file.read_text().split() if file.exists() else []

    def stop(self) -> None:
        """Pull the plug."""
        if self.process is not None:
            # Its sessions are in groups of their own, and all in its mounts.
            mounts = _mounts(self.process.pid)
            own = mounts not in ("", _mounts(os.getpid()))
            for number in _numbers() if own else []:
                if number != self.process.pid and _mounts(number) == mounts:
                    with suppress(ProcessLookupError):
                        os.kill(number, signal.SIGKILL)
        super().stop()


def _numbers() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _mounts(number: int) -> str:
    try:
        return str(Path(f"/proc/{number}/ns/mnt").readlink())
    except OSError:
        return ""


@contextmanager
def loopback(
    folder: Path, board: dict[str, object], python: Path | None = None, packages: Path | None = None
) -> Iterator[Loopback]:
    """A board that answers, until the block ends; by default with this very Python and its packages."""
    if python is None:
        import numpy

        python, packages = Path(sys.base_prefix), Path(numpy.__file__).parents[1]
    found = Loopback(folder, python, packages, board)
    found.start()
    try:
        yield found
    finally:
        found.stop()
        shutil.rmtree(folder, ignore_errors=True)
