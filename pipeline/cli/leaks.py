"""What a data check found, as lines for the terminal."""

from typing import Any

from pipeline.system.errors import shown

MOST = 10  # of each kind that are named; --json has all


def lines(found: Any) -> list[str]:
    """All findings for people: counts first, then what leaks, then what else is odd."""
    text = []
    for split, classes in found.counts.items():
        named = "  ".join(f"{shown(name)} {count}" for name, count in classes.items())
        text.append(f"{split or 'all':6} {sum(classes.values()):6}  {named}")
    text += [f"note: {note}" for note in (*found.notes, *found.lacking_classes)]
    text += _part("files that are no usable images", [shown(one.reason) for one in found.unreadable])
    text += _part("the same file in two splits", [_pair(one) for one in found.duplicates])
    text += _part("the same picture in two splits", [f"{_pair(one)}, {one.alike:.3f}" for one in found.look_alikes])
    parted = [
        f"{shown(one.group)}: " + ", ".join(f"{split} {count}" for split, count in one.images.items())
        for one in found.parted_groups
    ]
    text += _part("groups in more than one split", parted)
    doubts = [
        f"{shown(one.file)}: is {shown(one.label)}, {one.share:.0%} of what looks like it is {shown(one.rather)}"
        for one in found.doubtful
    ]
    text += _part("labels to look at", doubts)
    if found.labels_unchecked:
        text.append(f"labels were not looked at: {found.labels_unchecked}")
    text.append("LEAKS: what was learned is tested" if found.leaks else "no leaks found")
    return text


def _pair(one: Any) -> str:
    first, second = (f" ({split})" if split else "" for split in one.splits)
    return f"{shown(one.first)}{first} = {shown(one.second)}{second}{'' if one.same_class else ', of another class'}"


def _part(title: str, named: list[str]) -> list[str]:
    if not named:
        return []
    more = [f"  and {len(named) - MOST:,} more (--json has all)"] if len(named) > MOST else []
    return [f"{title} ({len(named):,}):", *(f"  {name}" for name in named[:MOST]), *more]
