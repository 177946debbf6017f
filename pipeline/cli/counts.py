"""What a data set holds and what is odd about it, and which layers stayed in FP32, as lines for the terminal."""

from collections import Counter
from typing import Any

import click

MOST_NAMES = 8


def print_counts(samples: Any, quarantined: Any) -> None:
    """Print how many samples of each class each split has, and how many files were left out."""
    for split, count in Counter(sample.split for sample in samples).items():
        classes = Counter(sample.label for sample in samples if sample.split == split)
        click.echo(f"{split:6} {count:6}  " + "  ".join(f"{name} {n}" for name, n in sorted(classes.items())))
    if quarantined:
        click.echo(
            f"{len(quarantined)} files are no usable images and were left out; quarantine.csv says why", err=True
        )


def print_notes(notes: Any) -> None:
    """Print what a person should know of the data, a line each."""
    for note in notes:
        click.echo(f"note: {note}", err=True)


def print_fp32_layers(layers: list[str]) -> None:
    """Print the layers that an FP16 candidate keeps in FP32, if there are any."""
    if layers:
        more = f" and {len(layers) - MOST_NAMES} more" if len(layers) > MOST_NAMES else ""
        click.echo(f"kept in FP32: {', '.join(layers[:MOST_NAMES])}{more}")
