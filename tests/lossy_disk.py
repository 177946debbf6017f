"""What may be on a disk after a power cut, by the letter of POSIX: what was synced, and any part of what was not.

`cut` lets a process work below a folder, kills it, and leaves there what a disk may have afterwards. A name that was
made, renamed or deleted may be so only once its folder was synced, whatever came of other names; a rename is there or
not, never half. A file has what it had at its last sync, or what was written since, or a part of it, with zeros behind
it or without, or zeros alone, or nothing.
"""
# ruff: noqa: PTH112, PTH115, PTH118

import builtins
import json
import os
import random
import shutil
import signal
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

AGAIN = 0.3  # how often power goes once more while things are put right


class Cut(NamedTuple):
    """Whether the process was killed or had ended, how many steps it made in which time, what it said meanwhile, and
    how many changes of names the disk lost."""

    was_killed: bool
    steps: int
    took_s: float
    said: list[list[Any]]
    lost: int


def cut(
    home: Path, work: Callable[["Recording"], object], chance: random.Random, *, at: int = -1, within_s: float = 0.0
) -> Cut:
    """Do `work` in a process that is killed before its step number `at`, the first being 0, or within a time."""
    with TemporaryDirectory(dir=home.parent) as folder:
        log, disk, began_s = Path(folder, "log"), Disk(home), time.monotonic()
        was_killed, took_s = _is_killed(home, log, work, at, within_s), time.monotonic() - began_s
        steps, said = disk.play(log)
        lost = disk.after(Path(folder, "after"), chance)
        shutil.rmtree(home)
        Path(folder, "after").rename(home)
    return Cut(was_killed, steps, took_s, said, lost)


def cut_again(
    home: Path, work: Callable[["Recording"], object], chance: random.Random, *, at: int = -1, within_s: float = 0.0
) -> list[Cut]:
    """The same, and in some cases again and again at any step, as the next start may end like that as well."""
    found = [cut(home, work, chance, at=at, within_s=within_s)]
    while found[0].steps and chance.random() < AGAIN:
        found.append(cut(home, work, chance, at=chance.randrange(found[0].steps)))
    return found


def _is_killed(home: Path, log: Path, work: Callable[["Recording"], object], at: int, within_s: float) -> bool:
    child = os.fork()
    if child == 0:
        try:
            work(Recording(home, log, at))
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    if within_s:
        time.sleep(within_s)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL), status
    return status == signal.SIGKILL


