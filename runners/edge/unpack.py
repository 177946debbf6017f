"""Unpacking a download: one packed file becomes a folder whose files are, byte for byte, those that were packed.

    python3 -m runners.edge.unpack openvino.pack FOLDER        (or this file, run as a script)

The format is described in docs/download.md and written by `pipeline/pack.py`. A packed file is hostile input: its
SHA-256 is checked before anything in it is read, names and sizes before anything is written, memory stays small
whatever it claims, and the folder only appears once every file in it has the SHA-256 it was packed with. Must run on
Python 3.6 (JetPack 4.6) with NumPy only.
"""

import hashlib
import json
import lzma
import os
import re
import shutil
import struct
import sys
import tempfile
from typing import IO, Any, Dict, Iterator, List, NamedTuple, Tuple

import numpy as np

MAGIC = b"edgeproof pack "
VERSION = b"1\n"
HEADER_SIZE = struct.Struct("<I")
MOST_HEADER_BYTES = 1 << 20
MOST_BYTES = 2 << 30  # of all files together
MOST_DIGITS = 12  # of a number in the header; parsing takes quadratic time
MOST_DISTINCT = 256
BLOCK = 1 << 18  # bytes worked on in one go
# No part starts with a dot: neither `..` nor a hidden file is a name.
PATH = re.compile(r"(\w[\w.+-]*/)*\w[\w.+-]*", re.ASCII)
MOST_PATH = 200  # characters

# One stream for each width of a value in bytes, and 0 for what is no tensor, in the order they stand in the file.
WIDTHS = (0, 1, 2, 4, 8)
# The filters are the reader's own and never the file's, so that no file can ask for gigabytes of memory.
DICTIONARY_BYTES = 1 << 16

Filters = List[Dict[str, int]]


def filters(width: int) -> Filters:
    """LZMA2 for a stream of values of `width` bytes, or of text where that is 0.

    `lp` gives each byte of a value statistics of its own (a float's exponent is predictable, its mantissa is not),
    `lc=0` keeps out the byte before, which says nothing about the next weight.
    """
    position = width.bit_length() - 1 if width else 0
    return [
        {
            "id": lzma.FILTER_LZMA2,
            "dict_size": DICTIONARY_BYTES,
            "lc": 0 if width else 3,
            "lp": position,
            "pb": position,
            "mode": lzma.MODE_NORMAL,
            "mf": lzma.MF_BT4,
            "nice_len": 273,
        }
    ]


class PackError(ValueError):
    """Why a packed file is not unpacked, in one line."""


class Part(NamedTuple):
    """A piece of a file: `size` bytes of values of `width` bytes each, which are in the stream of that width.

    With `distinct` > 0 that stream holds the distinct values only, and the stream of width 1 the index of each value,
    in `index_bits(distinct)` bits, the first in the lowest bits of a byte.
    """

    size: int
    width: int
    distinct: int


class File(NamedTuple):
    """A file by its path below the folder, with "/", and what it is made of."""

    path: str
    sha256: str
    parts: List[Part]


def index_bits(distinct: int) -> int:
    """Bits of an index into `distinct` values: 1, 2, 4 or 8, so that no index crosses a byte."""
    return next(bits for bits in (1, 2, 4, 8) if distinct <= 1 << bits)


def unpack(file: str, folder: str) -> None:
    """Make the new folder `folder` of the packed file `file`, whole or not at all.

    Raises:
        PackError: `file` is missing, damaged, no packed file or of another version, or `folder` exists or cannot be
            written.
    """
    if os.path.lexists(folder):
        raise PackError("{}: exists already; name a new folder".format(folder))
    temporary = None
    try:
        with open(file, "rb") as source:
            start = _check(source)
            files, streams = _header(source, start)
            parent, name = os.path.split(os.path.abspath(folder))
            free = shutil.disk_usage(parent).free
            if sum(part.size for item in files for part in item.parts) > free:
                raise PackError("not enough space in {}: {} bytes are free".format(parent, free))
            temporary = tempfile.mkdtemp(dir=parent, prefix=".{}.".format(name))
            for item in files:
                _write(item, streams, os.path.join(temporary, *item.path.split("/")))
        os.chmod(temporary, 0o777 & ~_umask())
        os.rename(temporary, folder)
    except PackError as error:
        raise PackError("{}: {}".format(file, error)) from error
    except OSError as error:
        raise PackError("{}: cannot be unpacked to {} ({})".format(file, folder, error)) from error
    finally:
        if temporary:
            shutil.rmtree(temporary, ignore_errors=True)


