"""Energy and power between two moments of a recording. Must run on Python 3.6 with the standard library.

Readings of a moment are joined by straight lines (the trapezoidal rule); a mean since the last reading holds for that
time, so that an energy counter's difference is kept as it is.
"""

from typing import List, Sequence, Tuple

from runners.edge.monitor.recording import Recording
from runners.edge.sysfs import Unreadable

# Without a reading for that long nobody knows what was used: so many turns, or this if that is more.
MOST_TURNS_MISSED, MOST_GAP_S = 3, 1.0
FEWEST_SAMPLES = 5  # in a window: its ends are known to one turn only

Window = Tuple[int, int]  # ns
Piece = Tuple[int, int, float, float]  # from, to, watts at either end


def joules(recording: Recording, start_ns: int, end_ns: int) -> float:
    """What the rails used between two moments.

    Raises:
        Unreadable: there were too few readings in it, or none for too long.
    """
    pieces = [piece for piece in _pieces(recording) if piece[1] > start_ns and piece[0] < end_ns]
    reason = next((text for t_ns, text in recording.failures if start_ns <= t_ns <= end_ns), "")
    if not pieces or pieces[0][0] > start_ns or pieces[-1][1] < end_ns:
        gone = "no reading of {} for the whole of it".format(", ".join(recording.rails))
        raise Unreadable(reason or _failing(recording, end_ns) or recording.ended or gone)
    longest = max(end - start for start, end, _, _ in pieces) / 1e9
    if longest > most_gap_s(recording):
        text = "no reading for {:.1f} s, of at most {:.1f} s".format(longest, most_gap_s(recording))
        raise Unreadable("{}{}".format(text, reason and ": " + reason))
    if len(pieces) < FEWEST_SAMPLES:
        text = "{:.2f} s are too short for {:g} readings a second"
        raise Unreadable(text.format((end_ns - start_ns) / 1e9, recording.hz))
    return sum(_clipped(piece, start_ns, end_ns) for piece in pieces)


def watts(recording: Recording, windows: Sequence[Window]) -> float:
    """Mean power over windows that need not follow on each other.

    Raises:
        Unreadable: see `joules`.
    """
    used = sum(joules(recording, start, end) for start, end in windows)
    return used / (sum(end - start for start, end in windows) / 1e9)


def most_gap_s(recording: Recording) -> float:
    """The longest time without a reading in a window that counts as measured."""
    return max(MOST_GAP_S, MOST_TURNS_MISSED / recording.hz)


def rate_hz(recording: Recording) -> float:
    """Readings a second that were really made; 0 where there are fewer than two."""
    times = [t_ns for t_ns, _ in recording.samples]
    return (len(times) - 1) / ((times[-1] - times[0]) / 1e9) if len(times) > 1 and times[-1] > times[0] else 0.0


def longest_gap_s(recording: Recording) -> float:
    """The longest time between two readings; 0 where there are fewer than two."""
    times = [t_ns for t_ns, _ in recording.samples]
    return max((b - a for a, b in zip(times, times[1:])), default=0) / 1e9


def _pieces(recording: Recording) -> List[Piece]:
    samples = recording.samples
    if not recording.averages:
        return [(t0, t1, w0, w1) for (t0, w0), (t1, w1) in zip(samples, samples[1:])]
    starts = [recording.opened_ns] + [t_ns for t_ns, _ in samples]
    return [(start, t_ns, mean, mean) for start, (t_ns, mean) in zip(starts, samples) if start is not None]


def _clipped(piece: Piece, start_ns: int, end_ns: int) -> float:
    start, end, first, last = piece
    if end <= start:
        return 0.0
    a, b = max(start, start_ns), min(end, end_ns)
    slope = (last - first) / (end - start)
    return (b - a) / 1e9 * (first + slope * ((a - start) + (b - start)) / 2)


def _failing(recording: Recording, end_ns: int) -> str:
    """What has been said since the last reading before `end_ns`."""
    last = max((t_ns for t_ns, _ in recording.samples if t_ns <= end_ns), default=0)
    return next((text for t_ns, text in reversed(recording.failures) if last <= t_ns <= end_ns), "")
