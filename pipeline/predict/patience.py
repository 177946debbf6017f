"""How much there is to calculate in a network, and how much CPU time is too much for it."""

from collections.abc import Sequence
from pathlib import Path

from pipeline.formats import readers
from pipeline.formats.network_file import load
from pipeline.predict.layers import layers_of
from pipeline.system.errors import InputError

SLOWEST = 2e7  # multiply-accumulates a CPU second: a twentieth of the slowest simulation that there is here
EACH_BYTE = 1000  # multiply-accumulates for a byte of weights, where the layers are not known: early ones have as many


def macs_of(model: Path, sample_shape: Sequence[int]) -> int:
    """Multiply-accumulates of one sample of `sample_shape`, estimated by the file's size where layers are unknown.

    Raises:
        InputError: the file is missing or damaged.
    """
    try:
        return sum(layer.macs for layer in layers_of(load(model, sample_shape)))
    except InputError:
        return EACH_BYTE * sum(path.stat().st_size for path in readers.of(model).contents(model).files)


def most_cpu_s(model: Path, sample_shape: Sequence[int], samples: int, least_s: float) -> float:
    """CPU seconds after which nothing sensible goes on in a run of `samples`; `least_s` is for all that it begins with.

    Raises:
        InputError: see `macs_of`.
    """
    return least_s + samples * macs_of(model, sample_shape) / SLOWEST
