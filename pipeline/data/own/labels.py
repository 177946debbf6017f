"""Which class of the network every sample belongs to, as an index."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data.own.listing import Listing
from pipeline.system import files, npy
from pipeline.system.errors import BadData

MOST_DIMENSIONS = 3  # a class for each sample (N,), for each head or label (N, k), or for each pixel (N, H, W)
MOST_CLASSES = 1 << 31  # where the network does not say how many it has


def class_indices(listing: Listing, labels: Path | None, classes: int | None) -> NDArray[np.int64] | None:
    """The class index of every file of a listing (N,), or None where nothing gives classes.

    `labels` is a text file: the order of the class names, or, for files without classes, their indices (`.npy` too).

    Raises:
        InputError: a class is unknown, an index is outside the network's `classes`, the numbers do not match, or the
            order of the classes is in doubt.
    """
    if listing.classes is not None:
        order = _order(listing, labels, classes)
        unknown = next((name for name in listing.classes if name not in order), None)
        if unknown is not None:
            said = f"; its first line is {next(iter(order))[:40]!r}" if labels and order else ""
            raise BadData(f"{labels}: the class {unknown!r} of {listing.folder} is not named, or more than once{said}")
        return np.array([order[name] for name in listing.classes], np.int64)
    if listing.indices is not None:
        if labels is not None:
            raise BadData(f"{labels}: the data has a column class_index already; leave --labels away")
        return checked(listing.indices, len(listing.files), classes, listing.description)
    return read_indices(labels, len(listing.files), classes) if labels else None


def read_indices(path: Path, count: int, classes: int | None) -> NDArray[np.int64]:
    """Class indices for `count` samples from an `.npy` file or a text file with one a line.

    Raises:
        InputError: the file is unreadable, or its indices do not fit.
    """
    if path.suffix.lower() != ".npy":
        return checked(_lines(path), count, classes, path)
    files.check_file(path)
    try:
        values = npy.read(path, mapped=True)
    except (OSError, ValueError) as error:
        raise BadData(f"{path}: not a readable .npy file of integers ({error})") from error
    return checked(values, count, classes, path)


def checked(values: list[str] | NDArray[Any], count: int, classes: int | None, where: object) -> NDArray[np.int64]:
    """Class indices (N,), (N, k) or (N, H, W) of an array, or (N,) of a list of text, held against samples and network.

    Raises:
        InputError: they are not integers, not `count`, or outside 0 to `classes` - 1.
    """
    if isinstance(values, list):
        values = np.array([_index(value, where) for value in values], np.int64)
    if not 1 <= values.ndim <= MOST_DIMENSIONS or values.dtype.kind not in "iu":
        found = f"{values.dtype} of shape {values.shape}"
        raise BadData(f"{where}: labels must be one integer per sample, the index of its class; found {found}")
    if len(values) != count:
        raise BadData(f"{where}: {len(values):,} labels for {count:,} samples; give one per sample")
    limit = classes or MOST_CLASSES
    outside = np.argwhere((values < 0) | (values >= limit))
    if len(outside):
        sample, range_ = outside[0][0], f"0 to {limit - 1}" + (", the model's classes" if classes else "")
        raise BadData(f"{where}: label {values[tuple(outside[0])]} of sample {sample} is outside {range_}")
    indices: NDArray[np.int64] = values.astype(np.int64)
    return indices


def _index(text: str, where: object) -> int:
    """A whole number, which tables may write as 3.0."""
    number = text.removesuffix(".0")
    if not number.removeprefix("-").isdecimal() or len(number) > 18:
        raise BadData(f"{where}: labels must be class indices, one whole number a line, and {text[:40]!r} is none")
    return int(number)


def _order(listing: Listing, labels: Path | None, classes: int | None) -> dict[str, int]:
    names = listing.names if labels is None else tuple(_lines(labels))
    if labels is None and all(name.isdecimal() for name in names):
        doubt = None
        numbers = [int(name) for name in names]
        if numbers != sorted(numbers):
            doubt = f"in the order of names {names[1]!r} would come second"
        elif classes is None and numbers != [numbers[0] + step for step in range(len(numbers))]:
            doubt = "some are missing, which the model may know too"
        if doubt:
            raise BadData(
                f"{listing.folder}: the classes are numbers, and {doubt}; "
                "give the order with --labels FILE, one class name per line"
            )
    if classes is not None and len(names) != classes:
        raise BadData(
            f"{labels or listing.folder}: {len(names):,} classes, but the model answers {classes:,}; "
            "name all the model's classes in its order with --labels FILE, one per line"
        )
    times = Counter(names)
    return {name: index for index, name in enumerate(names) if times[name] == 1}


def _lines(path: Path) -> list[str]:
    files.check_file(path)
    try:
        text = path.read_text(encoding="utf-8-sig").rstrip()
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise BadData(f"{path}: is no UTF-8 text (byte 0x{byte:02x}); save it as text in UTF-8") from error
    except OSError as error:
        raise BadData(f"{path}: cannot be read ({error.strerror or error})") from error
    if not text:
        raise BadData(f"{path}: is empty; write one label per line")
    # An empty line in between stays: without it all later names would get another class's index.
    return [line.strip() for line in text.split("\n")]
