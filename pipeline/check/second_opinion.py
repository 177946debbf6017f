"""What a file answers in the runtime of its format, ONNX Runtime or OpenVINO, on a few samples: a second opinion."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np
from numpy.typing import NDArray

from pipeline.arithmetic import kinds
from pipeline.check.answered import answered
from pipeline.check.difference import percent
from pipeline.check.readability import title_of
from pipeline.formats import readers
from pipeline.formats.model_file import ModelFile
from pipeline.processes import host
from pipeline.processes.samples import Samples
from pipeline.records.targets import Precision, Target
from pipeline.system.errors import InputError

Floats = NDArray[np.float32]

SAMPLES = 8
# Per cent that answers may be apart, as root mean squares: float kernels add in another order, and where numbers are
# rounded to 16 or 8 bits, either runtime may leave out a rounding. What is read otherwise is as far apart as any two
# networks.
APART = {"fp32": 1.0, "fp16": 25.0, "int8": 25.0}


@dataclass(frozen=True)
class Opinion:
    """Why there is no believing what a check measures, in words, or None.

    `misread`: the target's runtime, which is run here, makes something else of an ONNX file than ONNX Runtime does,
    which shares no code with it. `mixed`: what a sample is answered depends on what else is in its batch.
    """

    misread: str | None = None
    mixed: str | None = None


def opinion(
    model: ModelFile,
    target: Target,
    precision: Precision,
    samples: Samples,
    shape: Sequence[int],
    outputs: Sequence[str],
    here: Floats,
) -> Opinion:
    """Hold the first samples' answers against those of this machine, `here` (N, ...), and of the first one by itself.

    Where the runtime of its format does not run the file, there is nothing to say. Nor are 8-bit answers held against
    another runtime's on a machine whose sums saturate: each saturates in its own order.
    """
    found = _answers(model, samples, shape, outputs, alone=shape[0] > 1)
    if found is None:
        return Opinion()
    most = APART[model.precision]
    far = None
    if shape[0] > 1:
        far, found = percent(found[-1:], found[:1]), found[: -shape[0]]
    mixed = far is not None and far > most
    own = kinds.of(target).plan(target, precision).host.backend == readers.reader(model.format).BACKEND
    unlike = model.precision == "int8" and host.saturates()
    off = None if own or unlike else percent(here[: len(found)], found)
    return Opinion(
        misread=None
        if off is None or off <= most or mixed
        else f"{title_of(target)} makes something else of this file than ONNX Runtime does ({off:.0f} % apart on "
        f"{len(found)} samples): export it in another way, and hold it against its original",
        mixed=f"what a sample is answered depends on chance or on what else is in its batch of {shape[0]} "
        f"({far:.0f} % apart): look for an operator over the first axis, or one that is random"
        if mixed
        else None,
    )


def runs(model: ModelFile, samples: Samples, shape: Sequence[int], outputs: Sequence[str]) -> bool:
    """Whether ONNX Runtime takes a file that another runtime refuses: it is the runtime then that does not read it."""
    return model.format == "onnx" and _answers(model, samples, shape, outputs) is not None


def _answers(
    model: ModelFile, samples: Samples, shape: Sequence[int], outputs: Sequence[str], *, alone: bool = False
) -> Floats | None:
    """Those to the first samples, and to a batch of nothing but the first one if it is to be `alone`."""
    count = -(-min(SAMPLES, len(samples)) // shape[0]) * shape[0]
    first = list(islice(samples.batches(shape[0]), count // shape[0]))
    more: Iterator[Floats] = iter([np.repeat(first[0][:1], shape[0], 0)] if alone else [])
    total = sum(map(len, first)) + shape[0] * alone
    try:
        return answered(model, chain(first, more), total, shape, outputs, "ONNX Runtime")
    except InputError:
        return None
