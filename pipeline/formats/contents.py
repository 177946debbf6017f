"""What a reader of a model format finds in a file, in words that are the same for every format."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.records.targets import Precision
from pipeline.system.files import sha256

Shape = tuple[int | None, ...]  # None where a dimension is free

# Operators that tell what an output is, and those that pass values on in their order, by their ONNX names.
ENDINGS = ("ArgMax", "LogSoftmax", "Sigmoid", "Softmax")
PASSING = {"Cast", "DequantizeLinear", "Dropout", "Flatten", "Identity", "QuantizeLinear", "Reshape", "Squeeze"}
PASSING |= {"Unsqueeze"}


@dataclass(frozen=True)
class Tensor:
    """An input or output: `type` as NumPy names it, `shape` None where even the number of dimensions is open.

    What takes floating-point numbers of any width is fed from float32, by OpenVINO itself and by our sessions.

    `ending` is the operator that an output's values come from, by its ONNX name, where it is one of `ENDINGS`; else it
    is empty.
    """

    name: str
    type: str
    shape: Shape | None
    ending: str = ""


@dataclass(frozen=True)
class Contents:
    """The ends of a graph, the precision of its weights, and the files it is made of, the named one first."""

    inputs: list[Tensor]
    outputs: list[Tensor]
    precision: Precision
    files: list[Path]


def precision_of(quantized: bool, half: int, single: int) -> Precision:
    """The precision of a graph, by whether it holds 8-bit weights and how many weights are FP16 and FP32."""
    return "int8" if quantized else "fp16" if half > single else "fp32"


def identity(files: Sequence[Path]) -> tuple[str, int]:
    """SHA-256 and size in bytes of the files of a model; of several it is the SHA-256 of their hashes.

    Raises:
        OSError: one cannot be read.
    """
    hashes = [sha256(path) for path in files]
    together = hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
    return together, sum(path.stat().st_size for path in files)
