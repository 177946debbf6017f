"""Samples that are prepared already: an `.npz` file, streamed so that neither its size nor what it claims matters."""

import math
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data.own.labels import MOST_DIMENSIONS, checked, read_indices
from pipeline.data.own.selection import fingerprint, spread
from pipeline.processes.samples import Inputs
from pipeline.system import files
from pipeline.system.errors import BadData, shown

# The most that a compressed member can grow. Other methods than these two NumPy never writes, and some of them
# cannot be read in bounded memory.
MOST_GROWTH = {zipfile.ZIP_STORED: 1, zipfile.ZIP_DEFLATED: 1032}
DAMAGE = (
    *(OSError, EOFError, RuntimeError, SyntaxError, ValueError, OverflowError, Warning),
    *(zipfile.BadZipFile, zlib.error, tokenize.TokenError),
)


@dataclass(frozen=True)
class Member:
    """One array of an `.npz` file by its header, which is checked against the bytes that are really there."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    start: int  # of the values, behind the header, in bytes


@dataclass(frozen=True, eq=False)
class ArraySamples:
    """Rows `chosen` of the array `inputs`; see `Samples`."""

    path: Path
    inputs: Member
    chosen: NDArray[np.int64]
    labels: NDArray[np.int64] | None
    sha256: str
    notes: tuple[str, ...] = ()

    @property
    def description(self) -> str:
        """For people."""
        return f"{shown(self.path)}, {len(self):,} inputs"

    def __len__(self) -> int:
        return len(self.chosen)

    def batches(self, size: int) -> Iterator[Inputs]:
        """(n, *shape), as stored."""
        shape = self.inputs.shape[1:]
        row_bytes = math.prod(shape) * self.inputs.dtype.itemsize
        with _readable(self.path), zipfile.ZipFile(self.path) as archive, archive.open(self.inputs.name) as stream:
            for first in range(0, len(self.chosen), size):
                rows = self.chosen[first : first + size]
                batch = np.empty((len(rows), *shape), self.inputs.dtype)
                for values, row in zip(batch, rows, strict=True):
                    stream.seek(self.inputs.start + int(row) * row_bytes)
                    values[:] = np.frombuffer(stream.read(row_bytes), self.inputs.dtype).reshape(shape)
                finite = np.isfinite(batch).all(axis=(1, 2, 3))
                if not finite.all():
                    raise BadData(f"{self.path}: sample {rows[~finite][0]} of inputs holds NaN or infinity")
                yield batch


def open_arrays(
    path: Path,
    shape: tuple[int, int, int],
    classes: int | None,
    labels: Path | None,
    limit: int | None,
    labelled: bool = True,
    pixels: bool = False,
) -> ArraySamples:
    """The array `inputs` of an `.npz` file with its `labels`; see `open_samples` for the arguments.

    Raises:
        InputError: see `open_samples`.
    """
    files.check_file(path)
    with _readable(path), zipfile.ZipFile(path) as archive:
        inputs = _member(path, archive, "inputs")
        if inputs is None:
            raise BadData(f"{path}: has no array inputs; write it with numpy.savez(FILE, inputs=..., labels=...)")
        type_ = "uint8" if pixels else "float32"
        if inputs.dtype != type_ or inputs.shape[1:] != shape:
            wanted = f"{type_} (N, {', '.join(map(str, shape))})"
            raise BadData(f"{path}: inputs is {inputs.dtype} {inputs.shape}, the model takes {wanted}")
        count = inputs.shape[0]
        if not count:
            raise BadData(f"{path}: inputs holds no samples")
        indices = None
        if labelled:
            indices = _labels(path, archive, count, classes) if labels is None else read_indices(labels, count, classes)
        identity = files.sha256(path)
    chosen = spread(count, limit)
    taken = None if indices is None else indices[chosen]
    return ArraySamples(path, inputs, chosen, taken, fingerprint(identity, len(chosen), labels=taken))


def _labels(path: Path, archive: zipfile.ZipFile, count: int, classes: int | None) -> NDArray[np.int64] | None:
    member = _member(path, archive, "labels")
    if member is None:
        return None
    if member.dtype.kind not in "iu" or member.shape[:1] != (count,) or len(member.shape) > MOST_DIMENSIONS:
        found = f"labels is {member.dtype} {member.shape}"
        raise BadData(f"{path}: {found}, but must be {count:,} integers, the index of each sample's class")
    with archive.open(member.name) as stream:
        stream.seek(member.start)
        values = np.frombuffer(stream.read(math.prod(member.shape) * member.dtype.itemsize), member.dtype)
        values = values.reshape(member.shape)
    return checked(values, count, classes, f"{path}: labels")


def _member(path: Path, archive: zipfile.ZipFile, name: str) -> Member | None:
    """An array's place, or None where there is no such array."""
    try:
        info = archive.getinfo(f"{name}.npy")
    except KeyError:
        return None
    if info.compress_type not in MOST_GROWTH:
        raise BadData(f"{path}: {name} is compressed in a way NumPy never does; write it with numpy.savez")
    with archive.open(info) as stream, warnings.catch_warnings():
        warnings.simplefilter("error")  # NumPy warns of odd headers
        # Version 1 keeps the header below 64 KiB. NumPy uses others only for structured arrays.
        if np.lib.format.read_magic(stream) != (1, 0):
            raise BadData(f"{path}: {name} is no plain array of numbers")
        shape, by_column, dtype = np.lib.format.read_array_header_1_0(stream)
        start = stream.tell()
    if dtype.hasobject:
        raise BadData(f"{path}: {name} holds pickled objects, which are never loaded; save numbers instead")
    if by_column and len(shape) > 1:
        raise BadData(f"{path}: {name} is stored by columns; save numpy.ascontiguousarray({name})")
    size = start + math.prod(shape) * dtype.itemsize
    stored = min(info.compress_size, path.stat().st_size)
    if min(shape, default=0) < 0 or info.file_size != size or size > MOST_GROWTH[info.compress_type] * stored:
        raise BadData(f"{path}: {name} is not as long as its shape {shape} needs; the file is damaged")
    return Member(info.filename, shape, dtype, start)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what NumPy and zipfile raise on a damaged file into one clear line."""
    try:
        yield
    except FileNotFoundError as error:
        raise BadData(f"{path}: no such file") from error
    except DAMAGE as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise BadData(f"{path}: damaged, truncated or not an .npz file ({reason})") from error
