"""A few test regions with what each candidate answered on the target: numbers are easier to trust with pictures."""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from pipeline.data.dataset import Dataset, Sample
from pipeline.data.images import read_image
from pipeline.records.results import Result
from pipeline.report.collect import OnTarget

Namer = Callable[[Result], str]

COUNT = 12
SIDE = 144
FEW = 3


@dataclass(frozen=True)
class AnswerOf:
    """One answer with who gave it."""

    label: str
    by: str
    right: bool


@dataclass(frozen=True)
class Example:
    """A region as a data URL, its true class, and the answers."""

    image: str
    label: str
    answers: list[AnswerOf]


def examples(target: OnTarget, dataset: Dataset, name: Namer) -> list[Example]:
    """Up to COUNT regions: half where the candidates differ, then where all are wrong, then where all are right."""
    samples = dataset.split("test")
    results = [judgement.result for judgement in target.tested if _fits(judgement.result, dataset, samples)]
    if not results:
        return []
    return [_example(samples[index], index, results, dataset, name) for index in _choose(samples, results)]


def _fits(result: Result, dataset: Dataset, samples: list[Sample]) -> bool:
    """Whether the answers belong to this data set: one each, of its classes."""
    known = result.classes == dataset.classes and all(
        0 <= answer < len(dataset.classes) for answer in result.predictions
    )
    return known and len(result.predictions) == len(samples)


def _choose(samples: list[Sample], results: list[Result]) -> list[int]:
    differ: list[int] = []
    wrong: list[int] = []
    right: list[int] = []
    for index, sample in enumerate(samples):
        answers = {result.classes[result.predictions[index]] for result in results}
        (differ if len(answers) > 1 else right if answers == {sample.label} else wrong).append(index)
    chosen = _spread(differ, COUNT // 2)
    chosen += _spread(wrong, min(COUNT // 3, COUNT - len(chosen)))
    chosen += _spread(right, COUNT - len(chosen))
    rest = [index for index in differ + wrong if index not in chosen]
    return chosen + _spread(rest, COUNT - len(chosen))


def _spread(indices: list[int], count: int) -> list[int]:
    """Evenly over the split: neighbours in it are often the same object a moment later."""
    count = min(count, len(indices))
    return [indices[(2 * place + 1) * len(indices) // (2 * count)] for place in range(count)]


def _example(sample: Sample, index: int, results: list[Result], dataset: Dataset, name: Namer) -> Example:
    answers: dict[str, list[str]] = {}
    for result in results:
        answers.setdefault(result.classes[result.predictions[index]], []).append(name(result))
    largest = max(answers.values(), key=len)
    rest = "all" if len(answers) == 1 else "all others" if len(largest) >= FEW else ", ".join(largest)
    return Example(
        image=_data_url(dataset.folder / sample.file),
        label=sample.label,
        answers=[
            AnswerOf(label, rest if names is largest else ", ".join(names), label == sample.label)
            for label, names in answers.items()
        ],
    )


def _data_url(path: Path) -> str:
    """The region as it is, at the size of a thumbnail."""
    image = read_image(path)
    shrink = SIDE / max(image.shape[:2])
    if shrink < 1:
        image = np.asarray(cv2.resize(image, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA), np.uint8)
    _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 88])
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode()
