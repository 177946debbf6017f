"""A PNG file down to its picture: header, pixels, end. All else is left out before any decoder sees the file."""

import struct
import zlib
from collections.abc import Iterator

from pipeline.system.errors import BadData

SIGNATURE = b"\x89PNG\r\n\x1a\n"
KEPT = (b"IHDR", b"IDAT", b"IEND")
EIGHT_BITS, RGB, DEFLATE, ADAPTIVE, NOT_INTERLACED = 8, 2, 0, 0, 0
LAST_FILTER = 4


def picture_only(content: bytes, width: int, height: int) -> bytes:
    """The same picture of `width` x `height` pixels in 8 bits of RGB, without text, profiles, times and further frames.

    Raises:
        BadData: it is no such file, whole and with right checksums; the message goes on after the file's name.
    """
    if not content.startswith(SIGNATURE):
        raise BadData("is no PNG")
    chunks = list(_chunks(content))
    kinds = [kind for kind, _ in chunks]
    if not kinds or kinds[0] != b"IHDR" or kinds.count(b"IHDR") != 1 or len(chunks[0][1]) != 13 or b"IDAT" not in kinds:
        raise BadData("is no PNG: it has no header or no pixels")
    found = struct.unpack(">IIBBBBB", chunks[0][1])
    if found[2:] != (EIGHT_BITS, RGB, DEFLATE, ADAPTIVE, NOT_INTERLACED):
        raise BadData("is not in 8 bits of RGB, as a capture is")
    if found[:2] != (width, height):
        raise BadData(f"has {found[0]:,} x {found[1]:,} pixels and not the {width:,} x {height:,} of its facts")
    return SIGNATURE + b"".join(_packed(kind, body) for kind, body in chunks if kind in KEPT)


def check_pixels(content: bytes) -> None:
    """Hold the pixels of a file that `picture_only` made against its header: all rows, no more, each with a filter.

    Decoders fill in what is missing, and would show what nobody sent.

    Raises:
        BadData: see `picture_only`.
    """
    chunks = list(_chunks(content))
    width, height = struct.unpack(">II", chunks[0][1][:8])
    row = 1 + 3 * width
    inflate = zlib.decompressobj()
    try:
        pixels = inflate.decompress(b"".join(body for kind, body in chunks if kind == b"IDAT"), row * height + 1)
    except zlib.error as error:
        raise BadData("is damaged: its pixels cannot be decoded") from error
    if len(pixels) != row * height or not inflate.eof:
        raise BadData("is damaged: it has other pixels than its header says")
    if max(pixels[::row]) > LAST_FILTER:
        raise BadData("is damaged: a row of it has no filter that there is")


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and body of every chunk up to the end; what lies behind it is nobody's."""
    at = len(SIGNATURE)
    while at + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        kind, body = content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        checksum = content[at + 8 + length : at + 12 + length]
        if len(checksum) < 4:
            break
        if struct.unpack(">I", checksum)[0] != zlib.crc32(body, zlib.crc32(kind)):
            raise BadData("is damaged: a checksum in it is wrong")
        yield kind, body
        if kind == b"IEND":
            return
        at += 12 + length
    raise BadData("is damaged: it ends early")


def _packed(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(body, zlib.crc32(kind)))
