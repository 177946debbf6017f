"""Accuracies out of an emulation's outputs."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipeline.records.paired import Paired, paired
from pipeline.records.results import Accuracies, Accuracy
from pipeline.retest.emulate import Emulation
from pipeline.system.errors import InputError

Floats = NDArray[np.float32]
Decide = Callable[[Floats], NDArray[np.int64]]  # from outputs (N, ...) to an answer for each label, -1 where it is none

# Of three classes or more with one highest score the first would be right by luck. Two may share one for an honest
# reason: 8-bit outputs have steps.
SHARED = 3


@dataclass(frozen=True)
class Scores:
    """Accuracies, and the outputs (N, ...) that the target's accuracy is of: those of the worse bound.

    `paired` counts the answers that changed from the FP32 parent, or without one from the cloud, to the target.
    """

    accuracy: Accuracies
    target_outputs: Floats | None
    paired: Paired | None = None
    bounds: dict[str, Accuracy] = field(default_factory=dict)


def score(
    emulation: Emulation,
    labels: NDArray[np.int64],
    fp32: Floats | None,
    decide: Decide | None = None,
    groups: NDArray[np.int64] | None = None,
) -> Scores:
    """Hold every run of an emulation, and the FP32 parent's outputs where there are any, against the labels.

    `decide` makes answers of outputs, in the shape of the labels; by default the classes with the highest scores.
    `groups` (N,) numbers what samples hang together by, which the certainty of the drop allows for.

    Raises:
        InputError: not even this machine gets numbers out of the model.
    """
    if not np.isfinite(emulation.host).any():
        raise InputError("the model's outputs are no numbers (NaN or infinity): its weights are damaged")
    bounds = {name: accuracy(outputs, labels, decide) for name, outputs in emulation.bounds.items()}
    target = emulation.target
    if bounds:
        target = emulation.bounds[min(bounds, key=lambda name: bounds[name].correct)]
    decide = decide or classes
    before = emulation.cloud if fp32 is None else fp32
    changed = None
    if before is not None and target is not None:
        changed = paired(decide(before) == labels, decide(target) == labels, groups)
    return Scores(
        accuracy=Accuracies(
            fp32=None if fp32 is None else accuracy(fp32, labels, decide),
            cloud=None if emulation.cloud is None else accuracy(emulation.cloud, labels, decide),
            host=accuracy(emulation.host, labels, decide),
            target=None if target is None else accuracy(target, labels, decide),
        ),
        target_outputs=target,
        paired=changed,
        bounds=bounds,
    )


def accuracy(outputs: Floats, labels: NDArray[np.int64], decide: Decide | None = None) -> Accuracy:
    """How many of the labels the outputs answer, by default top-1 of outputs (N, classes)."""
    return Accuracy(correct=int(((decide or classes)(outputs) == labels).sum()), n=labels.size)


def agreement_percent(outputs: Floats, others: Floats, decide: Decide | None = None) -> float:
    """How often two runs give the same class, 0 to 100."""
    first, second = (decide or classes)(outputs), (decide or classes)(others)
    return 100.0 * float(((first == second) & (first >= 0)).mean())


def classes(outputs: Floats) -> NDArray[np.int64]:
    """The class (N,) that each sample of outputs (N, classes) is given, -1 where there is none.

    That is where an output is NaN or infinite, and where all classes, or `SHARED` of them, have the highest score: a
    wrong answer, neither a crash nor a right one by luck.
    """
    flat = outputs.reshape(len(outputs), -1)
    sound = np.isfinite(flat).all(axis=1)
    return np.where(sound & ~undecided(flat), np.nan_to_num(flat).argmax(1), -1)


def undecided(scores: Floats) -> NDArray[np.bool_]:
    """Whether all classes of scores (N, classes), or `SHARED` of them, have the highest one, (N,)."""
    highest = (scores == scores.max(axis=1, keepdims=True)).sum(axis=1)
    shared: NDArray[np.bool_] = (highest > 1) & (highest >= min(SHARED, scores.shape[1]))
    return shared
