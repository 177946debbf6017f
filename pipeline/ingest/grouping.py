"""Which split a captured region goes to: all that hangs together to one, and none that is there already ever moves.

One track shows one person, and one minute of a device one scene: what was learned from one half of it would be tested
on the other. scikit-learn's StratifiedGroupKFold, which splits imported images, knows no samples that stay where they
are and refuses a handful of groups, so each group goes here to the split that then comes nearest to the shares of all
classes.
"""

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

from pipeline.data.captured import Captured
from pipeline.data.dataset import SPLITS, SplitName
from pipeline.data.look_alikes import Joined
from pipeline.data.splits import HELD_OUT

MINUTE_S = 60.0
SHARES: dict[SplitName, float] = {"train": 1 - sum(HELD_OUT.values()), **HELD_OUT}


@dataclass(frozen=True)
class Grouped:
    """New captures in their splits, and those that hang together with two splits, by name: no place is right there."""

    placed: list[Captured]
    torn: dict[str, list[SplitName]]


def place(new: Sequence[Captured], there: Sequence[Captured]) -> Grouped:
    """Give the `new` captures, whose `split` and `group` say nothing yet, a split and a group beside those `there`."""
    everything = [*there, *new]
    joined = Joined(len(everything))
    first_of: dict[Hashable, int] = {}
    for index, one in enumerate(everything):
        for key in _hangs_by(one):
            joined.join(first_of.setdefault(key, index), index)
    members = defaultdict(list)
    for index in range(len(everything)):
        members[joined.root(index)].append(index)
    counts: dict[SplitName, Counter[str]] = {split: Counter() for split in SPLITS}
    for one in there:
        counts[one.split][one.label] += 1
    totals = Counter(one.label for one in everything)
    placed: list[Captured] = []
    torn: dict[str, list[SplitName]] = {}
    for part in sorted(members.values(), key=lambda part: (-len(part), everything[part[0]].name)):
        fresh = [everything[index] for index in part if index >= len(there)]
        splits = sorted({everything[index].split for index in part if index < len(there)})
        if len(splits) > 1:
            torn.update((one.name, splits) for one in fresh)
            continue
        labels = Counter(one.label for one in fresh)
        split = splits[0] if splits else min(SPLITS, key=lambda name: _off(name, labels, counts, totals))
        known = sorted({everything[index].group for index in part if index < len(there)})
        group = known[0] if known else f"captured {min(one.name for one in fresh)}"
        counts[split] += labels
        placed += [replace(one, split=split, group=group) for one in fresh]
    return Grouped(sorted(placed, key=lambda one: one.name), torn)


def _hangs_by(one: Captured) -> tuple[Hashable, Hashable, Hashable]:
    minute = (one.device, int(one.time_s // MINUTE_S))
    return (one.device, one.track), minute, ("group", one.group or one.name)


def _off(
    split: SplitName,
    labels: Counter[str],
    counts: Mapping[SplitName, Counter[str]],
    totals: Counter[str],
) -> float:
    """How far the splits' classes would be from their shares, were `labels` in `split`; squared and added up."""
    return sum(
        (counts[name][label] + (labels[label] if name == split else 0) - SHARES[name] * total) ** 2 / total
        for name in SPLITS
        for label, total in totals.items()
    )
