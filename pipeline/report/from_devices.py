"""What devices captured of the data that was trained on: how much, by whom and why, and what it did to the classes."""

import json
from dataclasses import dataclass
from typing import Any

from pipeline.data.captured import shift_points
from pipeline.project import layout

MOST_NAMES = 8


@dataclass(frozen=True)
class Share:
    """A class's share of the samples, in per cent: of what was there without captures, of them, and of all."""

    label: str
    before: float
    captured: float
    now: float


@dataclass(frozen=True)
class FromDevices:
    """`devices`, `reasons` and `splits` are in words; `shift` is how far the captures' classes are off, in points."""

    count: int
    devices: str
    reasons: str
    splits: str
    shift: float
    shares: list[Share]

    @property
    def sentence(self) -> str:
        """All but the classes, in one line."""
        are = "region was captured" if self.count == 1 else "regions were captured"
        return (
            f"{self.count:,} {are} by devices ({self.devices}; why: {self.reasons}; splits: {self.splits}). Their "
            f"classes are {self.shift:.1f} points from those of the other samples."
        )


def read() -> FromDevices | None:
    """As the data set's summary says; None where nothing was captured. The report does not hang on it."""
    try:
        content = json.loads((layout.DATASET / "summary.json").read_text(encoding="utf-8")).get("captured")
        return _of(content) if content else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError):
        return None


def _of(content: dict[str, Any]) -> FromDevices:
    before, captured = content["classes_before"], content["classes_captured"]
    sums = sum(before.values()), sum(captured.values())
    shares = [
        Share(
            name,
            100 * before.get(name, 0) / sums[0],
            100 * captured.get(name, 0) / sums[1],
            100 * (before.get(name, 0) + captured.get(name, 0)) / sum(sums),
        )
        for name in sorted(before.keys() | captured.keys())
    ]
    devices, reasons, splits = (_words(content[name]) for name in ("devices", "reasons", "splits"))
    return FromDevices(sums[1], devices, reasons, splits, shift_points(before, captured), shares)


def _words(counts: dict[str, int]) -> str:
    most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    rest = most[MOST_NAMES:]
    more = [f"{len(rest):,} others {sum(count for _, count in rest):,}"] if rest else []
    return ", ".join([f"{name} {count:,}" for name, count in most[:MOST_NAMES]] + more)
