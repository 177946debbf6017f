"""What the FP32 parent takes captures for, and which of them are most worth a person's look.

A proposal is no label: nothing is learned from before a person has decided. What is most worth a look comes first:
where the device answered something else than the parent, where the pictures of the data most like it have another
class, and where the parent's two best answers are close.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import models
from pipeline.data import doubtful
from pipeline.data.dataset import Dataset
from pipeline.data.images import read_image
from pipeline.ingest.pulled import Pulled
from pipeline.project import layout
from pipeline.project.params import Params
from pipeline.system.errors import InputError, shown, unknown
from pipeline.train.loop import predict
from pipeline.train.parent import load_parent
from runners.edge.loop import regions

CLOSE = 0.5  # a margin below it is named as a reason


@dataclass(frozen=True)
class Proposal:
    """A capture with the class that the parent proposes, its probability and what the device said; `why` look at it."""

    capture: Pulled
    label: str
    share: float
    device_label: str
    device_share: float
    why: tuple[str, ...]
    worth: float


@dataclass(frozen=True)
class Proposed:
    """Proposals, those most worth a look first, of the `model`'s `classes`; `notes` say what was not looked at."""

    model: str
    classes: list[str]
    proposals: list[Proposal]
    notes: list[str]


def propose(
    captures: Sequence[Pulled], dataset: Dataset, params: Params, model: str | None = None, *, neighbours: bool = True
) -> Proposed:
    """Propose a class for each capture by the parent of `model`, by default the first of params.yaml.

    Without `neighbours` nobody looks at what the data has that is like it, which takes longest.

    Raises:
        InputError: there is no such model, it was not trained, or the data set is damaged.
    """
    name = model or params.models[0]
    if name not in params.models:
        raise unknown("model", name, params.models)
    spec = models.spec(name)
    network = load_parent(layout.parent_weights(name), name, len(dataset.classes), params.width)
    if not captures:
        return Proposed(name, dataset.classes, [], [])
    images = [one.image() for one in captures]
    inputs = np.stack([regions.fit(regions.squared(image), spec.input_size) for image in images])
    answers = _shares(predict(network, inputs, spec))
    labels = [dataset.classes[best] for best in answers.argmax(1)]
    doubts, notes = _doubts(captures, labels, dataset) if neighbours else ({}, [])
    found = [
        _proposal(one, dataset.classes, answer, doubts.get(index))
        for index, (one, answer) in enumerate(zip(captures, answers, strict=True))
    ]
    return Proposed(name, dataset.classes, sorted(found, key=lambda one: (-one.worth, one.capture.name)), notes)


def _shares(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Probabilities (N, K)."""
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    shares: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return shares


def _proposal(one: Pulled, classes: list[str], answer: NDArray[np.float64], doubt: doubtful.Doubt | None) -> Proposal:
    best, second = np.argsort(-answer)[:2]
    margin = float(answer[best] - answer[second])
    told = max(one.facts.answer.items(), key=lambda item: item[1], default=("", 0.0))
    label, why, worth = classes[best], [], 1 - margin
    if told[0] and told[0] != label:
        why.append(f"the device said {told[0]}")
        worth += 1
    if doubt is not None:
        why.append(f"what is most like it in the data is {doubt.rather}")
        worth += doubt.share
    if margin < CLOSE:
        why.append(f"{label} or {classes[second]}: {100 * answer[best]:.0f} to {100 * answer[second]:.0f} %")
    return Proposal(one, label, float(answer[best]), told[0], float(told[1]), tuple(map(shown, why)), worth)


def _doubts(
    captures: Sequence[Pulled], labels: list[str], dataset: Dataset
) -> tuple[dict[int, doubtful.Doubt], list[str]]:
    """Where the proposed class is contradicted by the training and validation samples most like a capture."""
    known = dataset.split("train") + dataset.split("val")
    paths = [dataset.folder / sample.file for sample in known] + [one.picture for one in captures]
    try:
        images = (regions.fit(regions.squared(read_image(path)), doubtful.SIZE) for path in paths)
        features = doubtful.describe(images, len(paths))
    except InputError as error:
        return {}, [f"captures were not compared with what is like them: {error}"]
    found = doubtful.find(features, [sample.label for sample in known] + labels, voters=len(known))
    return {one.number - len(known): one for one in found if one.number >= len(known)}, []
