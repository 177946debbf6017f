"""Packing a folder of exported files into one small .tar.xz, which runners/edge/update/unpack.py turns back.

What makes it small are the parameters of LZMA2. Without context (`lc=0`) its literal coder is an adaptive arithmetic
coder; `lp` gives each byte of a value statistics of its own (a float's exponent is predictable, its mantissa is not),
which weights that share few values do without. docs/download.md has the numbers.
"""

import lzma
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipeline.system import files
from pipeline.system.errors import BadModel
from runners.edge.update import unpack

# A device needs as much memory. 64 MiB instead would take at most 0.02 % off, and two to three times as long to pack.
DICTIONARY_BYTES = 1 << 18
FLOATS = {"lc": 0, "lp": 2, "pb": 2}
SHARED = {"lc": 0, "lp": 0, "pb": 0}


def pack(folder: Path, file: Path) -> None:
    """Write all files of `folder` to the download `file`, then unpack that to see that they come back.

    The same files give the same bytes. Nothing is refused for what it holds: what is no model is packed as it is.

    Raises:
        InputError: a file's name is not taken (see `unpack.PATH`), it is no regular file, or the files are more than
            the device takes.
    """
    contents = {}
    for path in folder.rglob("*"):
        if path.is_file():
            contents[path.relative_to(folder).as_posix()] = path.read_bytes()
        elif not path.is_dir():
            raise BadModel(f"{path}: no regular file, so it cannot be packed for a device")
    with files.replacing(file) as temporary, tempfile.TemporaryDirectory(dir=file.parent) as scratch:
        again = Path(scratch) / "unpacked"
        try:
            tar = b"".join(_entry(name, contents[name]) for name in sorted(contents)) + unpack.END
            with ThreadPoolExecutor() as pool:
                temporary.write_bytes(min(pool.map(_compressed, (tar, tar), (FLOATS, SHARED)), key=len))
            unpack.unpack(str(temporary), str(again))
        except ValueError as error:
            raise BadModel(f"{folder}: cannot be packed for a device: {error}") from error
        if any((again / name).read_bytes() != data for name, data in contents.items()):
            raise BadModel(f"{folder}: does not come back from its download; is the memory of this machine sound?")


def _entry(name: str, data: bytes) -> bytes:
    return unpack.header(name, len(data)) + data + bytes(-len(data) % unpack.RECORD)


def _compressed(tar: bytes, bits: dict[str, int]) -> bytes:
    lzma2 = {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": DICTIONARY_BYTES, **bits}
    return lzma.compress(tar, lzma.FORMAT_XZ, lzma.CHECK_SHA256, filters=[lzma2])
