"""What the FP32 original answers, which a compressed network is held against."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.check.answered import answered
from pipeline.formats.model_file import ModelFile
from pipeline.processes.samples import Samples
from pipeline.system.errors import InputError


def answers_of(
    original: ModelFile, model: ModelFile, outputs: Sequence[str], samples: Samples, batch: int
) -> NDArray[np.float32]:
    """The answers (N, ...) of `original` to `samples`, which are those of `model` as the original takes them.

    `outputs` are its own that are asked for; `batch` counts where it leaves its own open.

    Raises:
        InputError: it is not FP32, or takes other images than the model.
    """
    if original.precision != "fp32":
        raise InputError(
            f"{original.path}: holds {original.precision} weights; the reference must be the FP32 original"
        )
    sizes = [(file.channels, file.height, file.width) for file in (original, model)]
    if sizes[0] != sizes[1]:
        taken = ["x".join(map(str, size)) for size in sizes]
        raise InputError(f"{original.path}: takes images of {taken[0]}, {model.path} takes {taken[1]}")
    shape = (original.batch or batch, *original.sample_shape)
    return answered(original, samples.batches(shape[0]), len(samples), shape, outputs, "FP32 reference")


def takes_alike(original: ModelFile, model: ModelFile) -> bool:
    """Whether both take the very same array: in the same order of dimensions, scaled or as pixels."""
    return (original.sample_shape, original.takes_pixels) == (model.sample_shape, model.takes_pixels)
