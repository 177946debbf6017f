"""Files that are whole after a power cut: written beside, synced, renamed, and the folder synced.

Python 3.6 and the standard library.
"""

import os
import shutil
from typing import Iterable, Union

PART = ".part"
GONE = ".gone-"


def write(path: str, content: bytes, *, survives: bool = True) -> None:
    """Replace a file in one step. Unless it `survives`, a power cut may undo it, and the disk is written to less."""
    beside = path + PART
    _fill(beside, os.O_TRUNC, [content], survives)
    os.replace(beside, path)
    if survives:
        sync(os.path.dirname(path) or ".")


def create(path: str, blocks: Iterable[bytes]) -> None:
    """Write a file that must not be there yet; its bytes are on the disk when this returns, its name is not."""
    _fill(path, os.O_EXCL, blocks, True)


def _fill(path: str, how: int, blocks: Iterable[bytes], survives: bool) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | how | os.O_CLOEXEC, 0o644)
    try:
        for block in blocks:
            write_all(handle, block)
        if survives:
            os.fsync(handle)
    finally:
        os.close(handle)


def write_all(handle: int, content: Union[bytes, memoryview]) -> None:
    """Write every byte, in as many pieces as it takes; on the disk it need not be then."""
    left = memoryview(content).cast("B")
    while left:
        left = left[os.write(handle, left) :]


def point(link: str, to: str) -> None:
    """Let a symbolic link lead elsewhere, in one step."""
    beside = link + PART
    if os.path.lexists(beside):
        os.unlink(beside)
    os.symlink(to, beside)
    os.replace(beside, link)
    sync(os.path.dirname(link))


def remove(folder: str) -> None:
    """Delete a folder, which is never seen with a part of its files gone."""
    parent, name = os.path.split(folder)
    gone = folder
    if not name.startswith(GONE):
        gone = os.path.join(parent, GONE + name)
        shutil.rmtree(gone, ignore_errors=True)
        os.rename(folder, gone)
        sync(parent)
    shutil.rmtree(gone, ignore_errors=True)


def make_folder(path: str, mode: int = 0o777) -> None:
    """Make a folder and those above it, as far as they are missing; their names are on the disk when this returns."""
    parent = os.path.dirname(path) or "."
    if not os.path.isdir(parent):
        make_folder(parent)
    if not os.path.isdir(path):
        try:
            os.mkdir(path, mode)
        except FileExistsError:
            if not os.path.isdir(path):  # else another program was faster
                raise
        sync(parent)


def sync(folder: str) -> None:
    """Which names a folder has is on the disk when this returns."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
