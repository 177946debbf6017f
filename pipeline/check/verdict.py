"""The limits of a check, and why an answer cannot be held against them."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.check import chance
from pipeline.check.difference import percent
from pipeline.check.task import Name
from pipeline.formats.contents import Tensor
from pipeline.formats.runtimes import Reading
from pipeline.records.gates import Check, Limits, Quantity, Value, judge, predicted_speed, proof
from pipeline.records.paired import Paired
from pipeline.records.predictions import Prediction
from pipeline.records.results import Accuracies, Grade
from pipeline.records.targets import Target

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]
NO_ORIGINAL = "there is nothing to hold its answers against: give the FP32 original as the reference"


def accuracy_drop(accuracy: Accuracies, labels: Labels, max_drop_points: float) -> tuple[float | None, str | None]:
    """Points lost on the target against the original, or None and why that says nothing."""
    before = accuracy.cloud if accuracy.fp32 is None else accuracy.fp32
    if before is None or accuracy.target is None:
        return None, None
    if reason := chance.no_better(before, labels):
        return None, reason
    lost = before.lost_points(accuracy.target)
    reason = chance.says_little(labels)
    return (None, reason) if reason and lost <= max_drop_points else (lost, None)


def changed_answers(kept: Paired | None, before: Labels | None, limit: float) -> tuple[float | None, str | None]:
    """Per cent of the answers `before` that are others on the target, or None and why that says nothing."""
    if before is None:
        return None, NO_ORIGINAL
    if kept is None:
        return None, None
    changed = kept.drop_points
    if changed <= limit and chance.constant(before):
        return None, (
            "every sample gets the same answer, which would hardly change if the network were broken: give more "
            "samples, or other --preset, --mean and --std"
        )
    return changed, None


def difference_percent(outputs: Floats | None, original: Floats | None) -> tuple[float | None, str | None]:
    """How far outputs (N, ...) are from the original's, or None and why that says nothing."""
    if original is None:
        return None, NO_ORIGINAL
    if outputs is None:
        return None, None
    if len(original) > 1 and (original == original[:1]).all():
        return None, "the original answers the same for every sample: other --preset, --mean and --std may be needed"
    value = percent(outputs, original)
    return value, "the original's outputs are zero or no numbers (NaN or infinity)" if value is None else None


def undecided(outputs: Sequence[Tensor], shape: Sequence[int], task: Name | None, *, labelled: bool) -> str:
    """What would decide on outputs of this shape a sample that nothing shows to be classes."""
    names = " and ".join(repr(output.name) for output in outputs)
    found = f"nothing says what the {math.prod(shape)} values of {names} may lose: give --max-difference PERCENT"
    if task == "values":
        return found
    scores = (
        f", or --task {'map' if len(shape) == 3 and max(shape[1:]) > 1 else 'classes'} if they are scores of classes"
    )
    return found + scores + ("" if labelled else " (or --data with labels)")


def judged(
    grade: Grade,
    proven: Limits,
    answers: tuple[Quantity, Value, float] | None,
    difference: tuple[float | None, float] | None,
    prediction: Prediction | None,
    target: Target,
    reading: Reading,
    *,
    certain: bool = False,
) -> tuple[Check, ...]:
    """Every limit of a check: what its `answers` may lose (quantity, value, limit), the objective's speed, and no node
    that the target's runtime does not read. `proven` is the limit of the `grade`, where a proof is asked for.

    `difference` is the outputs' with its limit, where the user gives one; values have no other limit. If `certain`,
    what is lost and the speed must keep their limits with their whole intervals.
    """
    measured: dict[Quantity, Value] = {}
    limits: dict[Quantity, float] = {}
    if answers is not None:
        measured[answers[0]], limits[answers[0]] = answers[1], answers[2]
    if difference is not None:
        measured["difference_percent"], limits["difference_percent"] = Value(difference[0]), difference[1]
    measured["frames_per_s"] = predicted_speed(prediction)
    limits["frames_per_s"] = target.objective.frames_per_s
    found = {"proof": proof(grade), **measured, **unreadable(reading)}
    return judge(found, {**proven, **limits, "unreadable_nodes": 0}, certain=certain)


def unreadable(reading: Reading) -> dict[Quantity, Value]:
    """How many nodes the target's runtime does not read, None where nothing is known of it."""
    return {"unreadable_nodes": Value(None if reading.unreadable is None else len(reading.unreadable))}
