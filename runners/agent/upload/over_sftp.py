"""By OpenSSH's `sftp`, which every device has: one connection for many files, keys only, a known server only.

`put -f` asks the server to sync the file where it can, and fails where not every byte was written; then the file is
renamed, and listed with its size. What is listed with the right size is there. A batch ends at its first failure.
"""

import os
import re
import signal
import subprocess
import tempfile
from contextlib import suppress
from typing import IO, Dict, List, Optional, Sequence

from runners.agent.upload.delivery import ANSWER_S, MOST_FAILURES, Delivery, Group, beside, folders_of, limit_s

NO_CONNECTION = 255  # as sftp ends then, or when it breaks
MOST_SAID = 1 << 20  # bytes
LISTED = re.compile(r"-\S+\s+\S+\s+\S+\s+\S+\s+(\d+)\s.*\s(/\S+)")
WAIT_S = ANSWER_S  # for a connection
PARTS = ".*.part"
# What is said of a folder that is there already, since OpenSSH 8.5 and before.
MAKING = ("remote mkdir ", "Couldn't create directory")


class OverSftp(Delivery):
    """Each call of `deliver` is a connection of its own."""

    def deliver(self, groups: Sequence[Group]) -> List[Optional[str]]:
        """See `Delivery`."""
        found = []  # type: List[Optional[str]]
        while len(found) < len(groups):
            left = groups[len(found) :]
            if self.failures >= MOST_FAILURES:
                return found + [self.trouble] * len(left)
            listed, trouble = self._session(left)
            for group in left:  # in their order; behind the first failure nothing was tried
                if any(listed.get(self._remote(item.name)) != item.size for item in group):
                    found.append(self.failed(trouble))
                    break
                found.append(None)
        return found

    def _session(self, groups: Sequence[Group]) -> "tuple[Dict[str, int], str]":
        """The sizes of the files that were listed after they were brought, and the trouble if there was one."""
        items = [item for group in groups for item in group]
        commands = []
        for folder in folders_of([item.name for item in items]):
            commands.append("-mkdir {}".format(self._remote(folder)))
        for folder in sorted({item.name.rpartition("/")[0] for item in items}):
            commands.append("-rm {}/{}".format(self._remote(folder), PARTS))  # what broken uploads left
        for item in items:
            name, part = self._remote(item.name), self._remote(beside(item.name))
            commands.append('put -f "{}" {}'.format(_quoted(item.file), part))
            # Where the server's rename does not replace, the file of an earlier pass is in its place: it is the same.
            commands.append("-rename {} {}".format(part, name))
            commands.append("ls -ln {}".format(name))
        with tempfile.TemporaryFile() as told, tempfile.TemporaryFile() as said:
            process = subprocess.Popen(
                self._command(), stdin=subprocess.PIPE, stdout=told, stderr=said, start_new_session=True,
                env=dict(os.environ, LC_ALL="C"),
            )  # fmt: skip
            size = sum(item.size for item in items)
            try:
                process.communicate(
                    "".join(line + "\n" for line in commands).encode(), WAIT_S + limit_s(self.inbox, size)
                )
                trouble = "sftp ended with {}".format(process.returncode)
                if process.returncode == NO_CONNECTION:
                    self.failures = MOST_FAILURES
            except subprocess.TimeoutExpired:
                trouble = "it takes too long"
            finally:
                with suppress(ProcessLookupError):  # its ssh too
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            listing, complaints = _text(told), _text(said)
        listed = {found.group(2): int(found.group(1)) for found in map(LISTED.fullmatch, listing.splitlines()) if found}
        return listed, _reason(complaints) or trouble

    def _command(self) -> List[str]:
        inbox = self.inbox
        options = {
            "BatchMode": "yes", "StrictHostKeyChecking": "yes", "UserKnownHostsFile": inbox.known_hosts,
            "GlobalKnownHostsFile": "/dev/null", "IdentitiesOnly": "yes", "IdentityFile": inbox.key,
            "IdentityAgent": "none", "ConnectTimeout": int(ANSWER_S), "ServerAliveInterval": 10,
            "ServerAliveCountMax": 3,
        }  # fmt: skip
        command = ["sftp", "-F", "/dev/null", "-b", "-"]
        for name, value in options.items():
            command += ["-o", '{}="{}"'.format(name, value)]
        if inbox.port:
            command += ["-P", str(inbox.port)]
        if inbox.kib_per_second:
            command += ["-l", str(inbox.kib_per_second * 1024 * 8 // 1000)]
        return [*command, (inbox.user + "@" if inbox.user else "") + inbox.host]

    def _remote(self, name: str) -> str:
        return "{}/{}".format(self.inbox.path, name)


def _text(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read(MOST_SAID).decode("utf-8", "replace")


def _quoted(path: str) -> str:
    """For a local path in double quotes, which sftp takes for a pattern too."""
    return re.sub(r"([\\\"*?\[\]])", r"\\\1", path)


def _reason(said: str) -> str:
    """The last line that tells why it ended: not of a folder that was there already, or of nothing to clean up."""
    lines = [line.strip() for line in said.splitlines() if not line.startswith(MAKING) and PARTS not in line]
    telling = [line for line in lines if line and line != "Connection closed"]
    return next(iter(telling[-1:] or lines[-1:]), "")
