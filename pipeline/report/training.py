"""How the FP32 parents were trained: the curves that the train stage leaves beside its weights."""

import csv
import math
from dataclasses import dataclass

from pipeline.project import layout


@dataclass(frozen=True)
class Curves:
    """One value per epoch."""

    model: str
    epochs: list[int]
    train_loss: list[float]
    val_loss: list[float]
    val_accuracy_percent: list[float]


def read_curves(model: str) -> Curves | None:
    """The curves of a model's parent; None when there are none to be read: the report does not hang on them."""
    try:
        with (layout.parent(model) / "curves.csv").open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        columns = [[float(row[name]) for row in rows] for name in ("train_loss", "val_loss", "val_accuracy_percent")]
        epochs = [int(row["epoch"]) for row in rows]
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        return None
    if not rows or not all(math.isfinite(value) for column in columns for value in column):
        return None
    return Curves(model, epochs, *columns)
