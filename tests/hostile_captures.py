"""Captures as a broken or taken-over device sends them: one fault a seed, in an inbox on a disk."""

import json
import os
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.captures import CLASSES, facts, picture, png, send
from tests.damage import accidents
from tests.damaged_data import IMAGES, ODD_NAMES, SPECIAL

SECRET = "51.5007 N, 0.1246 W"  # where a picture was taken, in its metadata
VALUES: list[Any] = [
    None, True, "", " ", -1, 0, 1e999, 1e308, -1e308, 10**40, "../../../etc/passwd", "/etc/passwd", "a/b", "\0", "\n",
    [], {}, [[]],
    "x" * 12_000, "\u202egnp", "<script>alert(1)</script>", "=cmd|' /C calc'!A0", "NaN", "%s%n", {"a": -1}, {"a": 2},
    {"": 0.5}, {"<img src=x onerror=alert(1)>": 0.5}, "0" * 16, "f" * 64, "g" * 16, 2**31, 1024, 1025, 0.5,
]  # fmt: skip


def plant(seed: int, inbox: Path) -> str:
    """Put one such capture into the inbox, `DEVICE/ID` of its own; what is the matter with it."""
    random = Random(seed)
    label = random.choice(CLASSES)
    image, name = picture(label, seed), f"cam-{seed % 7}/h{seed}"
    fault = random.choice(list(FAULTS))
    send(inbox, name, image)
    file = inbox / "captures" / f"{name}.png"
    FAULTS[fault](random, file, image)
    return fault


def _resealed(file: Path, image: Any, content: bytes, **others: Any) -> None:
    """Content in place of the picture's, with facts that name it: whoever has the device can calculate hashes."""
    file.write_bytes(content)
    name = f"{file.parent.name}/{file.stem}"
    file.with_suffix(".json").write_text(json.dumps(facts(name, image, content, **others)))


def _bytes(random: Random, file: Path, image: Any) -> None:
    file.write_bytes(accidents(random, file.read_bytes()))


def _bytes_resealed(random: Random, file: Path, image: Any) -> None:
    _resealed(file, image, accidents(random, file.read_bytes()))


def _pixels_resealed(random: Random, file: Path, image: Any) -> None:
    """Damage inside of the compressed pixels, with checksums that are right."""
    chunks = [b"IHDR" + struct.pack(">IIBBBBB", image.shape[1], image.shape[0], 8, 2, 0, 0, 0)]
    raw = b"".join(b"\0" + row[:, ::-1].tobytes() for row in image)
    content = accidents(random, zlib.compress(raw if random.random() < 0.5 else accidents(random, raw)))
    chunks += [b"IDAT" + content, b"IEND"]
    whole = b"".join(struct.pack(">I", len(one) - 4) + one + struct.pack(">I", zlib.crc32(one)) for one in chunks)
    _resealed(file, image, b"\x89PNG\r\n\x1a\n" + whole)


def _other_format(random: Random, file: Path, image: Any) -> None:
    IMAGES[random.choice([name for name in IMAGES if not name.startswith("is ")])](random, file)
    if random.random() < 0.7:
        _resealed(file, image, file.read_bytes()[: 5 << 20])


def _special(random: Random, file: Path, image: Any) -> None:
    target = random.choice([file, file.with_suffix(".json")])
    target.unlink()
    SPECIAL[random.choice(list(SPECIAL))](random, target)


def _facts_bytes(random: Random, file: Path, image: Any) -> None:
    told = file.with_suffix(".json")
    told.write_bytes(accidents(random, told.read_bytes()))


def _facts_value(random: Random, file: Path, image: Any) -> None:
    told = file.with_suffix(".json")
    content = json.loads(told.read_text())
    for name in random.sample(sorted(content), random.randint(1, 2)):
        content[name] = random.choice(VALUES)
    told.write_text(json.dumps(content))


def _facts_shape(random: Random, file: Path, image: Any) -> None:
    told = file.with_suffix(".json")
    whole = told.read_text()
    shapes = [
        "",
        "[]",
        "null",
        "[" * 100_000,
        '{"a":' * 5_000,
        "9" * 15_000,
        whole * 2,
        whole + " " * (1 << 15),
        "\ufeff" + whole,
    ]
    told.write_text(random.choice([*shapes, whole.replace("{", '{"id": "other", ', 1), whole.replace("40", "40.0")]))


def _odd_name(random: Random, file: Path, image: Any) -> None:
    for path in (file, file.with_suffix(".json")):
        odd = random.choice(ODD_NAMES)
        if random.random() < 0.2:
            odd = odd.replace(b".png", path.suffix.encode())
        path.rename(file.parent / os.fsdecode(odd[:250]))


def _odd_device(random: Random, file: Path, image: Any) -> None:
    odd = random.choice([name.removesuffix(b".png") for name in ODD_NAMES if name != b".png"] + [b".ssh", b"a" * 101])
    folder = file.parents[1] / os.fsdecode(odd[:250])
    folder.mkdir(exist_ok=True)
    for path in (file, file.with_suffix(".json")):
        shutil.move(path, folder / path.name)


def _others_facts(random: Random, file: Path, image: Any) -> None:
    _resealed(file, image, file.read_bytes(), device=random.choice(["cam-0", "cam-6", "..", "other"]), id="h0")


def _half(random: Random, file: Path, image: Any) -> None:
    random.choice([file, file.with_suffix(".json")]).unlink()


def _other_picture(random: Random, file: Path, image: Any) -> None:
    """Something else under the facts of what the device's own network saw."""
    other = picture(random.choice(CLASSES), random.randrange(10**6), side=image.shape[0])
    if random.random() < 0.5:
        file.write_bytes(png(other))
    else:
        _resealed(file, image, png(other))


def _metadata(random: Random, file: Path, image: Any) -> None:
    """A good picture with a place, a profile, a time, a second picture or a program behind it."""
    told = PngInfo()
    told.add_text("Comment", SECRET, zip=random.random() < 0.5)
    whole = Image.fromarray(image[:, :, ::-1])
    whole.save(file, pnginfo=told, icc_profile=SECRET.encode(), exif=b"Exif\0\0" + SECRET.encode(), dpi=(72, 72))
    _resealed(file, image, file.read_bytes() + random.choice([b"", b"PK\x03\x04" + SECRET.encode(), png(image)]))


def _text_bomb(random: Random, file: Path, image: Any) -> None:
    """Chunks of text and profiles that unpack to a gigabyte."""
    body = b"zTXt" + b"Comment\0\0" + zlib.compress(bytes(64 << 20), 9)
    bomb = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    content = file.read_bytes()
    _resealed(file, image, content[:33] + bomb * 16 + content[33:])


def _again(random: Random, file: Path, image: Any) -> None:
    """The same picture under another name."""
    send(file.parents[2], f"cam-again/{file.stem}", image)


FAULTS: dict[str, Callable[[Random, Path, Any], None]] = {
    "damaged bytes": _bytes, "damaged bytes, right hash": _bytes_resealed,
    "damaged pixels, right sums": _pixels_resealed,
    "another format": _other_format, "no file": _special, "damaged facts": _facts_bytes,
    "a hostile value": _facts_value,
    "another shape": _facts_shape, "an odd name": _odd_name, "an odd device": _odd_device,
    "another's facts": _others_facts, "one half": _half, "another picture": _other_picture, "metadata": _metadata,
    "a bomb of text": _text_bomb, "the same again": _again,
}  # fmt: skip