class Recording:
    """Of what this process does below `home` from now on, into the file `log`; beside it go copies of what was synced,
    and links to what is written."""

    def __init__(self, home: Path, log: Path, kill_at: int) -> None:
        self._home, self._kill_at, self._steps, self._files = str(home), kill_at, 0, 0
        self._beside = str(log)
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._os = {name: getattr(os, name) for name in ("open", "write", "readlink", "link")}
        self._open = builtins.open
        for name, patch in self._patches().items():
            setattr(os, name, patch)
        builtins.open = self._file  # type: ignore[assignment]

    def say(self, *words: Any) -> None:
        """Write down that the process got so far."""
        self._os["write"](self._log, json.dumps(words).encode() + b"\n")

    def _step(self, *words: Any) -> None:
        self._begin()
        self.say(*words)

    def _begin(self) -> None:
        if self._steps == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self._steps += 1

    def _path(self, path: Any, dir_fd: int | None = None) -> str | None:
        """Below `home`, or None for elsewhere."""
        path = os.fspath(path)
        if dir_fd is not None:
            path = os.path.join(self._os["readlink"](f"/proc/self/fd/{dir_fd}"), path)
        path = os.path.normpath(path)
        return os.path.relpath(path, self._home) if path.startswith(self._home + "/") else None

    def _patches(self) -> dict[str, Any]:
        real = {name: getattr(os, name) for name in ("rename", "unlink", "mkdir", "rmdir", "symlink")}

        def opened(path: Any, flags: int, *rest: Any, dir_fd: int | None = None, **more: Any) -> int:
            mine = self._path(path, dir_fd)
            if mine is None or not flags & (os.O_WRONLY | os.O_RDWR):
                return int(self._os["open"](path, flags, *rest, dir_fd=dir_fd, **more))
            return self._opened(
                mine, bool(flags & os.O_TRUNC), lambda: int(self._os["open"](path, flags, *rest, dir_fd=dir_fd, **more))
            )

        def write(handle: int, data: Any) -> int:
            mine = self._path(self._os["readlink"](f"/proc/self/fd/{handle}"))
            if mine is not None:
                self._step("write", mine)
            return int(self._os["write"](handle, data))

        def fsync(handle: int) -> None:
            where = self._os["readlink"](f"/proc/self/fd/{handle}")
            mine = "." if where == self._home else self._path(where)
            if mine is None:
                return
            self._begin()
            if os.path.isdir(where):
                self.say("sync_folder", mine)
                return
            name = self._fresh()
            with self._open(where, "rb") as stream, self._open(name, "wb") as copy:
                copy.write(stream.read())
            self.say("sync_file", mine, name)

        def rename(source: Any, target: Any) -> None:
            if self._path(source) is not None:
                self._step("rename", self._path(source), self._path(target))
            real["rename"](source, target)

        def one(name: str) -> Any:
            def patched(path: Any, *rest: Any, dir_fd: int | None = None, **more: Any) -> None:
                mine = self._path(path, dir_fd)
                if mine is not None:
                    self._step(name, mine)
                real[name](path, *rest, dir_fd=dir_fd, **more)

            return patched

        def symlink(target: str, path: Any) -> None:
            if self._path(path) is not None:
                self._step("symlink", self._path(path), target)
            real["symlink"](target, path)

        found = {name: one(name) for name in ("unlink", "mkdir", "rmdir")}
        found.update(open=opened, write=write, fsync=fsync, fdatasync=fsync, rename=rename, replace=rename)
        found.update(symlink=symlink)
        return found

    def _fresh(self) -> str:
        self._files += 1
        return f"{self._beside}.{self._files}"

    def _opened(self, path: str, truncates: bool, opened: Callable[[], Any]) -> Any:
        """Open for writing. What is in the file is found by a link then, whatever becomes of its name."""
        if not os.path.lexists(os.path.join(self._home, path)):
            self._step("create", path)
        elif truncates:
            self._step("write", path)
        found, name = opened(), self._fresh()
        self._os["link"](os.path.join(self._home, path), name)
        self.say("is_at", path, name)
        return found

    def _file(self, path: Any, mode: str = "r", *rest: Any, **more: Any) -> Any:
        mine = None if isinstance(path, int) else self._path(path)
        if mine is None or not set(mode) & set("wax+"):
            return self._open(path, mode, *rest, **more)
        file = self._opened(mine, "w" in mode, lambda: self._open(path, mode, *rest, **more))
        return _File(file, lambda: self._step("write", mine))


class _File:
    """A file whose writes are steps."""

    def __init__(self, file: Any, step: Any) -> None:
        self._file, self._step = file, step

    def write(self, data: Any) -> int:
        self._step()
        return int(self._file.write(data))

    def __enter__(self) -> "_File":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class Inode:
    """A folder with entries, a link, or a file; `dirty` has been written to since its last sync, and lies at `file`."""

    def __init__(self, kind: str, data: bytes = b"", dirty: bool = False) -> None:
        self.kind, self.data, self.dirty = kind, data, dirty
        self.file: Path | None = None
        self.now: dict[str, Inode] = {}
        self.synced: dict[str, Inode] = {}


Change = tuple[Inode, str, Inode | None]  # in a folder, of a name, to what


