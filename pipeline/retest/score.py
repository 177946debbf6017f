"""Accuracies out of an emulation's outputs."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipeline.records.results import Accuracies, Accuracy
from pipeline.retest.emulate import Emulation
from pipeline.system.errors import InputError

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Scores:
    """Accuracies, and the outputs (N, classes) that the target's accuracy is of: those of the worse bound."""

    accuracy: Accuracies
    target_outputs: Floats | None
    bounds: dict[str, Accuracy] = field(default_factory=dict)


def score(emulation: Emulation, labels: NDArray[np.int64], fp32: Floats | None) -> Scores:
    """Hold every run of an emulation, and the FP32 parent's outputs where there are any, against the labels.

    Raises:
        InputError: not even this machine gets numbers out of the model.
    """
    if not np.isfinite(emulation.host).any():
        raise InputError("the model's outputs are no numbers (NaN or infinity): its weights are damaged")
    bounds = {name: accuracy(outputs, labels) for name, outputs in emulation.bounds.items()}
    target = emulation.target
    if bounds:
        target = emulation.bounds[min(bounds, key=lambda name: bounds[name].correct)]
    return Scores(
        accuracy=Accuracies(
            fp32=None if fp32 is None else accuracy(fp32, labels),
            cloud=None if emulation.cloud is None else accuracy(emulation.cloud, labels),
            host=accuracy(emulation.host, labels),
            target=None if target is None else accuracy(target, labels),
        ),
        target_outputs=target,
        bounds=bounds,
    )


def accuracy(outputs: Floats, labels: NDArray[np.int64]) -> Accuracy:
    """Top-1 accuracy of outputs (N, classes)."""
    return Accuracy(correct=int((classes(outputs) == labels).sum()), n=len(labels))


def agreement_percent(outputs: Floats, others: Floats) -> float:
    """How often two runs give the same class, 0 to 100."""
    first, second = classes(outputs), classes(others)
    return 100.0 * float(((first == second) & (first >= 0)).mean())


def classes(outputs: Floats) -> NDArray[np.int64]:
    """The class (N,) that each sample is given, -1 where an output is NaN or infinite: a wrong answer, not a crash."""
    flat = outputs.reshape(len(outputs), -1)
    return np.where(np.isfinite(flat).all(axis=1), np.nan_to_num(flat).argmax(1), -1)
