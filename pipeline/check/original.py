"""What the FP32 original answers, which a compressed network is held against."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pipeline.check.task import Name, find, labels_of
from pipeline.data.own import LabelledSamples
from pipeline.formats import readers
from pipeline.formats.contents import Tensor
from pipeline.formats.model_file import ModelFile
from pipeline.predict.patience import most_cpu_s
from pipeline.processes import host
from pipeline.processes.child import Place
from pipeline.processes.samples import Inputs, Samples
from pipeline.processes.side_by_side import run
from pipeline.retest.emulate import START_S
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
    place = Place("FP32 reference", readers.reader(original.format).BACKEND, host.CORES)
    place = replace(place, settings={"output": list(outputs)})
    return _run(original, samples.batches(shape[0]), len(samples), shape, place)


def try_out(model: ModelFile, samples: LabelledSamples, outputs: Sequence[Tensor], task: Name | None) -> None:
    """Answer the first of `samples`, so that what cannot be judged is told before anything long is done.

    Raises:
        Failed: this machine's runtime does not take the model.
        InputError: labels or `task` do not fit its `outputs`.
    """
    batch = next(iter(samples.batches(model.batch or 1)))
    names = [output.name for output in outputs] if len(model.outputs) > 1 else []
    shape = (model.batch or 1, *model.sample_shape)
    place = Place("first samples", readers.reader(model.format).BACKEND, host.CORES, settings={"output": names})
    shape_of_one = _run(model, [batch], len(batch), shape, place).shape[1:]
    find(outputs, shape_of_one, labels_of(samples, task), task, classifier=model.wanted is not None)


def _run(
    model: ModelFile, batches: Iterable[Inputs], total: int, shape: Sequence[int], place: Place
) -> NDArray[np.float32]:
    first_cpu_s = most_cpu_s(model.path, model.sample_shape, shape[0], START_S)
    [found] = run(model.path, batches, total, shape, [place], first_cpu_s=first_cpu_s)
    return found.values


def takes_alike(original: ModelFile, model: ModelFile) -> bool:
    """Whether both take the very same array: in the same order of dimensions, scaled or as pixels."""
    return (original.sample_shape, original.takes_pixels) == (model.sample_shape, model.takes_pixels)
