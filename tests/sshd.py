"""OpenSSH's server on a free port of this machine's loopback, with keys of its own and, for root, mounts of its own."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.loopback import free_port

SSHD = "/usr/sbin/sshd"
IN_OWN_MOUNTS = "set -e\nmount -t tmpfs none /run\nmkdir /run/sshd\n{mounts}\nexec {sshd}\n"


class Sshd:
    """`folder` has its keys, of which `key` is let in and `stranger` is not, its settings and its log."""

    def __init__(self, folder: Path, settings: str = "", mounts: str = "") -> None:
        """`settings` are lines of its sshd_config, `mounts` is a script; skips where it cannot run."""
        if not os.access(SSHD, os.X_OK) or not shutil.which("sftp"):
            pytest.skip("there is no sshd or sftp here (Debian's packages openssh-server and openssh-client)")
        is_root = os.geteuid() == 0
        if mounts and not is_root:
            pytest.skip("an sshd in mounts of its own is for root to start")
        if is_root and subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
            pytest.skip("this machine lets nobody have mounts of its own")
        self.folder, self.port = folder, free_port()
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("host", "key", "stranger"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
        shutil.copy(folder / "key.pub", folder / "authorized_keys")
        (folder / "sshd_config").write_text(
            f"ListenAddress 127.0.0.1\nPort {self.port}\nHostKey {folder}/host\nPidFile none\nUsePAM no\n"
            f"StrictModes no\nAuthorizedKeysFile {folder}/authorized_keys\nSubsystem sftp internal-sftp\n{settings}"
        )
        kind, key = (folder / "host.pub").read_text().split()[:2]
        (folder / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {kind} {key}\n")
        command = f"{SSHD} -D -e -f {folder}/sshd_config"
        self._command = command.split()
        if is_root:
            script = IN_OWN_MOUNTS.format(mounts=mounts, sshd=command)
            self._command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Of the user that the tests run as."""
        return f"sftp://{pwd.getpwuid(os.geteuid()).pw_name}@127.0.0.1:{self.port}"

    def known_in(self, home: Path) -> Path:
        """Make OpenSSH's files in a home those for this server; the home."""
        (home / ".ssh").mkdir(parents=True, exist_ok=True)
        shutil.copy(self.folder / "known_hosts", home / ".ssh/known_hosts")
        shutil.copy(self.folder / "key", home / ".ssh/id_ed25519")
        return home

    def start(self) -> None:
        """Let it answer."""
        with (self.folder / "sshd.log").open("ab") as log:
            self.process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        limit_s = time.monotonic() + 30
        while time.monotonic() < limit_s:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            assert self.process.poll() is None, (self.folder / "sshd.log").read_text()
            time.sleep(0.05)
        raise AssertionError("sshd does not listen")

    def freeze(self) -> None:
        """It takes connections, and never says a word; until it is stopped."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def hang_up(self) -> None:
        """End the connections that there are."""
        assert self.process is not None
        for one in psutil.Process(self.process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                one.kill()

    def stop(self) -> None:
        """No harm where it does not run."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
