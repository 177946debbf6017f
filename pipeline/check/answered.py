"""What a model file answers on this machine, in the runtime that its format has here."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.formats import readers
from pipeline.formats.model_file import ModelFile
from pipeline.predict.patience import most_cpu_s
from pipeline.processes import host
from pipeline.processes.child import Place
from pipeline.processes.samples import Inputs
from pipeline.processes.side_by_side import run
from pipeline.retest.emulate import START_S


def answered(
    model: ModelFile, batches: Iterable[Inputs], total: int, shape: Sequence[int], outputs: Sequence[str], title: str
) -> NDArray[np.float32]:
    """The answers (N, ...) to `total` samples in batches of `shape`; `title` stands at the progress bar.

    Raises:
        Failed: the runtime does not take the model, or calculates many times as long as it should.
    """
    place = Place(title, readers.reader(model.format).BACKEND, host.CORES, settings={"output": list(outputs)})
    first_cpu_s = most_cpu_s(model.path, shape[1:], shape[0], START_S)
    [found] = run(model.path, batches, total, shape, [place], first_cpu_s=first_cpu_s)
    return found.values


def asked(model: ModelFile, names: Sequence[str]) -> Sequence[str]:
    """What a runtime has to be told: nothing where there is one output, which it may call by another name."""
    return names if len(model.outputs) > 1 else ()
