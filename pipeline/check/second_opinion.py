"""Whether the runtime that a check runs makes of an ONNX file what ONNX Runtime does, which shares no code with it."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.arithmetic import kinds
from pipeline.check.difference import percent
from pipeline.check.readability import title_of
from pipeline.formats import readers
from pipeline.formats.model_file import ModelFile
from pipeline.processes import host
from pipeline.processes.child import Place, run
from pipeline.processes.samples import Samples
from pipeline.records.targets import Precision, Target
from pipeline.system.errors import InputError

SAMPLES = 8
# Per cent that they may be apart, as root mean squares: float kernels add in another order, and where numbers are
# rounded to 16 or 8 bits, either may leave out a rounding. What is read otherwise is as far apart as any two networks.
APART = {"fp32": 1.0, "fp16": 25.0, "int8": 25.0}


def runs(model: ModelFile, samples: Samples, shape: Sequence[int], outputs: Sequence[str]) -> bool:
    """Whether ONNX Runtime takes a file that another runtime refuses: it is the runtime then that does not read it."""
    return model.format == "onnx" and _answers(model, samples, shape, outputs) is not None


def otherwise(
    model: ModelFile,
    target: Target,
    precision: Precision,
    samples: Samples,
    shape: Sequence[int],
    outputs: Sequence[str],
    here: NDArray[np.float32],
) -> str | None:
    """What to say where the runtime on this machine, which answered `here` (N, ...), reads an ONNX file otherwise.

    None where both agree on the first samples, and where ONNX Runtime does not run the file or runs it anyway.
    """
    backend = readers.reader(model.format).BACKEND
    if kinds.of(target).plan(target, precision).host.backend == backend:
        return None
    found = _answers(model, samples, shape, outputs)
    far = None if found is None else percent(here[: len(found)], found)
    if found is None or far is None or far <= APART[model.precision]:
        return None
    return (
        f"{title_of(target)} makes something else of this file than ONNX Runtime does ({far:.0f} % apart on "
        f"{len(found)} samples): export it in another way, and give the original as --reference"
    )


def _answers(
    model: ModelFile, samples: Samples, shape: Sequence[int], outputs: Sequence[str]
) -> NDArray[np.float32] | None:
    """What the format's own runtime on this machine answers to the first samples, None where it does not run it."""
    place = Place("ONNX Runtime", readers.reader(model.format).BACKEND, host.CORES)
    place = replace(place, settings={"output": list(outputs)})
    batches: list[Any] = list(islice(samples.batches(shape[0]), -(-min(SAMPLES, len(samples)) // shape[0])))
    try:
        [found] = run(model.path, iter(batches), sum(map(len, batches)), shape, [place])
    except InputError:
        return None
    return found.values
