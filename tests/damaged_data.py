"""Images, tables and arrays as disks, programs and attackers leave them: one fault a seed."""

import os
import shutil
import socket
import struct
import zipfile
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

import cv2
import numpy as np
from PIL import Image

from tests.conftest import write_images
from tests.damage import accidents

SHAPE = (3, 16, 16)
CLASSES = ("blue", "green", "red")
SAMPLES = 12
ODD_NAMES = (
    b"caf\xe9.png", b"\xff\xfe.png", b"a\nb.png", b"\x1b[31mred.png", "\u202egnp.exe".encode(), b"-rf.png", b" .png",
    b"a,b.png", b'a"b.png', b"x" * 250 + b".png", b"con.png", b".png", "\U0001f4f7.png".encode(),
    b"%s%n.png", b"a'b.png",
)  # fmt: skip
TABLE_CELLS = (
    "", " ", "../blue/000.png", "/etc/passwd", "blue", "nowhere.png", "\0", "a\nb", '"', "x" * 200_000, "\ufeff", "-1",
    "3", "1e9", "99999999999999999999", "NaN", "\x1b[31m", "\u00fcber", "BLUE", "blue ", "test", "Val",
    "holdout", "=1+1",
)  # fmt: skip


def write_originals(folder: Path) -> None:
    """What is damaged later: images in class folders, the same with a manifest, and arrays."""
    write_images(folder / "photos", per_class=4)
    for column in ("class", "class_index"):
        listed = folder / f"by_{column}"
        shutil.copytree(folder / "photos", listed)
        rows = [
            f"{name}/{index:03d}.png,{name if column == 'class' else place},{'test' if index % 2 else 'train'}"
            for place, name in enumerate(CLASSES)
            for index in range(4)
        ]
        (listed / "manifest.csv").write_text("\n".join([f"file,{column},split", *rows, ""]))
    (folder / "plain").mkdir()
    for place, path in enumerate(sorted((folder / "photos").rglob("*.png"))):
        shutil.copy(path, folder / "plain" / f"{place:02d}.png")
    inputs, labels = arrays(Random(0))
    np.savez(folder / "arrays.npz", inputs=inputs, labels=labels)


def arrays(random: Random) -> tuple[Any, Any]:
    numbers = np.random.default_rng(random.randrange(1 << 30))
    return numbers.standard_normal((SAMPLES, *SHAPE)).astype(np.float32), np.arange(SAMPLES) % len(CLASSES)


def damage_data(seed: int, originals: Path, folder: Path) -> tuple[Path, Path | None, str]:
    """Copy one of the `originals` into `folder` and damage it: its path, a file of labels or none, what was done."""
    random = Random(seed)
    kind = random.choice(["images", "images", "images", "tables", "tables", "arrays", "arrays", "folders", "labels"])
    if kind == "arrays":
        path = folder / "data.npz"
        fault = random.choice(list(ARRAYS))
        ARRAYS[fault](random, path)
        return path, None, f"arrays: {fault}"
    name = random.choice(
        {"tables": ["by_class", "by_class_index"], "labels": ["plain", "photos"]}.get(
            kind, ["photos", "plain", "by_class"]
        )
    )
    shutil.copytree(originals / name, folder / "photos")
    photos = folder / "photos"
    if kind == "tables":
        fault = random.choice(list(TABLES))
        TABLES[fault](random, photos / "manifest.csv")
        return random.choice([photos, photos / "manifest.csv"]), None, f"{name}: table {fault}"
    if kind == "labels":
        fault = random.choice(list(LABELS))
        labels = LABELS[fault](random, folder, SAMPLES if name == "plain" else len(CLASSES))
        return photos, labels, f"{name}: labels {fault}"
    image = random.choice(sorted(photos.rglob("*.png")))
    if kind == "folders":
        fault = random.choice(list(FOLDERS))
        FOLDERS[fault](random, photos, image)
    else:
        fault = random.choice(list(IMAGES))
        IMAGES[fault](random, image)
    return photos, None, f"{name}: {fault}"


# Images


def _pixels(random: Random) -> Image.Image:
    values = np.random.default_rng(random.randrange(1 << 30)).integers(0, 256, (24, 20, 3), np.uint8)
    return Image.fromarray(values)


def _as(mode: str, format: str, **settings: Any) -> Callable[[Random, Path], None]:
    def write(random: Random, path: Path) -> None:
        buffer = BytesIO()
        _pixels(random).convert(mode).save(buffer, format, **settings)
        path.write_bytes(buffer.getvalue())

    return write


def _animated(format: str) -> Callable[[Random, Path], None]:
    def write(random: Random, path: Path) -> None:
        frames = [_pixels(random) for _ in range(random.randint(2, 5))]
        buffer = BytesIO()
        frames[0].save(buffer, format, save_all=True, append_images=frames[1:])
        path.write_bytes(buffer.getvalue())

    return write