class _Stream:
    """One compressed stream, of which any number of bytes is read at a time."""

    def __init__(self, source: IO[bytes], start: int, size: int, width: int) -> None:
        self._source, self._next, self._end = source, start, start + size
        self._decoder = lzma.LZMADecompressor(format=lzma.FORMAT_RAW, filters=filters(width))

    def read(self, size: int) -> bytes:
        """The next `size` bytes."""
        pieces = []
        while size:
            packed = b""
            if self._decoder.needs_input:
                self._source.seek(self._next)
                packed = self._source.read(min(BLOCK, self._end - self._next))
                self._next += len(packed)
            try:
                piece = self._decoder.decompress(packed, size)
            except (lzma.LZMAError, EOFError) as error:
                raise PackError("damaged; download it again ({})".format(error)) from error
            # At the end of its input, a decoder may still hold output.
            if not piece and not packed:
                raise PackError("damaged; download it again (a stream ends too early)")
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)


def _check(source: IO[bytes]) -> int:
    """See to it that a file is whole; the answer is where its header starts."""
    start = source.read(len(MAGIC) + len(VERSION))
    if not start.startswith(MAGIC):
        raise PackError("no packed file")
    if start != MAGIC + VERSION:
        raise PackError("packed for another version of this program, or damaged")
    expected = source.read(32)
    position = source.tell()
    digest = hashlib.sha256()
    for block in iter(lambda: source.read(BLOCK), b""):
        digest.update(block)
    if digest.digest() != expected:
        raise PackError("truncated or damaged; download it again")
    return position


def _header(source: IO[bytes], start: int) -> Tuple[List[File], Dict[int, _Stream]]:
    source.seek(start)
    prefix = source.read(HEADER_SIZE.size)
    size = HEADER_SIZE.unpack(prefix)[0] if len(prefix) == HEADER_SIZE.size else 0
    if not 0 < size <= MOST_HEADER_BYTES:
        raise PackError("its header has {} bytes; 1 to {} are taken".format(size, MOST_HEADER_BYTES))
    try:
        header = json.loads(source.read(size).decode("ascii"), parse_int=_integer)
        files = [_file(item) for item in header["files"]]
        sizes = [_size(value) for value in header["streams"]]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise PackError("its header is invalid ({})".format(" ".join(str(error).split())[:200])) from error
    total = sum(part.size for file in files for part in file.parts)
    if total > MOST_BYTES:
        raise PackError("claims {} bytes of files; at most {} are taken".format(total, MOST_BYTES))
    if len({file.path for file in files}) < len(files):
        raise PackError("two of its files have the same name")
    position = start + HEADER_SIZE.size + size
    if len(sizes) != len(WIDTHS) or position + sum(sizes) != os.fstat(source.fileno()).st_size:
        raise PackError("its streams are not as long as its header says")
    streams = {}
    for index, width in enumerate(WIDTHS):
        streams[width] = _Stream(source, position, sizes[index], width)
        position += sizes[index]
    return files, streams


def _file(item: Any) -> File:
    path, sha256 = item["path"], item["sha256"]
    if not (isinstance(path, str) and len(path) <= MOST_PATH and PATH.fullmatch(path)):
        raise ValueError("the file name {} is not taken".format(repr(path)[:80]))
    if not isinstance(sha256, str):
        raise ValueError("a hash is no text")
    parts = [Part(*(_size(value) for value in part)) for part in item["parts"]]
    for part in parts:
        if part.width not in WIDTHS or part.size % (part.width or 1):
            raise ValueError("a part has values of {} bytes".format(part.width))
        if part.distinct > MOST_DISTINCT or (part.distinct and not part.width):
            raise ValueError("a part has {} distinct values".format(part.distinct))
    return File(path, sha256, parts)


def _integer(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise ValueError("a number has {} digits".format(len(text)))
    return int(text)


def _size(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("{!r} is no size".format(value)[:60])
    return value


def _write(file: File, streams: Dict[int, _Stream], path: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    digest = hashlib.sha256()
    with open(path, "xb") as target:
        for part in file.parts:
            for block in _values(part, streams):
                digest.update(block)
                target.write(block)
        # On the disk before the folder gets its name: power may go at any time.
        target.flush()
        os.fsync(target.fileno())
    if digest.hexdigest() != file.sha256:
        raise PackError("{} does not have the SHA-256 it was packed with".format(file.path))


def _values(part: Part, streams: Dict[int, _Stream]) -> Iterator[bytes]:
    if not part.distinct:
        for start in range(0, part.size, BLOCK):
            yield streams[part.width].read(min(BLOCK, part.size - start))
        return
    book = np.frombuffer(streams[part.width].read(part.distinct * part.width), "u{}".format(part.width))
    bits = index_bits(part.distinct)
    in_byte = 8 // bits
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    count = part.size // part.width
    for start in range(0, count, BLOCK):
        values = min(BLOCK, count - start)
        packed = np.frombuffer(streams[1].read(-(-values // in_byte)), np.uint8)
        indices = ((packed[:, None] >> shifts) & ((1 << bits) - 1)).reshape(-1)[:values]
        if int(indices.max()) >= part.distinct:
            raise PackError("damaged; an index points to no value")
        yield book[indices].tobytes()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


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
