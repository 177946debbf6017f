"""An event: one line of JSON that the device writes and whoever collects events reads.

Each says when it was by two clocks: the wall clock, which may jump, and the monotonic clock, which counts from the
device's start (`boot` tells one start from another). Where the two disagree about the time between two events, the wall
clock was set (`clock_jumps`).
"""

import calendar
import json
import time
from typing import Any, Dict, Iterable, Iterator, NamedTuple, Optional, Tuple

LONGEST_LINE = 1 << 16  # bytes, with its end
RESERVED = ("seq", "event", "time", "monotonic_s", "boot")
_SECOND = "%Y-%m-%dT%H:%M:%S"


class Event(NamedTuple):
    """`seq` counts from 1; `time_s` is seconds since 1970; `facts` are JSON's values under any other name.

    A gap in `seq` is events that were never written since the disk was full, or that were deleted to make room.
    """

    seq: int
    event: str
    time_s: float
    monotonic_s: float
    boot: str
    facts: Dict[str, Any]


def to_line(event: Event) -> bytes:
    """The event as one line. NumPy's numbers are written as numbers.

    Raises:
        ValueError: a fact is of no kind that JSON knows, is named like a field of every event, or is too long.
    """
    taken = [name for name in event.facts if name in RESERVED]
    if taken:
        raise ValueError("event {}: a fact cannot be called {}".format(event.event, taken[0]))
    micros = round(event.time_s * 1e6)
    stamp = "{}.{:06d}Z".format(time.strftime(_SECOND, time.gmtime(micros // 1000000)), micros % 1000000)
    content = {"seq": event.seq, "event": event.event, "time": stamp}
    content.update(monotonic_s=round(event.monotonic_s, 6), boot=event.boot, **event.facts)
    try:
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)
        line = text.encode("utf-8") + b"\n"
    except (TypeError, ValueError) as error:
        raise ValueError("event {}: {}".format(event.event, error)) from error
    if len(line) > LONGEST_LINE:
        raise ValueError("event {}: {} bytes, more than {}".format(event.event, len(line), LONGEST_LINE))
    return line


def from_line(line: bytes) -> Event:
    """The event in a line.

    Raises:
        ValueError: it is no whole event.
    """
    try:
        content = json.loads(line.decode("utf-8"))
        seq, event, stamp, monotonic_s, boot = (content.pop(name) for name in RESERVED)
        second, micros = stamp[:-1].split(".")
        time_s = calendar.timegm(time.strptime(second, _SECOND)) + int(micros) / 1e6
        found = Event(seq, event, time_s, float(monotonic_s), boot, content)
    except (ValueError, KeyError, AttributeError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError("no whole event: {!r}".format(line[:40])) from error
    if type(seq) is not int or seq < 1 or not line.endswith(b"\n"):
        raise ValueError("no whole event: {!r}".format(line[:40]))
    return found


def clock_jumps(events: Iterable[Event], least_s: float = 1.0) -> Iterator[Tuple[Event, float]]:
    """The events before which the wall clock was set, with how far in seconds (forward is positive)."""
    last: Optional[Event] = None
    for event in events:
        if last is not None and last.boot == event.boot:
            jump_s = (event.time_s - last.time_s) - (event.monotonic_s - last.monotonic_s)
            if abs(jump_s) >= least_s:
                yield event, jump_s
        last = event


def _plain(value: Any) -> Any:
    try:
        return value.item()
    except (AttributeError, ValueError):
        raise TypeError("{} is no value of JSON".format(type(value).__name__)) from None
