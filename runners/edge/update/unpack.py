"""Unpacking a download: one .tar.xz becomes a folder whose files are, byte for byte, those that were packed.

    python3 -m runners.edge.update.unpack openvino.tar.xz FOLDER        (or this file, run as a script)

`tar xf` does the same with a file that is trusted. Here a download is hostile input: it is read to its end, with every
check, before anything is written; memory stays small whatever it claims; and the folder only appears once every file
in it is on the disk. Of all that tar can hold, only what pipeline/formats/pack.py writes is taken: each header has to
be, byte for byte, that of a regular file. Must run on Python 3.6 (JetPack 4.6) with its standard library only.
"""

import lzma
import os
import re
import shutil
import struct
import sys
import tempfile
from typing import IO, Iterator, List, Optional

RECORD = 512  # bytes: tar's unit
END = bytes(2 * RECORD)
# POSIX ustar: name, mode, user, group, size, time, checksum, type, (target of a link), magic, (owner's names, device,
# start of a longer name).
HEADER = struct.Struct("100s8s8s8s12s12s8s1s100x8s247x")
SIZE = slice(124, 136)
# No part starts with a dot: neither `..` nor a hidden file is a name.
PATH = re.compile(r"(\w[\w.+-]*/)*\w[\w.+-]*", re.ASCII)
MOST_PATH = 100  # characters
MOST_FILES = 1000
MOST_BYTES = 2 << 30  # of all files together
MOST_MEMORY = 16 << 20  # bytes, of the decoder
BLOCK = 1 << 18  # bytes worked on in one go


class PackError(ValueError):
    """Why a download is not unpacked, in one line."""


def header(name: str, size: int) -> bytes:
    """What is in front of each file in the tar.

    Raises:
        ValueError: the name is not taken.
    """
    if len(name) > MOST_PATH or not PATH.fullmatch(name):
        raise ValueError("the file name {} is not taken".format(repr(name)[:80]))
    fields = [name.encode("ascii"), b"0000644", b"0000000", b"0000000", b"%011o" % size, b"00000000000"]
    checksum = sum(HEADER.pack(*fields, b" " * 8, b"0", b"ustar\x0000"))
    return HEADER.pack(*fields, b"%06o\0 " % checksum, b"0", b"ustar\x0000")


def unpack(file: str, folder: str, *, plain: bool = False) -> None:
    """Make the new folder `folder` of the download `file`, whole or not at all; `plain` is a tar that is not packed.

    Raises:
        PackError: `file` is missing, damaged or no download, or `folder` exists or cannot be written.
    """
    folder = os.path.abspath(folder)
    if os.path.lexists(folder):
        raise PackError("{}: exists already; name a new folder".format(folder))
    leftovers: List[str] = []  # of an attempt that fails
    try:
        with open(file, "rb") as source:
            size = _read(_PlainTar(source) if plain else _Tar(source), None)
            parent, name = os.path.split(folder)
            free = shutil.disk_usage(parent).free
            if size > free:
                raise PackError("{}: not enough space in {}: {} of {} bytes are free".format(file, parent, free, size))
            leftovers.append(tempfile.mkdtemp(dir=parent, prefix=".{}.".format(name)))
            # A folder in it has the usual rights: to ask for the umask is to set it, for all threads.
            made = os.path.join(leftovers[0], "made")
            os.mkdir(made)
            _read(_PlainTar(source) if plain else _Tar(source), made)
        # On the disk before the folder gets its name: power may go at any time.
        for inner, _, _ in os.walk(made):
            _sync(inner)
        os.rename(made, folder)
        leftovers.append(folder)
        _sync(parent)
        leftovers.remove(folder)
    except PackError:
        raise
    except (lzma.LZMAError, EOFError, ValueError) as error:
        raise PackError("{}: damaged, or no download; fetch it again ({})".format(file, error)) from error
    except OSError as error:
        raise PackError("{}: cannot be unpacked to {} ({})".format(file, folder, error)) from error
    finally:
        for left in leftovers:
            shutil.rmtree(left, ignore_errors=True)


def _read(tar: "_Tar", folder: Optional[str]) -> int:
    """Read a download to its end; the answer is the bytes of its files, which are written below `folder` if given."""
    total, names = 0, [""]
    for record in iter(lambda: tar.read(RECORD), bytes(RECORD)):
        name = record[:MOST_PATH].rstrip(b"\0").decode("ascii", "replace")
        size = int(record[SIZE][:-1], 8) if re.fullmatch(rb"[0-7]{11}\0", record[SIZE]) else 0
        if record != header(name, size):
            raise ValueError("{} is no regular file as it is packed".format(name))
        if name <= names[-1]:
            raise ValueError("{} is there twice, or in the wrong place".format(name))
        names.append(name)
        total += size
        if len(names) - 1 > MOST_FILES or total > MOST_BYTES:
            raise ValueError("it has more than {} files or {} bytes".format(MOST_FILES, MOST_BYTES))
        blocks = (tar.read(min(BLOCK, size - start)) for start in range(0, size, BLOCK))
        if folder:
            _write(os.path.join(folder, *name.split("/")), blocks)
        else:
            for _ in blocks:
                pass
        if any(tar.read(-size % RECORD)):
            raise ValueError("there is something between its files")
    tar.close()
    return total


class _Tar:
    """The tar in an xz file, of which any number of bytes is read at a time."""

    def __init__(self, source: IO[bytes]) -> None:
        source.seek(0)
        self._source = source
        self._decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MOST_MEMORY)

    def read(self, size: int) -> bytes:
        """The next `size` bytes."""
        data = b""
        while len(data) < size:
            piece = self._some(size - len(data))
            if not piece:
                raise ValueError("it ends too early")
            data += piece
        return data

    def close(self) -> None:
        """See to it that the tar ends here, and the xz file with it, whose checks are then right."""
        if self.read(RECORD) != bytes(RECORD) or self._some(1) or self._decoder.unused_data or self._source.read(1):
            raise ValueError("it goes on where it should end")
        if self._decoder.check != lzma.CHECK_SHA256:
            raise ValueError("it has no SHA-256")

    def _some(self, most: int) -> bytes:
        """Up to `most` of the next bytes; none at the end."""
        while not self._decoder.eof:
            hungry = self._decoder.needs_input
            packed = self._source.read(BLOCK) if hungry else b""
            piece = self._decoder.decompress(packed, most)
            if piece:
                return piece
            if hungry and not packed:
                raise ValueError("it ends too early")
        return b""


class _PlainTar(_Tar):
    """A tar as it is, whose bytes somebody else has checked."""

    def close(self) -> None:
        """See to it that the tar ends here."""
        if self.read(RECORD) != bytes(RECORD) or self._source.read(1):
            raise ValueError("it goes on where it should end")

    def _some(self, most: int) -> bytes:
        return self._source.read(min(most, BLOCK))


def _write(path: str, blocks: Iterator[bytes]) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "xb") as target:
        for block in blocks:
            target.write(block)
        target.flush()
        os.fsync(target.fileno())


def _sync(folder: str) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def main(arguments: List[str]) -> int:
    """Unpack as the command line says; the answer is the exit code, 0 or 2 for bad input."""
    if len(arguments) != 2:
        print("usage: unpack FILE FOLDER", file=sys.stderr)
        return 2
    try:
        unpack(*arguments)
    except PackError as error:
        print("unpack: {}".format(error), file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
