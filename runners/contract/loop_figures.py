"""What the camera program says of itself: frames a second, what each part of a frame costs, and what was dropped.

`edge bench --json` prints one, `edge run --summary FILE` writes one. What was not measured is null, never zero.
"""

import json
from typing import Any, Dict, List, NamedTuple, Optional

from runners.contract import records

PARTS = ("decode", "propose", "track", "crop", "classify", "rest")


class Part(NamedTuple):
    """What a part of a frame's work takes, in milliseconds: CPU time a frame, mean over all frames and all cores; and
    the wall time of each frame that had any, its median and the 99th percentile (of the newest few thousand).

    `decode` is the camera's reader, a process of its own beside the program, and what makes pictures of 1280x720 of its
    frames; its wall time is of the latter alone. `classify` is one batch. `rest` is all other CPU time of the program.
    """

    cpu_ms: Optional[float]
    wall_p50_ms: Optional[float]
    wall_p99_ms: Optional[float]


class LoopFigures(NamedTuple):
    """Of one run of the program, all cameras together.

    `frames` were looked at and `regions` of them classified within `seconds` of wall time; `fps` is frames a second.
    `regions_a_frame` is what `bench` was asked for, null where the schedule chose. The classifier alone, on the same
    cores and on batches of so many regions, is in `classifier_p50_ms` and `classifier_p99_ms`, asked one by one, and in
    `regions_per_second`, with always a batch that waits. `rounds_fps` and `rounds_classifier_ms` are of each of the
    bench's rounds, in which the loop and the classifier alone took turns. `start_seconds` is from the start of the
    program until it could classify. `peak_memory_mib` is the program's, `readers_memory_mib` that of the cameras'
    readers together, each of which is a process. `device` is what the backend says of itself. `cameras` has the counts
    of each: received, delivered, dropped, damaged, lost.
    """

    frames: int
    seconds: float
    fps: Optional[float]
    regions: int
    regions_a_frame: Optional[int]
    parts: Dict[str, Part]
    classifier_p50_ms: Optional[float]
    classifier_p99_ms: Optional[float]
    regions_per_second: Optional[float]
    rounds_fps: List[float]
    rounds_classifier_ms: List[float]
    start_seconds: float
    peak_memory_mib: Optional[float]
    readers_memory_mib: Optional[float]
    threads: int
    device: Dict[str, Any]
    cameras: Dict[str, Dict[str, int]]


def as_json(figures: LoopFigures) -> Dict[str, Any]:
    """The content of the JSON."""
    return dict(figures._asdict(), parts={name: dict(part._asdict()) for name, part in figures.parts.items()})


def from_json(text: str) -> LoopFigures:
    """What the JSON says.

    Raises:
        ValueError: it is damaged, or says something else; the message is one line.
    """
    try:
        content = json.loads(text)
        parts = {name: Part(**part) for name, part in content.pop("parts").items()}
        figures = LoopFigures(parts=parts, **content)
        if set(parts) != set(PARTS):
            raise ValueError("its parts are {}".format(", ".join(sorted(parts))))
        numbers = [number for part in parts.values() for number in part]
        numbers += [value for name, value in content.items() if name not in _OTHER]
        numbers += figures.rounds_fps + figures.rounds_classifier_ms
        if not all(number is None or _is_amount(number) for number in numbers):
            raise ValueError("a number in it is none")
        if not isinstance(figures.device, dict) or not isinstance(figures.cameras, dict):
            raise ValueError("a value in it is of another kind")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("no figures of the camera program: {}".format(error)) from error
    return figures


_OTHER = ("rounds_fps", "rounds_classifier_ms", "device", "cameras")


def _is_amount(number: Any) -> bool:
    return records.is_finite(number) and number >= 0
