"""What may be on a disk after a power cut, by the letter of POSIX: what was synced, and any part of what was not.

`Recording` writes down what a process does below a folder, and can end it by SIGKILL before any single step. `Disk`
takes that down and gives folders as they may look afterwards: a name that was made, renamed or deleted may be so only
once its folder was synced, and a file has what it had at its last sync, or what was written since, or a part of it, or
zeros.
"""
# ruff: noqa: PTH112, PTH115, PTH118

import builtins
import contextlib
import json
import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Recording:
    """Of what this process does below `home`, into the file `log`; copies of what was synced go beside it.

    The process is killed before its step number `kill_at`, the first being 0.
    """

    def __init__(self, home: Path, log: Path, kill_at: int = -1) -> None:
        self._home, self._kill_at, self._steps, self._copies = str(home), kill_at, 0, 0
        self._beside = str(log)
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._os = {name: getattr(os, name) for name in ("open", "write", "fsync", "readlink")}
        self._open = builtins.open

    @contextlib.contextmanager
    def on(self) -> Iterator[None]:
        """While the block runs."""
        before = {name: getattr(os, name) for name in self._patches()}
        for name, patch in self._patches().items():
            setattr(os, name, patch)
        builtins.open = self._file  # type: ignore[assignment]
        try:
            yield
        finally:
            builtins.open = self._open
            for name, function in before.items():
                setattr(os, name, function)

    def say(self, *words: Any) -> None:
        """Write down that the process got so far."""
        self._os["write"](self._log, json.dumps(words).encode() + b"\n")

    def _step(self, *words: Any) -> None:
        if self._steps == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self._steps += 1
        self.say(*words)

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
            if mine is not None and flags & (os.O_WRONLY | os.O_RDWR):
                self._write_to(mine, bool(flags & os.O_TRUNC))
            return int(self._os["open"](path, flags, *rest, dir_fd=dir_fd, **more))

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
            if self._steps == self._kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            self._steps += 1
            if os.path.isdir(where):
                self.say("sync_folder", mine)
                return
            self._copies += 1
            with self._open(where, "rb") as stream, self._open(f"{self._beside}.{self._copies}", "wb") as copy:
                copy.write(stream.read())
            self.say("sync_file", mine, f"{self._beside}.{self._copies}")

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
        found.update(open=opened, write=write, fsync=fsync, rename=rename, replace=rename, symlink=symlink)
        return found

    def _write_to(self, path: str, truncates: bool) -> None:
        if not os.path.lexists(os.path.join(self._home, path)):
            self._step("create", path)
        elif truncates:
            self._step("write", path)

    def _file(self, path: Any, mode: str = "r", *rest: Any, **more: Any) -> Any:
        mine = None if isinstance(path, int) else self._path(path)
        if mine is None or not set(mode) & set("wax+"):
            return self._open(path, mode, *rest, **more)
        self._write_to(mine, "w" in mode)
        return _File(self._open(path, mode, *rest, **more), lambda: self._step("write", mine))


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
    """A folder with entries, a link, or a file; `dirty` has been written to since its last sync."""

    def __init__(self, kind: str, data: bytes = b"", dirty: bool = False) -> None:
        self.kind, self.data, self.dirty = kind, data, dirty
        self.now: dict[str, Inode] = {}
        self.synced: dict[str, Inode] = {}


Change = tuple[Inode, str, Inode | None]  # in a folder, of a name, to what


class Disk:
    """The disk below `home`, of which all is synced at first."""

    def __init__(self, home: Path) -> None:
        self._home, self.root = home, _read(home)
        self._unsynced: list[list[Change]] = []
        self.said: list[list[Any]] = []

    def play(self, log: Path) -> None:
        """Everything that was written down in a log, if there is one yet; its last line may be torn."""
        for line in (log.read_text() if log.exists() else "").split("\n")[:-1]:
            words = json.loads(line)
            step = getattr(self, "_" + words[0], None)
            if step is None:
                self.said.append(words)
            else:
                step(*words[1:])

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
        self._write_out(self.root, folder, self._home, entries, chance)
        return lost

    def _write_out(self, inode: Inode, to: Path, real: Path, entries: Any, chance: random.Random) -> None:
        if inode.kind == "link":
            to.symlink_to(inode.data.decode())
        elif inode.kind == "file":
            to.write_bytes(self._content(inode, chance))
        else:
            to.mkdir()
            for name, what in entries.get(inode, inode.synced).items():
                self._write_out(what, to / name, real, entries, chance)

    def _content(self, inode: Inode, chance: random.Random) -> bytes:
        if not inode.dirty:
            return inode.data
        where = self._where(inode, self.root, self._home)
        written = where.read_bytes() if where is not None and where.is_file() else b""
        part = written[: chance.randrange(len(written) + 1)]
        return chance.choice((inode.data, written, part, b"", bytes(len(written))))

    def _where(self, inode: Inode, folder: Inode, path: Path) -> Path | None:
        for name, what in folder.now.items():
            if what is inode:
                return path / name
            found = self._where(inode, what, path / name)
            if found is not None:
                return found
        return None

    def _find(self, path: str) -> Inode | None:
        found: Inode | None = self.root
        for part in Path(path).parts:
            found = found.now.get(part) if found is not None else None
        return found

    def _change(self, *changes: tuple[str, Inode | None]) -> None:
        done: list[Change] = []
        for path, what in changes:
            inside = self._find(str(Path(path).parent))
            assert inside is not None, path
            _set(inside.now, Path(path).name, what)
            done.append((inside, Path(path).name, what))
        self._unsynced.append(done)

    def _create(self, path: str) -> None:
        self._change((path, Inode("file", dirty=True)))

    def _write(self, path: str) -> None:
        found = self._find(path)
        assert found is not None, path
        found.dirty = True

    def _sync_file(self, path: str, copy: str) -> None:
        found = self._find(path)
        assert found is not None, path
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
