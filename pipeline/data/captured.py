"""Captured regions: what devices sent and a person labelled. Any data has them beside it, in `captures/` of its folder.

    captures/manifest.csv    the samples, with where and when each was captured; a row is never moved to another split
    captures/rejected.csv    what a person did not want, so that nobody is asked again
    captures/images/         DEVICE/ID.png, written by us from what the device sent

They are squares already, cut out of frames as `regions.cut` does, and belong to the default clip and to a user's own
images alike.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from pipeline.data.dataset import Sample, SplitName, split_name
from pipeline.data.tables import read_table, write_table
from pipeline.system import files
from pipeline.system.errors import BadData

FOLDER = "captures"
REGIONS = "regions/captured/"  # of the data set, below which its captured regions are
MANIFEST, REJECTED = "manifest.csv", "rejected.csv"


@dataclass(frozen=True)
class Captured:
    """One labelled capture. `file` is below the captures' folder, `sha256` that of the picture as the device sent it.

    `group` is what it was split with: all that shows the same track or minute. `track` is the device's own name of the
    track, `time_s` the device's clock in seconds since 1970, `version` the model that saw it.
    """

    file: str
    label: str
    split: SplitName
    group: str
    device: str
    track: str
    time_s: float
    reason: str
    version: str
    sha256: str

    @property
    def name(self) -> str:
        """DEVICE/ID, by which a capture is known everywhere."""
        return named(self.file)


@dataclass(frozen=True)
class Rejected:
    """A capture, DEVICE/ID, that is not to be learned from, and why."""

    name: str
    sha256: str
    reason: str


COLUMNS = tuple("class" if field.name == "label" else field.name for field in fields(Captured))
REJECTED_COLUMNS = ("capture", "sha256", "reason")


def picture(name: str) -> str:
    """Where the picture of the capture DEVICE/ID lies, below the captures' folder."""
    return f"images/{name}.png"


def named(file: str) -> str:
    """The same the other way round."""
    return file.removeprefix("images/").removesuffix(".png")


def read(data: Path) -> list[Captured]:
    """The labelled captures of the folder `data`, none where nothing was captured.

    Raises:
        InputError: the table is damaged.
    """
    table = data / FOLDER / MANIFEST
    if not table.exists():
        return []
    found = []
    for row in read_table(table, COLUMNS):
        values = {name: row[column] for name, column in zip(Captured.__dataclass_fields__, COLUMNS, strict=True)}
        try:
            time_s = float(row["time_s"])
        except ValueError:
            raise BadData(f"{table}: time_s {row['time_s']!r} is no number") from None
        found.append(Captured(**{**values, "split": split_name(row["split"], table), "time_s": time_s}))  # type: ignore[arg-type]
    return found


def read_rejected(data: Path) -> list[Rejected]:
    """What was rejected.

    Raises:
        InputError: the table is damaged.
    """
    table = data / FOLDER / REJECTED
    if not table.exists():
        return []
    return [Rejected(*(row[column] for column in REJECTED_COLUMNS)) for row in read_table(table, REJECTED_COLUMNS)]


def write(data: Path, captures: Iterable[Captured], rejected: Iterable[Rejected]) -> None:
    """Write both tables, sorted; the pictures are there already. The manifest comes last: until then nothing counts."""
    folder = data / FOLDER
    turned_down = sorted((one.name, one.sha256, one.reason) for one in rejected)
    with files.replacing(folder / REJECTED) as temporary:
        write_table(temporary, list(REJECTED_COLUMNS), turned_down)
    rows = [tuple(_text(value) for value in asdict(one).values()) for one in sorted(captures, key=lambda one: one.file)]
    with files.replacing(folder / MANIFEST) as temporary:
        write_table(temporary, list(COLUMNS), rows)


def statistics(before: Sequence[Sample], captures: Sequence[Captured]) -> dict[str, Any]:
    """What the captures change: how many there are by device, reason and split, and the classes before and of them."""
    return {
        "devices": _counts(one.device for one in captures),
        "reasons": _counts(one.reason for one in captures),
        "splits": _counts(one.split for one in captures),
        "classes_before": _counts(one.label for one in before),
        "classes_captured": _counts(one.label for one in captures),
    }


def shift_points(before: Mapping[str, int], captured: Mapping[str, int]) -> float:
    """How far the classes of what was captured are from those before, in points: half the sum of all differences."""
    sums = max(sum(before.values()), 1), max(sum(captured.values()), 1)
    names = before.keys() | captured.keys()
    return 50.0 * sum(abs(before.get(name, 0) / sums[0] - captured.get(name, 0) / sums[1]) for name in names)


def _counts(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))


def _text(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