def _damaged_as(mode: str, format: str) -> Callable[[Random, Path], None]:
    def write(random: Random, path: Path) -> None:
        _as(mode, format)(random, path)
        path.write_bytes(accidents(random, path.read_bytes()))

    return write


def _with_opencv(suffix: str, kind: Any) -> Callable[[Random, Path], None]:
    def write(random: Random, path: Path) -> None:
        values = np.asarray(_pixels(random)).astype(kind) * (257 if kind is np.uint16 else 1)
        path.write_bytes(cv2.imencode(suffix, values)[1].tobytes())

    return write


def _bytes(random: Random, path: Path) -> None:
    path.write_bytes(accidents(random, path.read_bytes()))


def _cut(random: Random, path: Path) -> None:
    os.truncate(path, random.randrange(path.stat().st_size))


def _png(width: int, height: int, data: bytes) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def _bomb(random: Random, path: Path) -> None:
    """A small file of very many pixels: really there, compressed a thousandfold, or only in the header."""
    side = random.choice([12_000, 30_000, 65_535, 2**31 - 1])
    if side <= 12_000:
        packer = zlib.compressobj(9)
        line = bytes(1 + 3 * side)
        path.write_bytes(_png(side, side, b"".join([*(packer.compress(line) for _ in range(side)), packer.flush()])))
    elif random.random() < 0.5:
        path.write_bytes(_png(side, side, zlib.compress(bytes(100_000))))
    else:
        path.write_bytes(b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0))


def _no_pixels(random: Random, path: Path) -> None:
    width, height = random.choice([(0, 0), (0, 5), (5, 0)])
    path.write_bytes(_png(width, height, zlib.compress(b"")))


def _one_pixel_wide(random: Random, path: Path) -> None:
    sides = random.choice([(1, 1), (1, 3000), (3000, 1)])
    buffer = BytesIO()
    _pixels(random).resize(sides).save(buffer, "PNG")
    path.write_bytes(buffer.getvalue())


def _text(random: Random, path: Path) -> None:
    svg = b'<svg xmlns="http://www.w3.org/2000/svg"><rect width="9" height="9"/></svg>'
    path.write_bytes(
        random.choice([b"", b"\0", b"hello\n", svg, b"%PDF-1.4", b"\xff\xd8\xff", b"GIF89a", b"RIFF\0\0\0\0WEBP"])
    )


def _instead(make: Callable[[Random, Path], None]) -> Callable[[Random, Path], None]:
    def write(random: Random, path: Path) -> None:
        path.unlink()
        make(random, path)

    return write