class Disk:
    """The disk below `home`, of which all is synced at first."""

    def __init__(self, home: Path) -> None:
        self.root = _read(home)
        self._unsynced: list[list[Change]] = []

    def play(self, log: Path) -> tuple[int, list[list[Any]]]:
        """Everything that was written down in a log, if there is one yet; its last line may be torn. How many steps
        there were, and what was said else."""
        steps, said = 0, []
        for line in (log.read_text() if log.exists() else "").split("\n")[:-1]:
            words = json.loads(line)
            step = getattr(self, "_" + words[0], None)
            if step is None:
                said.append(words)
            else:
                step(*words[1:])
                steps += words[0] != "is_at"
        return steps, said

    def after(self, folder: Path, chance: random.Random) -> int:
        """Make the new folder `folder` one that there may be after power went; how many changes were lost."""
        keep = chance.choice((0.0, 0.5, 0.9, 1.0))
        prefix = chance.randrange(len(self._unsynced) + 1) if chance.random() < 0.5 else None
        entries: dict[Inode, dict[str, Inode]] = {}
        lost = 0
        for number, changes in enumerate(self._unsynced):
            if number >= prefix if prefix is not None else chance.random() >= keep:
                lost += 1
                continue
            for inside, name, what in changes:
                _set(entries.setdefault(inside, dict(inside.synced)), name, what)
        self._write_out(self.root, folder, entries, chance)
        return lost

    def _write_out(self, inode: Inode, to: Path, entries: Any, chance: random.Random) -> None:
        if inode.kind == "link":
            to.symlink_to(inode.data.decode())
        elif inode.kind == "file":
            to.write_bytes(self._content(inode, chance))
        else:
            to.mkdir()
            for name, what in entries.get(inode, inode.synced).items():
                self._write_out(what, to / name, entries, chance)

    def _content(self, inode: Inode, chance: random.Random) -> bytes:
        if not inode.dirty:
            return inode.data
        written = inode.file.read_bytes() if inode.file is not None else b""
        part, zeros = written[: chance.randrange(len(written) + 1)], bytes(len(written))
        return chance.choice((inode.data, written, part, part + zeros[len(part) :], zeros, b""))

    def _find(self, path: str) -> Inode | None:
        found: Inode | None = self.root
        for part in Path(path).parts:
            found = found.now.get(part) if found is not None else None
        return found

    def _change(self, *changes: tuple[str, Inode | None]) -> None:
        done: list[Change] = []
        for path, what in changes:
            inside = self._existing(str(Path(path).parent))
            _set(inside.now, Path(path).name, what)
            done.append((inside, Path(path).name, what))
        self._unsynced.append(done)

    def _existing(self, path: str) -> Inode:
        found = self._find(path)
        assert found is not None, path
        return found

    def _create(self, path: str) -> None:
        self._change((path, Inode("file", dirty=True)))

    def _is_at(self, path: str, file: str) -> None:
        self._existing(path).file = Path(file)

    def _write(self, path: str) -> None:
        self._existing(path).dirty = True

    def _sync_file(self, path: str, copy: str) -> None:
        found = self._existing(path)
        found.data, found.dirty = Path(copy).read_bytes(), False

    def _sync_folder(self, path: str) -> None:
        folder, left = self._find(path), []
        for changes in self._unsynced:
            if any(inside is folder for inside, _, _ in changes):
                for inside, name, what in changes:
                    _set(inside.synced, name, what)
            else:
                left.append(changes)
        self._unsynced = left

    def _rename(self, source: str, target: str) -> None:
        self._change((source, None), (target, self._find(source)))

    def _unlink(self, path: str) -> None:
        self._change((path, None))

    _rmdir = _unlink

    def _mkdir(self, path: str) -> None:
        if self._find(path) is None:  # else it was in vain
            self._change((path, Inode("folder")))

    def _symlink(self, path: str, target: str) -> None:
        self._change((path, Inode("link", target.encode())))


def _set(entries: dict[str, Inode], name: str, what: Inode | None) -> None:
    if what is None:
        entries.pop(name, None)
    else:
        entries[name] = what


def _read(path: Path) -> Inode:
    if path.is_symlink():
        return Inode("link", os.readlink(path).encode())
    if path.is_file():
        return Inode("file", path.read_bytes())
    found = Inode("folder")
    found.synced = {one.name: _read(one) for one in path.iterdir()}
    found.now = dict(found.synced)
    return found
