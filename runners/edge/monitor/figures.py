"""From a recording to the figures of a board's record: watts by state, energy per frame, health, and what is missing.

The fields are those of `Watts` and `Health` in the record; what was not measured is null and has its reason under the
field's name (`power.idle`). Must run on Python 3.6 with the standard library.
"""

from contextlib import suppress
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from runners.edge.health import throttling
from runners.edge.health.snapshot import Snapshot
from runners.edge.monitor import energy
from runners.edge.monitor.energy import Window
from runners.edge.monitor.recording import Recording
from runners.edge.sysfs import Unreadable

IDLE = "idle"
FULL = "regions_4"  # what sustained power and energy per frame are of
LONG_S, SKIPPED_S = 600, 300  # of ten minutes or more, the first five are for warming up
STEADY_S, STEADY_C = 60, 1.0  # a shorter run counts once no zone has moved by more in its last minute

States = Mapping[str, Sequence[Window]]
Reasons = Dict[str, str]


class Figures(NamedTuple):
    """`power` is None where nothing of it was measured."""

    power: Optional[Dict[str, Any]]
    before: Dict[str, Any]
    during: Dict[str, Any]
    after: Dict[str, Any]
    not_measured: Reasons


def figures(recording: Recording, states: States, frames: Optional[int] = None, full: str = FULL) -> Figures:
    """What the record takes; `frames` is how many the program handled in the state `full`, its full work."""
    power, reasons = _power(recording, states, frames, full)
    snapshots = [snapshot for _, snapshot in recording.snapshots]
    if not snapshots:
        why = recording.ended or "the monitor took no look at the board"
        return Figures(power, {}, {}, {}, dict(reasons, health=why))
    found = throttling.signs(snapshots, _package_w(recording, states))
    during = _summary(snapshots[1:-1] or snapshots)
    during.update(throttled=bool(found) if throttling.tells(snapshots[0]) else None, signs=found)
    if during["throttled"] is None:
        reasons["throttled"] = "the board has no cooling device, no count of throttling and no set clock to compare"
    return Figures(power, _moment(snapshots[0]), during, _moment(snapshots[-1]), reasons)


def sustained(recording: Recording, window: Window) -> Window:
    """The part of a window at full work that speaks for hours of it.

    Raises:
        Unreadable: it is too short, and the board was still warming up.
    """
    start, end = window
    if end - start >= LONG_S * 1e9:
        return start + int(SKIPPED_S * 1e9), end
    last = end - int(STEADY_S * 1e9)
    zones = [snapshot.temperatures_c for t_ns, snapshot in recording.snapshots if last <= t_ns <= end]
    common = set.intersection(*map(set, zones)) if zones else set()
    moved = max((max(z[name] for z in zones) - min(z[name] for z in zones) for name in common), default=None)
    if last < start or moved is None or moved > STEADY_C:
        text = "{:.0f} s of full work: it takes {} s, or {} s in which no temperature moves by more than {:g} degree"
        raise Unreadable(text.format((end - start) / 1e9, LONG_S, STEADY_S, STEADY_C))
    return last, end


def _power(
    recording: Recording, states: States, frames: Optional[int], full: str
) -> Tuple[Optional[Dict[str, Any]], Reasons]:
    reasons: Reasons = {}
    by_state: Dict[str, float] = {}
    for name, windows in states.items():
        try:
            by_state[name] = energy.watts(recording, windows)
        except Unreadable as error:
            reasons["power." + name] = str(error)
    if not by_state:
        whole = next(iter(reasons.values()), "the program named no state that it was in")
        return None, {"power": whole}
    found: Dict[str, Any] = {
        "rail": "+".join(recording.rails),
        "sampler": recording.meter,
        "sample_hz": energy.rate_hz(recording),
        "longest_gap_s": energy.longest_gap_s(recording),
        "mode": recording.mode,
        "own_core": recording.core,
        "by_state_w": by_state,
        "idle_w": by_state.get(IDLE),
        "sustained_w": None,
        "energy_per_frame_j": None,
    }
    windows = list(states.get(full, []))
    if not windows:
        return found, reasons
    try:
        found["sustained_w"] = energy.watts(recording, [sustained(recording, windows[-1])])
    except Unreadable as error:
        reasons["power.sustained_w"] = str(error)
    try:
        if not frames:
            raise Unreadable("no frame was counted")
        found["energy_per_frame_j"] = sum(energy.joules(recording, *window) for window in windows) / frames
    except Unreadable as error:
        reasons["power.energy_per_frame_j"] = str(error)
    return found, reasons


def _package_w(recording: Recording, states: States) -> Optional[float]:
    """The most that the package took in any state, where that is what the meter reads."""
    if recording.meter != "rapl" or not any(rail.startswith("package") for rail in recording.rails[:1]):
        return None
    found: List[float] = []
    for windows in states.values():
        with suppress(Unreadable):  # the reason is given with the power
            found.append(energy.watts(recording, windows))
    return max(found, default=None)


def _moment(snapshot: Snapshot) -> Dict[str, Any]:
    """One look tells of cooling at work only: counts and clocks need two."""
    signs = throttling.signs([snapshot])
    return dict(_summary([snapshot]), throttled=bool(signs) if snapshot.cooling else None, signs=signs)


def _summary(snapshots: Sequence[Snapshot]) -> Dict[str, Any]:
    """The mean of each clock, the most of each temperature and of the fan."""
    clocks: Dict[str, List[float]] = {}
    zones: Dict[str, List[float]] = {}
    for snapshot in snapshots:
        for name, clock in snapshot.clocks.items():
            clocks.setdefault(name, []).append(clock.mhz)
        for name, value in snapshot.temperatures_c.items():
            zones.setdefault(name, []).append(value)
    fans = [snapshot.fan_percent for snapshot in snapshots if snapshot.fan_percent is not None]
    return {
        "clocks_mhz": {name: sum(values) / len(values) for name, values in clocks.items()},
        "temperatures_c": {name: max(values) for name, values in zones.items()},
        "fan_percent": max(fans, default=None),
    }
