"""Signs that a board held itself back because of heat or power. Must run on Python 3.6 with the standard library.

On any board: a cooling device is at work, the most that a clock is set to falls, or a clock stays below it while busy.
On an Atom also: counts of throttling by heat rise, or the package is at its long-term power limit while a clock stays
below what is set; power limits themselves are not counted by most kernels. On an Orin: counts of under-voltage and of
average over-current rise. A TX2 counts nothing.

Where turbo is on, a clock below the highest alone is no sign: how high it goes depends on how many cores work.
"""

from typing import List, Optional, Sequence

from runners.edge.health.snapshot import Snapshot

BUSY = 0.9
HELD = 0.95  # of what a clock is set to, or of a power limit


def signs(snapshots: Sequence[Snapshot], package_w: Optional[float] = None) -> List[str]:
    """What happened between the first and the last snapshot, taken about a second apart; each sign once.

    `package_w` is the mean power of the package that a limit is on, where it was measured.
    """
    if not snapshots:
        return []
    first = snapshots[0]
    found: List[str] = []
    for name, count in snapshots[-1].counters.items():
        if count > first.counters.get(name, count):
            found.append("{} rose by {}".format(name, count - first.counters[name]))
    for snapshot in snapshots:
        found += ["{} is at work".format(name) for name, state in snapshot.cooling.items() if state > 0]
    for snapshot in snapshots[1:]:
        for name, clock in snapshot.clocks.items():
            before = first.clocks[name].set_mhz if name in first.clocks else None
            if before and clock.set_mhz and clock.set_mhz < before:
                found.append("{} was set from {:.0f} to {:.0f} MHz".format(name, before, clock.set_mhz))
    for name in sorted(first.clocks):
        lowest = _held(name, snapshots)
        if lowest is None:
            continue
        limit = at_limit(first, package_w)
        if limit or first.turbo is not True or not name.startswith("cpu"):
            text = "{} at {:.0f} of {:.0f} MHz while busy{}"
            found.append(text.format(name, lowest, first.clocks[name].set_mhz or 0, limit and ", " + limit))
    return sorted(set(found), key=found.index)


def at_limit(snapshot: Snapshot, package_w: Optional[float]) -> str:
    """Says so where the package takes all that it may for long; else empty."""
    limit = next((watts for zone, watts in snapshot.limits_w.items() if zone.startswith("package")), None)
    if limit is None or package_w is None or package_w < HELD * limit:
        return ""
    return "the package at its power limit: {:.1f} of {:g} W".format(package_w, limit)


def tells(snapshot: Snapshot) -> bool:
    """Whether the board shows at all when it holds itself back."""
    set_clocks = [name for name, clock in snapshot.clocks.items() if clock.set_mhz]
    return bool(snapshot.cooling or snapshot.counters or (set_clocks and snapshot.turbo is not True))


def _held(name: str, snapshots: Sequence[Snapshot]) -> Optional[float]:
    """The lowest clock that a busy domain had in two snapshots in a row, below what was set at first."""
    wanted = snapshots[0].clocks[name].set_mhz
    lows: List[Optional[float]] = []
    for snapshot in snapshots[1:]:
        clock = snapshot.clocks.get(name)
        busy = clock is not None and clock.busy is not None and clock.busy >= BUSY
        lows.append(clock.mhz if clock and busy and wanted and clock.mhz < HELD * wanted else None)
    pairs = [max(a, b) for a, b in zip(lows, lows[1:]) if a is not None and b is not None]
    return min(pairs) if pairs else None
