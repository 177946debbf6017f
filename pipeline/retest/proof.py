"""What the emulated CPU says of a model: that a capped run is right, what is right instead, or that it crashes.

A cap of the instruction set is not the CPU: the runtime may crash or refuse a model under it, or answer otherwise. Then
every sample is calculated on the emulated CPU instead, if that fits the time there is for it.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from signal import SIGILL, SIGSEGV
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import emulators
from pipeline.processes.child import Place
from pipeline.processes.failures import Crashed, Failed, OutOfMemory, RefusedByRuntime, TooSlow
from pipeline.processes.pace import duration
from pipeline.processes.samples import Inputs, Samples
from pipeline.processes.side_by_side import run
from pipeline.records.results import Audit, Grade
from pipeline.records.targets import Precision, Target
from pipeline.retest import audit
from pipeline.system.errors import InputError

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Budget:
    """Seconds that the emulated CPU may take, None for as many as it likes; `advice` is how to give it more."""

    seconds: float | None
    advice: str


@dataclass(frozen=True)
class Proof:
    """Outputs (N, ...) of every sample on the target and how they are proven, or None and the `reason`.

    `ran` are the layers that the emulated CPU calculated, where all samples were and the runtime tells of its kernels.
    """

    grade: Grade
    outputs: Floats | None
    reason: str | None = None
    audit: Audit | None = None
    ran: list[dict[str, Any]] | None = None


@dataclass(frozen=True)
class Job:
    """A model with its samples, and where it is replayed: the launcher of `emulated` is added here.

    The time of the budget runs from `start` (of time.monotonic).
    """

    model: Path
    shape: Sequence[int]
    target: Target
    precision: Precision
    samples: Samples
    emulated: Place
    budget: Budget
    start: float = field(default_factory=time.monotonic)

    @property
    def left_s(self) -> float | None:
        """What is left of the budget."""
        seconds = self.budget.seconds
        return None if seconds is None else max(seconds - (time.monotonic() - self.start), 0.0)


def prove(job: Job, capped: Place, outputs: Floats, probes: Inputs, rows: list[int]) -> Proof:
    """Audit the `outputs` (N, ...) of the place `capped`: the inputs `probes` are those of the samples in `rows`.

    Without an emulator here they stay as they are, unaudited.
    """
    name = str(job.target.emulation.emulator)
    record = Audit(emulator=name, samples=len(probes), tolerance=0.0)
    try:
        launcher, qemu = emulators.launcher(name), emulators.qemu_version(name)
    except InputError as error:
        return Proof("unaudited", outputs, audit=record.model_copy(update={"reason": str(error)}))
    record = record.model_copy(update={"qemu_version": qemu})
    emulated = replace(job.emulated, launcher=launcher)
    try:
        found = audit.audit(
            job.model, job.shape, capped, emulated, record, job.precision, probes, outputs[rows], job.left_s
        )
    except Failed as error:
        failed = _failed(error, job, len(probes))
        return replace(failed, audit=record.model_copy(update={"reason": failed.reason}))
    if found.agrees:
        return Proof("exact", outputs, audit=found)
    where = f", first in the layer {found.first_difference}" if found.first_difference else ""
    replayed = replay(job, f"the audit on {name} disagrees{where}")
    return replace(replayed, audit=found)


def replay(job: Job, why: str | None = None) -> Proof:
    """Every sample on the emulated CPU; `why` is told where that is not to be had."""
    try:
        launcher = emulators.launcher(str(job.target.emulation.emulator))
    except InputError as error:
        return Proof("not_measured", None, _joined(why, str(error)))
    place = replace(job.emulated, launcher=launcher, description=f"{job.target.name} in QEMU")
    total = len(job.samples)
    try:
        [found] = run(job.model, job.samples.batches(job.shape[0]), total, job.shape, [place], job.left_s)
    except Failed as error:
        failed = _failed(error, job, total)
        return failed if failed.grade == "fails" else replace(failed, reason=_joined(why, str(failed.reason)))
    return Proof("exact", found.values, ran=found.facts.get("ran"))


def without_capped_run(job: Job, error: Failed, proven: bool) -> Proof:
    """What follows where a capped run has failed: the emulated CPU is asked instead, if it is to be `proven`."""
    if isinstance(error, OutOfMemory) and error.limit_mib:
        return Proof("fails", None, error.what)
    reason = f"{error.what} {error.where}"
    return replay(job, reason) if proven else Proof("not_measured", None, reason)


def _failed(error: Failed, job: Job, samples: int) -> Proof:
    if isinstance(error, Crashed) and error.signal in (SIGILL, SIGSEGV):
        return Proof("fails", None, f"crashes on the emulated {job.target.name} ({error.reason})")
    if isinstance(error, RefusedByRuntime):  # this machine's own runtime took it before
        return Proof("fails", None, f"the runtime refuses it on the emulated {job.target.name}: {error.said}")
    if isinstance(error, TooSlow):
        if error.needed_s is None:
            took = f"did not end within {duration(error.limit_s)}"
        else:
            took = f"would take about {duration(error.needed_s)}"
        return Proof("not_measured", None, f"the replay of {samples} samples {error.where} {took}; {job.budget.advice}")
    return Proof("not_measured", None, f"{error.what} {error.where}")


def _joined(why: str | None, reason: str) -> str:
    return f"{why}; {reason}" if why else reason
