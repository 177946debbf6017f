"""A model in several places side by side, over the same samples; where that takes long, copies share them."""

import math
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pipeline.processes import host
from pipeline.processes.child import Child, Place
from pipeline.processes.failures import Failed, TooSlow
from pipeline.processes.pace import Pace
from pipeline.processes.samples import Inputs

MOST_OF_MEMORY = 0.9  # of what is free, for all the places side by side
SHARED_MEMORY = Path("/dev/shm")
WORTH_S = 20.0  # that a run has still to go: less than it takes to load a network again is not worth a copy
TOLD_AFTER = 3  # batches, of which the first tells little


@dataclass(frozen=True)
class Outputs:
    """Every sample's outputs (N, ...) of one place, and what the backend told of itself at the end.

    Where copies shared the samples, `facts` are those of the first, and `others` those of the others.
    """

    values: NDArray[np.float32]
    facts: dict[str, Any]
    others: list[dict[str, Any]] = field(default_factory=list)


class _Copies:
    """The children of one place, which take batches in turn."""

    def __init__(self, place: Place, opened: Callable[[], Child]) -> None:
        self.place, self._opened = place, opened
        self._children = [opened()]
        self._given: dict[Child, int] = {}  # the batch that a child has
        self._parts: dict[int, NDArray[np.float32]] = {}
        self._count = 0

    def wait_until_loaded(self) -> None:
        for child in self._children:
            child.wait_until_loaded()

    def copy(self) -> None:
        """Let as many children share what is left as the place may have and the memory holds."""
        most, free = self.place.copies - 1, host.free_memory_mib()
        if most and free is not None:
            most = min(most, int(MOST_OF_MEMORY * free / (self._children[0].facts()["peak_memory_mib"] or free)))
        more: list[Child] = []
        for _ in range(most):
            with suppress(Failed):  # where there is no room for one more, the others do it all
                more.append(self._opened())
        for child in more:
            try:
                child.wait_until_loaded()
            except Failed:
                child.close()
            else:
                self._children.append(child)

    def start(self, batch: Inputs) -> None:
        """Hand a batch to the child whose turn it is, once its last is collected."""
        child = self._next
        child.start(batch)
        self._given[child] = self._count
        self._count += 1

    def collect(self, *, all_of_them: bool = False) -> None:
        """Take the outputs of the child whose turn is next, or of every child."""
        for child in self._children if all_of_them else [self._next]:
            if (found := child.result()) is not None:
                self._parts[self._given[child]] = found

    @property
    def done(self) -> int:
        """Samples that were calculated."""
        return sum(map(len, self._parts.values()))

    def outputs(self) -> Outputs:
        """All of them, in the order of the samples."""
        values = np.concatenate([self._parts[index] for index in range(self._count)])
        first, *others = [child.facts() for child in self._children]
        return Outputs(values, first, others)

    @property
    def _next(self) -> Child:
        return self._children[self._count % len(self._children)]


def run(
    model: Path,
    batches: Iterable[Inputs],
    total: int,
    shape: Sequence[int],
    places: Sequence[Place],
    budget_s: float | None = None,
    first_cpu_s: float = math.inf,
) -> list[Outputs]:
    """Run a model in several places side by side over the same `batches` of at most `shape[0]` samples each.

    While the children calculate one batch the next is prepared; no more than two are held at a time. Where a place may
    have copies, it gets them as soon as it can be told that they are worth their start. With a budget, a run that will
    not end within that many seconds is stopped as soon as that can be told. What takes `first_cpu_s` of CPU time to
    load, or for its first batch, counts as hanging.

    Raises:
        Failed: a runtime refuses the model, crashes, hangs, or needs more memory or time than its place has.
    """
    pace = Pace(total, budget_s, places[0].description)
    try:
        return _run(model, batches, total, shape, places, pace, first_cpu_s)
    except TooSlow as error:
        error.needed_s = pace.needed_s
        raise


def _run(
    model: Path,
    batches: Iterable[Inputs],
    total: int,
    shape: Sequence[int],
    places: Sequence[Place],
    pace: Pace,
    first_cpu_s: float,
) -> list[Outputs]:
    with ExitStack() as stack:
        free = host.free_memory_mib()
        share = None if free is None else int(MOST_OF_MEMORY * free / len(places))

        def opened(place: Place) -> Child:
            return stack.enter_context(_child(model, shape, place, pace.deadline, share, first_cpu_s))

        everywhere = [_Copies(place, partial(opened, place)) for place in places]
        for copies in everywhere:
            copies.wait_until_loaded()
        bar = stack.enter_context(
            tqdm(desc=" + ".join(place.description for place in places), total=total, unit="sample", disable=None)
        )

        def collect(*, all_of_them: bool = False) -> None:
            for copies in everywhere:
                copies.collect(all_of_them=all_of_them)
            if not pace.fits(everywhere[0].done):
                assert pace.budget_s is not None
                raise TooSlow(model, pace.budget_s, places[0].where)

        start = time.monotonic()
        for number, batch in enumerate(batches):
            collect()
            if number == TOLD_AFTER and (time.monotonic() - start) * (total / everywhere[0].done - 1) > WORTH_S:
                for copies in everywhere:
                    copies.copy()
            for copies in everywhere:
                copies.start(batch)
            bar.update(len(batch))
        collect(all_of_them=True)
        return [copies.outputs() for copies in everywhere]


@contextmanager
def _child(
    model: Path,
    shape: Sequence[int],
    place: Place,
    deadline: float | None,
    share_mib: int | None,
    first_cpu_s: float,
) -> Iterator[Child]:
    root = SHARED_MEMORY if os.access(SHARED_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=root, prefix="edgeproof-") as folder:
        child = Child(model, shape, place, Path(folder), deadline, share_mib, first_cpu_s)
        try:
            yield child
        finally:
            child.close()
