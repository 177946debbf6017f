"""Weights: that they are numbers, and that those stored outside the graph are really there."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.system.errors import BadModel

BLOCK = 1 << 20  # values looked at in one go: memory stays small whatever the size of the weights
MOST_READING = 4  # times the files' own size: honest tensors do not overlap


@dataclass(frozen=True)
class Stored:
    """The place of one tensor in a file; `dtype` is None where its values cannot be NaN, or nobody reads them."""

    name: str
    file: Path
    offset: int  # bytes
    size: int  # bytes
    shape: tuple[int, ...]
    dtype: np.dtype[Any] | None


def check_stored(model: Path, tensors: Iterable[Stored]) -> None:
    """Read through all weights that `model` keeps in other files.

    Raises:
        InputError: such a file is missing or ends too early, a tensor is not as long as its shape, tensors overlap,
            or one holds no numbers.
    """
    places = {}
    sizes: dict[Path, int] = {}
    for tensor in tensors:
        if tensor.file not in sizes:
            sizes[tensor.file] = _size(model, tensor.file)
        if not 0 <= tensor.offset <= tensor.offset + tensor.size <= sizes[tensor.file]:
            reason = "it is truncated, or belongs to another model"
            raise BadModel(f"{tensor.file}: does not hold the weights {tensor.name!r} of {model}; {reason}")
        if tensor.dtype and tensor.size != math.prod(tensor.shape) * tensor.dtype.itemsize:
            raise BadModel(f"{model}: the weights {tensor.name!r} are not as long as their shape; it is damaged")
        if tensor.size:
            places[tensor.file, tensor.offset, tensor.size, tensor.dtype] = tensor.name
    if sum(size for _, _, size, _ in places) > MOST_READING * sum(sizes.values()):
        raise BadModel(f"{model}: its weights overlap; it is damaged")
    mapped = {file: np.memmap(file, np.uint8, mode="r") for file, size in sizes.items() if size}
    for (file, offset, size, dtype), name in places.items():
        if dtype:
            check_finite(model, name, mapped[file][offset : offset + size].view(dtype))


def _size(model: Path, file: Path) -> int:
    if not file.is_file():
        raise BadModel(f"{model}: its weights are in {file}, which is missing; put it there")
    return file.stat().st_size


def check_finite(model: Path, name: str, values: NDArray[Any]) -> None:
    """Refuse NaN anywhere, and infinity but for single values, which are bounds, and beside zeros, which are masks.

    A clamp has such bounds; such masks keep some of the scores from a softmax.

    Raises:
        InputError: the tensor `name` holds such values.
    """
    flat = values.reshape(-1)
    for start in range(0, len(flat), BLOCK):
        block = flat[start : start + BLOCK]
        finite = np.isfinite(block)
        if np.isnan(block).any() or (len(flat) > 1 and not finite.all() and block[finite].any()):
            raise BadModel(f"{model}: the weights {name!r} hold NaN or infinity")
