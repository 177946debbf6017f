"""What each epoch of a training showed, as a table for `dvc plots` and the report."""

import csv
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Epoch:
    """What one epoch showed; a row of curves.csv."""

    epoch: int
    train_loss: float
    val_loss: float
    val_accuracy_percent: float


def write_curves(path: Path, curves: list[Epoch]) -> None:
    """Curves as CSV, a row an epoch, for `dvc plots`."""
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(Epoch.__dataclass_fields__), lineterminator="\n")
        writer.writeheader()
        writer.writerows(vars(epoch) for epoch in curves)