def _socket(random: Random, path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        here = Path.cwd()  # the path of a socket may have 107 bytes only
        os.chdir(path.parent)
        try:
            made.bind(path.name)
        finally:
            os.chdir(here)


def _unreadable(random: Random, path: Path) -> None:
    path.chmod(0)


SPECIAL: dict[str, Callable[[Random, Path], None]] = {
    "a pipe": lambda random, path: os.mkfifo(path),
    "a socket": _socket,
    "a folder": lambda random, path: path.mkdir(),
    "gone": lambda random, path: None,
    "a link to itself": lambda random, path: path.symlink_to(path.name),
    "a link to nothing": lambda random, path: path.symlink_to("nothing"),
    "a link to a device": lambda random, path: path.symlink_to(
        random.choice(["/dev/zero", "/dev/null", "/dev/random"])
    ),
    "a link to a folder above": lambda random, path: path.symlink_to("..", target_is_directory=True),
    "a link to a secret": lambda random, path: path.symlink_to("/etc/passwd"),
}
IMAGES: dict[str, Callable[[Random, Path], None]] = {
    "bytes": _bytes, "cut": _cut, "bomb": _bomb, "no pixels": _no_pixels, "one pixel wide": _one_pixel_wide,
    "text": _text,
    "unreadable": _unreadable,
    "CMYK": _as("CMYK", "JPEG"), "progressive": _as("RGB", "JPEG", progressive=True), "grey": _as("L", "PNG"),
    "bits": _as("1", "PNG"), "palette": _as("P", "PNG"), "transparent": _as("RGBA", "PNG"),
    "16 bits": _as("I;16", "PNG"),
    "floats": _as("F", "TIFF"), "TIFF in CMYK": _as("CMYK", "TIFF"), "JPEG 2000": _as("RGB", "JPEG2000"),
    "AVIF": _as("RGB", "AVIF"), "ICO": _as("RGB", "ICO"), "PCX": _as("RGB", "PCX"), "PPM": _as("RGB", "PPM"),
    "animated GIF": _animated("GIF"), "animated WebP": _animated("WEBP"), "animated PNG": _animated("PNG"),
    "pages": _animated("TIFF"), "16 bits in colour": _with_opencv(".png", np.uint16),
    "HDR": _with_opencv(".hdr", np.float32),
    **{f"damaged {format}": _damaged_as(mode, format) for mode, format in (
        ("RGB", "JPEG"), ("CMYK", "JPEG"), ("P", "GIF"), ("RGB", "WEBP"), ("RGB", "TIFF"), ("RGB", "BMP"),
        ("RGB", "PPM"),
        ("RGB", "JPEG2000"), ("RGB", "AVIF"), ("L", "PNG"),
    )},
    **{f"is {name}": _instead(make) for name, make in SPECIAL.items()},
}  # fmt: skip


# Folders


def _odd_name(random: Random, photos: Path, image: Path) -> None:
    name = os.fsdecode(random.choice(ODD_NAMES))
    if random.random() < 0.7 or image.parent == photos:
        image.rename(image.with_name(name))
    else:
        image.parent.rename(photos / name.removesuffix(".png"))


def _all_in_one(random: Random, photos: Path, image: Path) -> None:
    for path in sorted(photos.iterdir()):
        (photos / "inner").mkdir(exist_ok=True)
        path.rename(photos / "inner" / path.name)


def _empty(random: Random, photos: Path, image: Path) -> None:
    for path in sorted(photos.rglob("*.png")):
        path.unlink()


def _splits(random: Random, photos: Path, image: Path) -> None:
    for name in random.sample(["train", "Training", "val", "VALID", "test", "extra", "train2"], 3):
        (photos / name / random.choice(CLASSES)).mkdir(parents=True)
        shutil.copy(image, photos / name / "loose.png")


def _deep(random: Random, photos: Path, image: Path) -> None:
    place = image.parent
    for _ in range(random.choice([3, 60])):
        place = place / ("d" * 40)
    place.mkdir(parents=True)
    shutil.copy(image, place / "deep.png")


def _strange(random: Random, photos: Path, image: Path) -> None:
    name = random.choice(list(SPECIAL))
    path = photos / "strange"
    SPECIAL[name](random, path)


def _few(random: Random, photos: Path, image: Path) -> None:
    for path in sorted(photos.rglob("*.png"))[random.randint(0, 3) :]:
        path.unlink()


def _same_names(random: Random, photos: Path, image: Path) -> None:
    shutil.copytree(image.parent, photos / "BLUE") if image.parent != photos else shutil.copy(image, photos / "A.PNG")


FOLDERS: dict[str, Callable[[Random, Path, Path], None]] = {
    "an odd name": _odd_name, "all in one": _all_in_one, "empty": _empty, "splits": _splits, "deep": _deep,
    "something strange": _strange, "few": _few, "names that hardly differ": _same_names,
}  # fmt: skip


# Tables


def _cell(random: Random, path: Path) -> None:
    rows = [line.split(",") for line in path.read_text().split("\n")]
    for _ in range(random.choice([1, 1, 4])):
        row = random.choice(rows)
        row[random.randrange(len(row))] = random.choice(TABLE_CELLS)
    path.write_text("\n".join(",".join(row) for row in rows), errors="surrogateescape")


def _rows(random: Random, path: Path) -> None:
    lines = path.read_text().split("\n")
    action = random.choice(["lose", "repeat", "shuffle", "short", "long", "no header", "header only"])
    place = random.randrange(len(lines))
    if action == "lose":
        del lines[place]
    elif action == "repeat":
        lines.insert(place, random.choice(lines))
    elif action == "shuffle":
        random.shuffle(lines)
    elif action == "short":
        lines[place] = lines[place].rpartition(",")[0]
    elif action == "long":
        lines[place] += ",a,b"
    else:
        lines = lines[1:] if action == "no header" else lines[:1]
    path.write_text("\n".join(lines))


def _encoded(random: Random, path: Path) -> None:
    text = path.read_text().replace("blue", "bl\u00fc")
    encoding = random.choice(["utf-16", "utf-32", "cp1252", "utf-8-sig", "cp500"])
    path.write_bytes(text.encode(encoding))


def _dialect(random: Random, path: Path) -> None:
    text = path.read_text()
    old, new = random.choice(
        [(",", ";"), (",", "\t"), ("\n", "\r\n"), ("\n", "\r"), ("\n", "\n\n"), (",", " , "), ("file", '"file')]
    )
    path.write_text(text.replace(old, new), newline="")


def _header(random: Random, path: Path) -> None:
    head, _, rest = path.read_text().partition("\n")
    names = [
        "file,class,class",
        "file,file,class",
        "FILE,Class",
        "path,label",
        "file",
        "class",
        ",,",
        "file,class,split,split",
        "x" * 200_000,
    ]
    path.write_text(f"{random.choice([*names, head.upper()])}\n{rest}")


TABLES: dict[str, Callable[[Random, Path], None]] = {
    "bytes": _bytes, "cells": _cell, "rows": _rows, "encoding": _encoded, "dialect": _dialect, "header": _header,
    **{f"is {name}": _instead(make) for name, make in SPECIAL.items()},
}  # fmt: skip


# Arrays


def _other_inputs(random: Random, path: Path) -> None:
    inputs, labels = arrays(random)
    shapes: list[Any] = [
        inputs.astype(random.choice([np.float16, np.float64, np.uint8, np.int64, np.complex64, "S4", "datetime64[s]"])),
        inputs[0], inputs[:0], inputs[..., None], inputs.reshape(SAMPLES, -1), np.asfortranarray(inputs), np.float32(0),
        inputs.astype(">f4"), inputs[:, :, ::2], np.array([{}], object), np.array([b"x"] * SAMPLES),
    ]  # fmt: skip
    np.savez(path, inputs=random.choice(shapes), labels=labels)


def _other_labels(random: Random, path: Path) -> None:
    inputs, labels = arrays(random)
    others: list[Any] = [
        labels.astype(np.float32), labels[:-1], labels - 1, labels + 2**40, labels[:, None], labels[None], labels[:0],
        np.eye(3, dtype=np.int64)[labels], labels.astype(np.uint64) + np.uint64(2**63), labels.astype(bool),
        np.int64(0),
        labels.astype(object), labels.astype(str), np.zeros((SAMPLES, 16, 16), np.int64),
        np.zeros((SAMPLES, 2, 2, 2), int),
    ]  # fmt: skip
    np.savez(path, inputs=inputs, labels=random.choice(others))


def _other_members(random: Random, path: Path) -> None:
    inputs, labels = arrays(random)
    members: list[dict[str, Any]] = [
        {},
        {"labels": labels},
        {"x": inputs},
        {"inputs": inputs, "labels": labels, "inputs/": labels},
    ]
    np.savez(path, **random.choice(members))


def _no_numbers(random: Random, path: Path) -> None:
    inputs, labels = arrays(random)
    inputs[random.randrange(SAMPLES)].flat[random.randrange(768)] = random.choice([np.nan, np.inf, -np.inf, 3e38])
    np.savez(path, inputs=inputs, labels=labels)


def _damaged_archive(random: Random, path: Path) -> None:
    inputs, labels = arrays(random)
    random.choice([np.savez, np.savez_compressed])(path, inputs=inputs, labels=labels)
    path.write_bytes(accidents(random, path.read_bytes()))


def _claims(random: Random, path: Path) -> None:
    """A header that says there is more, or other, than there is; or a member that grows without end."""
    shape: Any = random.choice([(1 << 40, *SHAPE), (SAMPLES, *SHAPE), (-1, *SHAPE), (1 << 22, *SHAPE), "x", ()])
    header = f"{{'descr': {random.choice(['<f4', '|O', '<f8'])!r}, 'fortran_order': False, 'shape': {shape!r}, }}\n"
    content = (
        b"\x93NUMPY\x01\x00"
        + struct.pack("<H", len(header))
        + header.encode()
        + bytes(random.choice([0, 4096, 32 << 20]))
    )
    with zipfile.ZipFile(
        path, "w", random.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
    ) as archive:
        archive.writestr("inputs.npy", content)


ARRAYS: dict[str, Callable[[Random, Path], None]] = {
    "inputs": _other_inputs, "labels": _other_labels, "members": _other_members, "no numbers": _no_numbers,
    "archive": _damaged_archive, "claims": _claims, "text": _text, **SPECIAL,
}  # fmt: skip


# Labels


def _text_of(random: Random, folder: Path, count: int) -> Path:
    path = folder / "labels.txt"
    lines = list(CLASSES) if count == len(CLASSES) else [str(place % 3) for place in range(count)]
    for _ in range(random.choice([1, 1, 3])):
        lines[random.randrange(len(lines))] = random.choice(TABLE_CELLS)
    path.write_text("\n".join(lines), errors="surrogateescape")
    return path


def _array_of(random: Random, folder: Path, count: int) -> Path:
    path = folder / "labels.npy"
    labels = np.arange(count) % 3
    np.save(path, random.choice([labels, labels - 1, labels / 2, labels.astype(object), labels[:, None], labels[:1]]))
    if random.random() < 0.5:
        path.write_bytes(accidents(random, path.read_bytes()))
    return path


def _special_of(random: Random, folder: Path, count: int) -> Path:
    path = folder / random.choice(["labels.txt", "labels.npy", "labels.csv"])
    SPECIAL[random.choice(list(SPECIAL))](random, path)
    return path


LABELS: dict[str, Callable[[Random, Path, int], Path]] = {"text": _text_of, "array": _array_of, "special": _special_of}
