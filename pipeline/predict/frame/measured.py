"""What was measured on one machine, all of it in turns in one run: parts of a frame, and networks as yardsticks.

`python -m pipeline.predict.frame` writes `measured.csv` anew, on any quiet machine: only ratios of it are used.
"""

import csv
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from pipeline.records.targets import Precision

FILE = Path(__file__).parent / "measured.csv"
REGIONS = 4  # that `crop` was measured with
CHANNELS = 3


class Row(NamedTuple):
    """CPU milliseconds of one core: of a part of a frame, or of one image of a network."""

    name: str
    precision: str  # of a network; empty for a part
    pixels: int  # of one region, for what depends on it; else 0
    core_ms: float
    machine: str


def write(rows: Iterable[Row]) -> None:
    """Write the table."""
    with FILE.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Row._fields)
        writer.writerows(row._replace(core_ms=round(row.core_ms, 3)) for row in rows)


@cache
def rows() -> tuple[Row, ...]:
    """The table."""
    with FILE.open(newline="") as file:
        return tuple(
            Row(row["name"], row["precision"], int(row["pixels"]), float(row["core_ms"]), row["machine"])
            for row in csv.DictReader(file)
        )


def network_ms() -> dict[tuple[str, Precision], float]:
    """Milliseconds of each network that was measured, by name and precision."""
    return {(row.name, row.precision): row.core_ms for row in rows() if row.precision}  # type: ignore[misc]


def parts(regions: int, values: int) -> dict[str, float]:
    """Milliseconds of each part of a frame, with so many regions of so many values (channels, height, width).

    Cutting regions follows a line through what was measured at two sizes; the other parts do not depend on them.
    """
    found = {row.name: row.core_ms for row in rows() if not row.precision and not row.pixels}
    sizes = sorted((row.pixels, row.core_ms) for row in rows() if row.name == "crop")
    each_ms, pixel_ms = _line(sizes)
    found["crop"] = regions / REGIONS * (each_ms + pixel_ms * values / CHANNELS)
    return found


def _line(points: list[tuple[int, float]]) -> tuple[float, float]:
    (few, few_ms), (many, many_ms) = points
    slope = (many_ms - few_ms) / (many - few)
    return few_ms - slope * few, slope
