"""How much is lost by the file itself, on any CPU, and how much by the target's arithmetic."""

import numpy as np
from numpy.typing import NDArray

from pipeline.check.difference import percent
from pipeline.check.record import Losses
from pipeline.check.task import Task
from pipeline.records.results import Accuracies
from pipeline.retest.score import agreement_percent

Floats = NDArray[np.float32]


def losses(
    task: Task, accuracy: Accuracies, fp32: Floats | None, cloud: Floats | None, target: Floats | None
) -> Losses:
    """What the FP32 original's outputs (N, ...) lose to the cloud, and those of the cloud to the target.

    In points of accuracy where there are labels, else in per cent of answers or of the difference of values.
    """
    if accuracy.host is not None:
        points = [
            None if found is None else found.percent for found in (accuracy.fp32, accuracy.cloud, accuracy.target)
        ]
        return Losses(unit="points", any_cpu=_less(points[0], points[1]), target=_less(points[1], points[2]))
    if task.name == "values":
        return Losses(unit="percent", any_cpu=percent(cloud, fp32), target=percent(target, cloud))
    return Losses(unit="percent", any_cpu=_changed(task, cloud, fp32), target=_changed(task, target, cloud))


def _less(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else before - after


def _changed(task: Task, outputs: Floats | None, others: Floats | None) -> float | None:
    if outputs is None or others is None:
        return None
    return 100 - agreement_percent(outputs, others, task.decide)
