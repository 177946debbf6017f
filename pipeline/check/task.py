"""What a network answers: classes, tags, a map of classes, or values; and how outputs become answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from pipeline.data.own import LabelledSamples
from pipeline.formats.contents import Tensor
from pipeline.formats.model_file import single_width
from pipeline.retest.score import classes, undecided
from pipeline.system.errors import BadData, Refused

Name = Literal["classes", "tags", "map", "values"]
NAMES: tuple[Name, ...] = get_args(Name)
THRESHOLD = 0.5  # of a Sigmoid's score: from here on a tag is said to apply
VOID = 255  # the label of pixels that belong to no class, as in PASCAL VOC and in Cityscapes' training labels
CLASS_SCORES = ("ArgMax", "LogSoftmax", "Softmax")

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Task:
    """How outputs (N, ...) are judged.

    `classes`: the highest of `count` scores, or the highest in each of the `heads` (their widths) side by side. `tags`:
    each of `count` scores from 0 to 1 by itself. `map`: for each pixel the highest of `count` scores, which are along
    `axis` of (N, count, H, W) or (N, H, W, count). With `indices` the outputs are the classes themselves. `values`: any
    numbers, which only differ more or less.
    """

    name: Name
    count: int | None = None
    heads: tuple[int, ...] = ()
    indices: bool = False
    axis: int = 1

    def decide(self, outputs: Floats) -> Labels:
        """The answers: (N,), (N, heads), (N, tags) or (N, H, W); -1 where an output gives none."""
        if self.indices:
            answers = np.where(np.isfinite(outputs), np.nan_to_num(outputs), -1).astype(np.int64)
            return answers.reshape(len(answers), *(size for size in answers.shape[1:] if size != 1))
        if self.name == "tags":
            flat = outputs.reshape(len(outputs), -1)
            found: Labels = np.where(np.isfinite(flat), flat >= THRESHOLD, -1).astype(np.int64)
            return found
        if self.heads:
            return np.stack([classes(head) for head in self._parts(outputs)], axis=1)
        if self.name == "map":
            scores = np.moveaxis(outputs, self.axis, -1)
            return classes(scores.reshape(-1, scores.shape[-1])).reshape(scores.shape[:-1])
        return classes(outputs)

    def void(self, labels: Labels) -> NDArray[np.bool_] | None:
        """Which labels are of pixels without a class, None where none is: `VOID`, unless the network knows as many."""
        if self.name != "map" or (self.count or 0) > VOID:
            return None
        found: NDArray[np.bool_] = labels == VOID
        return found if found.any() else None

    def undecided(self, outputs: Floats) -> int:
        """How many answers there are none of because classes share the highest score."""
        if self.indices or self.name in ("tags", "values"):
            return 0
        if self.name == "map":
            scores = np.moveaxis(outputs, self.axis, -1)
            return int(undecided(scores.reshape(-1, scores.shape[-1])).sum())
        parts = self._parts(outputs) if self.heads else [outputs.reshape(len(outputs), -1)]
        return int(sum(undecided(part).sum() for part in parts))

    def _parts(self, outputs: Floats) -> list[Floats]:
        flat = outputs.reshape(len(outputs), -1)
        return np.split(flat, np.cumsum(self.heads)[:-1], axis=1)


VALUES = Task("values")


def labels_of(samples: LabelledSamples, task: Name | None) -> Labels | None:
    """The labels that answers are held against, if they are; (N, 1) is (N,)."""
    if samples.labels is None or task == "values":
        return None
    labels = samples.labels
    return labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels


def find(
    outputs: Sequence[Tensor], shape: Sequence[int], labels: Labels | None, wanted: Name | None, *, classifier: bool
) -> Task:
    """The task of `outputs` whose answer for a sample has this `shape` ((values,) where they are several).

    `wanted` is what the user says. Without it labels decide, and without those the operators that the outputs end in;
    `classifier` says that the network is known to be one. What nothing shows to be classes is values.

    Raises:
        InputError: what the user says, or the labels, do not fit what the network answers.
    """
    if wanted == "values":
        return VALUES
    known = all(output.ending in CLASS_SCORES for output in outputs) or classifier
    if wanted is None and labels is None and not known:
        return VALUES
    task = _several(outputs, shape) if len(outputs) > 1 else _one(outputs[0], tuple(shape), labels, wanted)
    if task is None:
        if wanted is None and labels is None:
            return VALUES
        raise Refused(_misfit(outputs, shape, labels, wanted))
    if labels is not None:
        _check(task, outputs, shape, labels)
    return task


def _several(outputs: Sequence[Tensor], shape: Sequence[int]) -> Task | None:
    widths = tuple(single_width(output.shape) or 0 for output in outputs)
    if min(widths) < 2 or sum(widths) != int(np.prod(shape)):
        return None
    return Task("classes", widths[0] if len(set(widths)) == 1 else None, heads=widths)


def _one(output: Tensor, shape: tuple[int, ...], labels: Labels | None, wanted: Name | None) -> Task | None:
    size, wide = int(np.prod(shape)), [side for side in shape if side != 1]
    each = 1 if labels is None else labels.ndim
    if output.ending == "ArgMax" and wanted != "tags":
        return Task("map" if len(wide) > 1 else "classes", indices=True)
    sigmoid = output.ending == "Sigmoid" and size == (1 if each == 1 else labels.shape[1] if labels is not None else 0)
    if wanted == "tags" or (wanted is None and sigmoid and each < 3):
        return Task("tags", size) if len(wide) < 2 else None
    if wanted == "map" or (wanted is None and (each == 3 or (labels is None and len(shape) == 3 and len(wide) > 1))):
        return _map(shape, labels)
    if len(shape) == 2 and len(wide) == 2 and (each == 2 or labels is None):
        return Task("classes", shape[1], heads=(shape[1],) * shape[0])
    return Task("classes", size) if len(wide) == 1 and each == 1 else None


def _map(shape: tuple[int, ...], labels: Labels | None) -> Task | None:
    if len(shape) != 3:
        return None
    # Where no labels have the sides of the picture, those are longer than a pixel has classes.
    last = shape[2] < shape[0] if labels is None else shape[1:] != labels.shape[1:]
    count = shape[2] if last else shape[0]
    return Task("map", count, axis=3 if last else 1) if count > 1 else None


def _misfit(outputs: Sequence[Tensor], shape: Sequence[int], labels: Labels | None, wanted: Name | None) -> str:
    names = ", ".join(repr(output.name) for output in outputs)
    found = f"{names} answers {tuple(shape)} a sample"
    if wanted is not None:
        return f"{found}, which is not judged with --task {wanted}; choose another of {', '.join(NAMES)}, or none"
    assert labels is not None
    if labels.ndim == 1:
        return f"{found}; labels need one value a class: judge another output, or its values with --task values"
    more = "give other labels or judge another output"
    if labels.shape[1:] == tuple(shape) and labels.max(initial=0) <= 1:
        more = "where a 1 marks the class, give its number (argmax), or say --task tags to judge each by itself"
    return f"{found}, which labels of {labels.shape[1:]} a sample do not fit; {more}"


def _check(task: Task, outputs: Sequence[Tensor], shape: Sequence[int], labels: Labels) -> None:
    answered = task.decide(np.zeros((1, *shape), np.float32)).shape[1:]
    expected = labels.shape[1:] or ((1,) if task.name == "tags" else ())
    if answered != expected:
        raise Refused(_misfit(outputs, shape, labels, None))
    void = task.void(labels)
    if void is not None:
        if void.all():
            raise BadData(f"every pixel is labelled {VOID}, which is no class; give other labels")
        labels = labels[~void]
    limits = np.array(task.heads or ([2] if task.name == "tags" else [task.count or np.iinfo(np.int64).max]))
    if (labels >= limits).any():
        label = int(labels[labels >= limits][0])
        raise BadData(f"a label is {label}, but {outputs[0].name!r} knows the classes 0 to {int(limits.min()) - 1}")
