"""Whether tonight's numbers are still those of the main branch: the newest of each candidate in its history.

In the emulated lane nothing but the code, the packages and the training can move a number, so one that the history had
must lie in tonight's interval, or where it has none be shown the same. A board's numbers are noisy: there a change of
level is looked for (change_points.py), with tonight's as the last one, among those of the same machine.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.ci.change_points import FEWEST, change_points
from pipeline.ci.history_log import Line
from pipeline.ci.quantities import BY_NAME, Quantity
from pipeline.ci.run_record import Entry, Number, RunRecord
from pipeline.records.gates import Verdict


@dataclass(frozen=True)
class Compared:
    """A number of tonight and the newest one of the main branch, which is that of the commit; None: too few to tell."""

    entry: Entry
    quantity: Quantity
    before: float
    commit: str
    now: float
    worse: bool | None

    @property
    def words(self) -> str:
        """Such as `lenet-5/int8 atom-x5-e3940 emulated: accuracy 95.36 at 0123456789, 94.10 % tonight`."""
        before, now = self.quantity.text(self.before), self.quantity.text(self.now)
        told = f"{self.quantity.head} {before} at {self.commit[:10]}, {now} {self.quantity.unit} tonight"
        return f"{self.entry.place}: {told}"


def compare(lines: Sequence[Line], tonight: RunRecord) -> list[Compared]:
    """Every number of tonight that the history has too; a predicted one with a predicted one only."""
    return [one for entry in tonight.entries if entry.verdict for one in _of_entry(lines, entry)]


def verdict(found: Sequence[Compared]) -> Verdict:
    """Fail where a number is for the worse, not measured where nothing could be compared."""
    known = [one.worse for one in found if one.worse is not None]
    if True in known:
        return "fail"
    return "pass" if known else "not_measured"


def _of_entry(lines: Sequence[Line], entry: Entry) -> Iterator[Compared]:
    for name, now in entry.numbers.items():
        if (quantity := BY_NAME.get(name)) is None:
            continue
        earlier = [
            (line.commit, found)
            for line in lines
            for past in line.record.entries
            if past.place == entry.place and (entry.lane == "emulated" or past.machine == entry.machine)
            if (found := past.numbers.get(name)) is not None and found.predicted == now.predicted
        ]
        if earlier:
            commit, newest = earlier[-1]
            worse = _worse(quantity, entry, [found.value for _, found in earlier], now)
            yield Compared(entry, quantity, newest.value, commit, now.value, worse)


def _worse(quantity: Quantity, entry: Entry, earlier: Sequence[float], now: Number) -> bool | None:
    before = earlier[-1]
    if entry.lane == "device" and len(earlier) + 1 < FEWEST:
        return None
    if not quantity.change(before, now.value) or (now.value > before) == quantity.more_is_better:
        return False
    if entry.lane == "device":
        return change_points([*earlier, now.value])[-1:] == [len(earlier)]
    return now.low is None or now.high is None or not now.low <= before <= now.high
