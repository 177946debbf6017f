"""Do a board's answers agree with those of the emulated lane? In every bit, where the lane's grade is exact.

Where the hardware can only be bounded there are no bits to compare: the accuracy has to be no lower than the worse end.
"""

from dataclasses import dataclass, replace

from pipeline import emulators
from pipeline.arithmetic import kinds
from pipeline.device.subject import Prepared, Subject
from pipeline.processes.samples import Floats
from pipeline.processes.side_by_side import run
from pipeline.records.results import Audit, Grade
from pipeline.records.targets import Target
from pipeline.retest.audit import FP32_TOLERANCE, chosen, difference
from pipeline.retest.score import accuracy, classes

SAMPLES = 64  # regions whose answers are compared
IN_QEMU = 8  # where each takes seconds


@dataclass(frozen=True)
class Agreement:
    """How a board's answers compare: `grade` is what they prove, `audit` the numbers, `same_percent` equal classes."""

    grade: Grade
    audit: Audit
    same_percent: float


def agreement(subject: Subject, target: Target, logits: Floats, board: str) -> Agreement:
    """Hold a board's `logits` (N, classes) of all regions of a subject against the emulation of some of them.

    Raises:
        InputError: the emulation does not run here.
    """
    kind = kinds.of(target)
    plan = kind.plan(target, subject.precision)
    rows = chosen(len(subject.regions), IN_QEMU if kind.replays_everything else SAMPLES)
    places = [place for place in (plan.target, *plan.bounds.values()) if place is not None]
    if kind.replays_everything:
        launcher = emulators.launcher(str(target.emulation.emulator))
        places = [replace(place, launcher=launcher) for place in places]
    samples = Prepared(subject.regions[rows], subject.wanted)
    batch = target.objective.regions_per_frame
    shape = (batch, 3, subject.wanted.size, subject.wanted.size)
    found = [outputs.values for outputs in run(subject.file, samples.batches(batch), len(rows), shape, places)]
    here = logits[rows]
    same = [100.0 * float((classes(here) == classes(values)).mean()) for values in found]
    if plan.bounds:
        return _bounded(subject, rows, here, dict(zip(plan.bounds, found, strict=True)), max(same), board)
    tolerance = _tolerance(subject)
    largest = difference(here, found[0], relative=tolerance > 0)
    agrees = largest <= tolerance
    audit = Audit(
        emulator=board, samples=len(rows), tolerance=tolerance, agrees=agrees, largest_difference=largest,
        reason=None if agrees else f"the board's answers are up to {largest:g} away from the emulated lane's",
    )  # fmt: skip
    return Agreement("exact" if agrees else "fails", audit, same[0])


def _tolerance(subject: Subject) -> float:
    """That of the re-test's audit: no bit in INT8, unless layers of it are calculated in floating point."""
    audit = subject.emulated.audit if subject.emulated else None
    if subject.precision == "int8":
        return audit.tolerance if audit else 0.0
    return FP32_TOLERANCE


def _bounded(
    subject: Subject, rows: list[int], here: Floats, ends: dict[str, Floats], same_percent: float, board: str
) -> Agreement:
    """Of an interval, the worse end's accuracy on these regions is what was promised."""
    agrees: bool | None = None
    reason: str | None = None
    if subject.labels is None:
        reason = "without labels there is no accuracy to hold against the worse end of the interval"
    else:
        labels = subject.labels[rows]
        worse = min(accuracy(values, labels).correct for values in ends.values())
        right = accuracy(here, labels).correct
        agrees = right >= worse
        reason = None if agrees else f"{right} of {len(rows)} right, and {worse} at the worse end of the emulation"
    widest = max(difference(here, values, relative=True) for values in ends.values())
    audit = Audit(
        emulator=board, samples=len(rows), tolerance=0, agrees=agrees, largest_difference=widest, reason=reason
    )
    grade: Grade = "not_measured" if agrees is None else "bounded" if agrees else "fails"
    return Agreement(grade, audit, same_percent)
