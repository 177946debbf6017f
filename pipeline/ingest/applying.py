"""What a person decided becomes samples of the data: pictures first, then the tables that make them count."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.data import captured
from pipeline.data.captured import Captured, Rejected
from pipeline.data.dataset import Sample
from pipeline.ingest import decisions, grouping, pulled
from pipeline.ingest.decisions import Decision
from pipeline.ingest.pulled import Pulled
from pipeline.system import files
from pipeline.system.errors import BadData, some

BY_REVIEW = "rejected in review"


@dataclass(frozen=True)
class Applied:
    """What became of decisions, in captures. `torn` hang together with two splits and were left out for that;
    `before` and `after` count the classes of all samples.
    """

    added: list[Captured]
    relabelled: int
    rejected: int
    unchanged: int
    torn: list[str]
    before: Counter[str]
    after: Counter[str]


def apply(file: Path, data: Path, store: Path, samples: Sequence[Sample]) -> Applied:
    """Apply the decisions in `file` to the folder `data`; all of them, or none where one of them cannot be.

    `samples` are those of the data set, whose classes are the ones that there are. A label that was given before is
    changed, in the split where the capture is.

    Raises:
        InputError: the file is none, or a decision in it is about what there is not.
    """
    decided = decisions.read(file)
    there = {one.name: one for one in captured.read(data)}
    rejected = {one.name: one for one in captured.read_rejected(data)}
    waiting = {one.name: one for one in pulled.read(store)}
    known = {name: one.facts.sha256 for name, one in waiting.items()} | pulled.settled(data)
    classes = sorted({sample.label for sample in samples})
    decisions.check(decided, known, classes, file)
    if gone := [
        one.capture for one in decided if one.label and one.capture not in waiting and one.capture not in there
    ]:
        raise BadData(f"{file}: these were rejected, and their pictures are no longer here: {some(gone)}")
    fresh: list[Captured] = []
    relabelled = turned_down = unchanged = 0
    for one in decided:
        if one.label is None:
            if one.capture in rejected:
                unchanged += 1
                continue
            there.pop(one.capture, None)
            rejected[one.capture] = Rejected(one.capture, one.sha256, BY_REVIEW)
            turned_down += 1
        elif one.capture not in there:
            fresh.append(_captured(waiting[one.capture], one))
            rejected.pop(one.capture, None)
        elif there[one.capture].label == one.label:
            unchanged += 1
        else:
            there[one.capture] = replace(there[one.capture], label=one.label)
            relabelled += 1
    grouped = grouping.place(fresh, list(there.values()))
    for name, splits in grouped.torn.items():
        reason = f"hangs together with captures of {' and '.join(splits)}"
        rejected[name] = Rejected(name, known[name], reason)
    for new in grouped.placed:
        picture = waiting[new.name].picture.read_bytes()
        files.write_bytes(data / captured.FOLDER / new.file, picture)
    after = [*there.values(), *grouped.placed]
    before = captured.read(data)
    if decided:
        captured.write(data, after, rejected.values())
    rest = Counter(sample.label for sample in samples if not sample.file.startswith(captured.REGIONS))
    return Applied(
        added=grouped.placed,
        relabelled=relabelled,
        rejected=turned_down,
        unchanged=unchanged,
        torn=sorted(grouped.torn),
        before=rest + Counter(one.label for one in before),
        after=rest + Counter(one.label for one in after),
    )


def _captured(one: Pulled, decision: Decision) -> Captured:
    """A new row; where it goes is said later."""
    facts, label = one.facts, decision.label
    assert label is not None
    return Captured(
        file=captured.picture(one.name),
        label=label,
        split="train",
        group="",
        device=facts.device,
        track=facts.group,
        time_s=facts.time_s,
        reason=facts.reason,
        version=facts.version or "",
        sha256=facts.sha256,
    )
