"""What a power cut may leave of what a process wrote through `os`: a model of a file system that keeps few promises.

A file's bytes are on the disk when the file was synced; until then all, some, none or zeros are there. That a name
came, went or was given to another file is on the disk when its folder was synced; until then each such change may be
there or not, whatever came of the others. A rename is there or not, never half. Folders, once made, stay.
"""

import os
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any


class File:
    """Its bytes as last synced, and whether more was written since."""

    def __init__(self, synced: bytes = b"") -> None:
        self.synced, self.is_dirty, self.last = synced, False, b""


class Disk:
    """Watches this process below `root`, and cuts the power at its operation number `cut_at`: what is left is written
    to `left`, and the process is killed as by SIGKILL."""

    def __init__(self, root: Path, left: Path, cut_at: int, seed: int) -> None:
        self.root, self.left, self.cut_at, self.chance, self.count = root, left, cut_at, random.Random(seed), 0
        self.real: dict[str, Callable[..., Any]] = {}
        self.names: dict[Path, dict[str, File]] = {}  # as they are now
        self.synced: dict[Path, dict[str, File]] = {}
        self.changes: dict[Path, list[tuple[str, str, File | None]]] = {}  # since then: name that goes, one that comes
        self.open: dict[int, tuple[Path, File]] = {}
        for folder, _, files in os.walk(root):
            here = {name: File((Path(folder) / name).read_bytes()) for name in files}
            self.names[Path(folder)], self.synced[Path(folder)] = dict(here), dict(here)
        for name in ("open", "close", "write", "fsync", "replace", "unlink", "mkdir"):
            self.real[name] = getattr(os, name)
            setattr(os, name, getattr(self, f"_{name}"))
        os.rename = self._replace

    def _is_mine(self, path: Any) -> bool:
        return isinstance(path, str | Path) and Path(path).parent in self.names

    def _step(self) -> None:
        self.count += 1
        if self.count == self.cut_at:
            self.cut()

    def cut(self) -> None:
        for name, function in self.real.items():
            setattr(os, name, function)
        for folder, names in self.synced.items():
            for gone, come, file in self.changes.get(folder, []):
                if self.chance.random() < 0.5:
                    names.pop(gone, None)
                    if file is not None:
                        names[come] = file
            there = self.left / folder.relative_to(self.root)
            there.mkdir(parents=True, exist_ok=True)
            for name, file in names.items():
                (there / name).write_bytes(self._left_of(file))
        os.kill(os.getpid(), signal.SIGKILL)

    def _left_of(self, file: File) -> bytes:
        if not file.is_dirty:
            return file.synced
        names = [(place / name, one) for place, names in self.names.items() for name, one in names.items()]
        now = next((path.read_bytes() for path, one in names if one is file), file.last)
        some = now[: self.chance.randrange(len(now) + 1)]
        return self.chance.choice([file.synced, now, some, bytes(len(now))])

    def _change(self, folder: Path, gone: str, come: str, file: File | None) -> None:
        self.changes.setdefault(folder, []).append((gone, come, file))
        old = self.names[folder].get(come if file else gone)
        if old is not None:  # its name goes: what is in it now must be known if that is undone
            old.last = (folder / (come if file else gone)).read_bytes()

    def _open(self, path: Any, flags: int, *more: Any, **named: Any) -> int:
        if not self._is_mine(path):
            return self.real["open"](path, flags, *more, **named)  # type: ignore[no-any-return]
        folder, name = Path(path).parent, Path(path).name
        is_new = bool(flags & os.O_CREAT) and name not in self.names[folder]
        if is_new or flags & os.O_TRUNC:
            self._step()
        handle: int = self.real["open"](path, flags, *more, **named)
        if is_new:
            file = File()
            self._change(folder, "", name, file)
            self.names[folder][name] = file
        if name in self.names[folder]:
            self.open[handle] = (Path(path), self.names[folder][name])
            self.open[handle][1].is_dirty |= bool(flags & os.O_TRUNC)
        elif Path(path) in self.names:
            self.open[handle] = (Path(path), File())
        return handle

    def _close(self, handle: int) -> None:
        self.open.pop(handle, None)
        self.real["close"](handle)

    def _write(self, handle: int, content: Any) -> int:
        if handle in self.open:
            self.open[handle][1].is_dirty = True
            if self.count + 1 == self.cut_at:
                self.real["write"](handle, bytes(content)[: self.chance.randrange(len(content) + 1)])
            self._step()
        return self.real["write"](handle, content)  # type: ignore[no-any-return]

    def _fsync(self, handle: int) -> None:
        if handle in self.open:
            self._step()
            path, file = self.open[handle]
            if path in self.names:
                self.synced[path] = dict(self.names[path])
                self.changes[path] = []
            else:
                file.synced, file.is_dirty = Path(f"/proc/self/fd/{handle}").read_bytes(), False
        else:  # else what it really does takes long, and the model needs nothing of it
            self.real["fsync"](handle)

    def _replace(self, source: Any, target: Any) -> None:
        if not self._is_mine(source):
            self.real["replace"](source, target)
            return
        self._step()
        folder, gone, come = Path(source).parent, Path(source).name, Path(target).name
        assert folder == Path(target).parent, "the model knows renames within a folder"
        self._change(folder, gone, come, self.names[folder][gone])
        self.real["replace"](source, target)
        self.names[folder][come] = self.names[folder].pop(gone)

    def _unlink(self, path: Any, **named: Any) -> None:
        folder, name = Path(path).parent, Path(path).name
        if name in self.names.get(folder, {}):
            self._step()
            self._change(folder, name, "", None)
            self.real["unlink"](path, **named)
            del self.names[folder][name]
        else:
            self.real["unlink"](path, **named)

    def _mkdir(self, path: Any, *more: Any, **named: Any) -> None:
        self.real["mkdir"](path, *more, **named)
        if self._is_mine(path):
            self.names[Path(path)], self.synced[Path(path)] = {}, {}
