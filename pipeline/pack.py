"""Packing a folder of exported files into one small download, which `runners/edge/unpack.py` turns back bit for bit.

Weights that share at most 256 distinct values are stored as those values and an index each; the indices, all other
weights and the rest go to a stream per width of value, and each stream through LZMA2. The format is described in
docs/download.md.

Why LZMA and not zstd: it is in the standard library of every Python from 3.3 on, so the device needs nothing, and
without context (`lc=0`) its literal coder is an adaptive arithmetic coder. On EfficientNet-Lite0 with ImageNet weights
that are clustered to 16 values per layer, the indices take 0.5 % more than their entropy. Zstd at level 19 takes 0.1 %
less for indices and int8 weights and 10 % more for floats, whose four bytes it does not tell apart (`lp=2` does).
Without codebooks, the whole download is 12 % (xz -9e) and 26 % (zstd -19) larger.
"""

import itertools
import json
import lzma
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline import files
from pipeline.check import onnx_file, openvino_ir
from pipeline.check.weights import Stored
from pipeline.errors import InputError
from runners.edge import unpack
from runners.edge.unpack import Part

LEAST_BYTES = 256  # of a tensor that is worth an entry in the header
BLOCK = 1 << 20  # values looked at in one go


def pack(folder: Path, file: Path) -> None:
    """Write all files of `folder` to the packed file `file`, then unpack that to see that they come back.

    The same files give the same bytes. Nothing is refused for what it holds: what is no model is stored as it is.

    Raises:
        InputError: a file's name is not taken (see `unpack.PATH`), or the files are more than the device takes.
    """
    tensors = _tensors(folder)
    streams = _Streams()
    entries = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        data = path.read_bytes()
        parts = [_add(streams, data[start:end], width) for start, end, width in _cut(len(data), tensors.get(path, []))]
        name = path.relative_to(folder).as_posix()
        entries.append({"path": name, "sha256": sha256(data).hexdigest(), "parts": parts})
    packed = streams.finish()
    header = {"files": entries, "streams": [len(stream) for stream in packed]}
    text = json.dumps(header, separators=(",", ":")).encode("ascii")
    body = b"".join([unpack.HEADER_SIZE.pack(len(text)), text, *packed])
    with files.replacing(file) as temporary, tempfile.TemporaryDirectory(dir=file.parent) as scratch:
        temporary.write_bytes(unpack.MAGIC + unpack.VERSION + sha256(body).digest() + body)
        try:
            unpack.unpack(str(temporary), str(Path(scratch) / "unpacked"))
        except unpack.PackError as error:
            raise InputError(f"{folder}: cannot be packed for a device: {error}") from error


class _Streams:
    """The streams of a packed file while they are written, by width of their values."""

    def __init__(self) -> None:
        self._coders = {
            width: lzma.LZMACompressor(format=lzma.FORMAT_RAW, filters=unpack.filters(width)) for width in unpack.WIDTHS
        }
        self._packed = {width: bytearray() for width in unpack.WIDTHS}

    def add(self, width: int, data: bytes) -> None:
        self._packed[width] += self._coders[width].compress(data)

    def finish(self) -> list[bytes]:
        """All streams, compressed, in the order of `unpack.WIDTHS`."""
        return [bytes(self._packed[width]) + self._coders[width].flush() for width in unpack.WIDTHS]


def _tensors(folder: Path) -> dict[Path, list[Stored]]:
    """Where the tensors of all models in `folder` are, by file."""
    found: list[Stored] = []
    for places, pattern in ((openvino_ir.places, "*.xml"), (onnx_file.places, "*.onnx")):
        for path in sorted(folder.rglob(pattern)):
            with suppress(InputError):
                found += places(path)
    found.sort(key=lambda tensor: (tensor.file, tensor.offset, tensor.size))
    return {file: list(tensors) for file, tensors in itertools.groupby(found, lambda tensor: tensor.file)}


def _cut(size: int, tensors: list[Stored]) -> Iterator[tuple[int, int, int]]:
    """A file of `size` bytes in pieces without a gap, as start, end and width of value; 0 for what is no tensor."""
    position = 0
    for tensor in tensors:
        # Equal tensors may share their place.
        if tensor.size < LEAST_BYTES or tensor.offset < position or tensor.offset + tensor.size > size:
            continue
        if tensor.offset > position:
            yield position, tensor.offset, 0
        position = tensor.offset + tensor.size
        yield tensor.offset, position, _width(tensor)
    if position < size:
        yield position, size, 0


def _width(tensor: Stored) -> int:
    """Bytes of one value; 1 where values are smaller, or larger than any number."""
    width, rest = divmod(tensor.size, max(int(np.prod(tensor.shape, dtype=object)), 1))
    return width if width in unpack.WIDTHS[1:] and not rest else 1


def _add(streams: _Streams, data: bytes, width: int) -> Part:
    if not width:
        streams.add(0, data)
        return Part(len(data), 0, 0)
    values = np.frombuffer(data, f"u{width}")  # bits, not numbers: 0 and -0 differ, and NaN equals itself
    book = _codebook(values)
    if book is None or len(book) * width + len(values) * unpack.index_bits(len(book)) // 8 >= len(data):
        streams.add(width, data)
        return Part(len(data), width, 0)
    streams.add(width, book.tobytes())
    bits = unpack.index_bits(len(book))
    for start in range(0, len(values), BLOCK):
        streams.add(1, _together(np.searchsorted(book, values[start : start + BLOCK]).astype(np.uint8), bits))
    return Part(len(data), width, len(book))


def _codebook(values: NDArray[np.unsignedinteger]) -> NDArray[np.unsignedinteger] | None:
    """The distinct values in order, or None if there are more than 256."""
    book = values[:0]
    for start in range(0, len(values), BLOCK):
        book = np.union1d(book, values[start : start + BLOCK])
        if len(book) > unpack.MOST_DISTINCT:
            return None
    return book


def _together(indices: NDArray[np.uint8], bits: int) -> bytes:
    """Indices of `bits` bits, as many in a byte as fit, the first in the lowest bits; the last byte ends in zeros."""
    in_byte = 8 // bits
    rows = np.pad(indices, (0, -len(indices) % in_byte)).reshape(-1, in_byte)
    packed: NDArray[np.uint8] = np.bitwise_or.reduce(rows << np.arange(0, 8, bits, dtype=np.uint8), axis=1)
    return packed.tobytes()
