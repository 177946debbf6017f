"""What lies on a board: the device's programs, bundles, files. Each under its content's hash, put there once."""

import gzip
import io
import json
import tarfile
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.boards.access import SHORT_S, Access, Died, Outcome, Unmeasured
from pipeline.system import files
from pipeline.system.errors import InputError

CODE = Path(__file__).resolve().parents[2]
REFUSED = 2  # what a program of the device ends with where something that it was given will not do


class Kit:
    """Files and programs on one board."""

    def __init__(self, access: Access, code: Path = CODE) -> None:
        """`code` is the checkout whose `runners/` are put there."""
        self.access = access
        self._code = code
        self._programs: str | None = None

    def file(self, path: Path) -> str:
        """The name of a file there, which it is put under unless it is there already."""
        name = f"{files.sha256(path)[:16]}-{path.name}"
        if self.access.run(["test", "-e", name], SHORT_S).status:
            self.access.put(path, name)
        return name

    def bundle(self, download: Path) -> str:
        """The name there of the folder that a download holds, unpacked as a device does."""
        name = f"bundle-{files.sha256(download)[:16]}"
        if self.access.run(["test", "-e", name], SHORT_S).status:
            programs, there = self.programs(), self.file(download)
            unpack = [*self.access.python, "-m", "runners.edge.update.unpack", f"../{there}", f"../{name}"]
            done = self.access.run(unpack, SHORT_S, programs)
            self.access.run(["rm", "-f", there], SHORT_S)
            self._sound(done)
        return name

    def programs(self) -> str:
        """The folder there that the device's programs start in."""
        if self._programs is None:
            content = packed_code(self._code)
            with tempfile.TemporaryDirectory(prefix="edgeproof-") as temporary:
                packed = Path(temporary) / "code.tar.gz"
                packed.write_bytes(content)
                name = f"code-{files.sha256(packed)[:16]}"
                if self.access.run(["test", "-e", name], SHORT_S).status:
                    there = self.file(packed)
                    script = 'mkdir -p "$2.part" && "$3" -m tarfile -e "$1" "$2.part" && mv "$2.part" "$2"; rm -f "$1"'
                    unpack = ["sh", "-c", script, "sh", there, name, *self.access.python]
                    self._sound(self.access.run(unpack, SHORT_S))
            self._programs = name
        return self._programs

    def start(self, program: str, options: Mapping[str, Any], budget_s: float) -> Outcome:
        """Run a program of the device. A list gives an option several times over, a tuple gives it several values.

        Raises:
            Unmeasured: the board does not let it run to an end.
        """
        command = [*self.access.python, "-m", "runners.edge", program, *_options(options)]
        return self.access.run(command, budget_s, self.programs())

    def ask(self, program: str, options: Mapping[str, Any], budget_s: float, also: Sequence[int] = ()) -> Any:
        """The JSON that a program prints, which ends with 0 or one of `also`.

        Raises:
            InputError: it refuses what it was given.
            Died: it came to no end of its own.
            Unmeasured: the board does not let it run to an end.
        """
        done = self.start(program, options, budget_s)
        if done.status == REFUSED:
            raise InputError(f"{self.access.board.name}: {done.last_words}")
        if done.status and done.status not in also:
            raise Died(f"{self.access.board.name}: {program}: {done.last_words}")
        try:
            return json.loads(done.stdout)
        except ValueError:
            raise Unmeasured(f"{self.access.board.name}: {program} printed no JSON: {done.last_words}") from None

    def _sound(self, done: Outcome) -> None:
        if done.status:
            raise Unmeasured(f"{self.access.board.name}: {done.last_words}")


def packed_code(checkout: Path) -> bytes:
    """The device's programs of a checkout as .tar.gz, the same bytes for the same content."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for path in _device_files(checkout):
            entry = tarfile.TarInfo(str(path.relative_to(checkout)))
            entry.size = path.stat().st_size
            with path.open("rb") as stream:
                tar.addfile(entry, stream)
    return gzip.compress(raw.getvalue(), mtime=0)


def _device_files(checkout: Path) -> Iterable[Path]:
    room = checkout / "runners"
    return sorted([room / "__init__.py", *(room / "contract").rglob("*.py"), *(room / "edge").rglob("*.py")])


def _options(options: Mapping[str, Any]) -> list[str]:
    found: list[str] = []
    for name, value in options.items():
        if value is True:
            found.append(f"--{name}")
        elif isinstance(value, list):
            found += [part for one in value for part in (f"--{name}", str(one))]
        elif isinstance(value, tuple):
            found += [f"--{name}", *map(str, value)]
        else:
            found += [f"--{name}", str(value)]
    return found
