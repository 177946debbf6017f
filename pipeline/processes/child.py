"""Running a model in a child process that is held to limits and never left behind."""

import json
import math
import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from pipeline.processes import limits
from pipeline.processes.failures import (
    Crashed,
    Failed,
    Hung,
    Misshapen,
    OutOfMemory,
    RefusedByRuntime,
    TooSlow,
    Unemulated,
)
from pipeline.processes.process import Ended, Process, Stuck
from pipeline.processes.samples import Inputs
from pipeline.system.errors import BadModel

INSTALLED, PACKAGES = Path(__file__).resolve().parents[2], ("pipeline", "models", "runners")
TIME_LIMIT_S = 600.0  # for loading the model, and again for each batch
FACTS_S = 10.0
# CPU time after which a batch is given up: as a multiple of what those before it took at most, some of them with
# subnormal numbers or memory that was swapped out, and no less than this.
PATIENCE = 20
SPIN_S = 3.0
_OWN_ERROR = re.compile(r"pipeline\.system\.errors\.\w+: (.*)")
NO_MEMORY = (
    "MemoryError",
    "bad_alloc",
    "Unable to allocate",
    "annot allocate memory",
    "Memory allocation",
    "failed to map segment",  # of a library
)


@dataclass(frozen=True)
class Place:
    """Where and how a model runs: what starts the Python, its environment, and its limits.

    `backend` is the module that runs it: one with a function `open_backend`, such as those in `backends/`.
    `where` says it in the words of an error: "the runtime refused it ...".
    What uses one thread only may have `copies` that share the samples, where those are many.
    `environment` replaces variables of the caller; a variable set to None is taken away.
    """

    description: str
    backend: str
    threads: int
    where: str = "on this machine"
    launcher: Sequence[str] = (sys.executable,)
    environment: Mapping[str, str | None] = field(default_factory=dict)
    memory_limit_mib: int | None = None
    copies: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)


class Child:
    """A model loaded in a child process. Batches go in and come out through files mapped into both.

    Every method may raise Failed: the runtime refuses the model, crashes, needs more memory than its place has, stops
    working, or does not answer within TIME_LIMIT_S or by the `deadline` (of time.monotonic). A place without a limit of
    its own has `share_mib` of memory: a few bytes of a model can ask for all that the machine has. The model is loaded
    and the first batch calculated with `first_cpu_s` of CPU time each; later batches are held to those before.
    """

    def __init__(
        self,
        model: Path,
        shape: Sequence[int],
        place: Place,
        folder: Path,
        deadline: float | None = None,
        share_mib: int | None = None,
        first_cpu_s: float = math.inf,
    ) -> None:
        self._model, self._place, self._deadline, self._first_cpu_s = model, place, deadline, first_cpu_s
        self._outputs_file, self._inputs_file = folder / "outputs", folder / "inputs"
        self._inputs: np.memmap[Any, np.dtype[Any]] | None = None  # once there is a batch, of its type
        self._whole = tuple(shape)
        self._pending: int | None = None
        self._shape: tuple[int, ...] | None = None  # of all outputs, once there are some
        self._most_cpu_s: float | None = None  # that a batch took so far
        job = {
            **place.settings,
            "backend": place.backend,
            "model": str(model.resolve()),
            "inputs": str(self._inputs_file),
            "outputs": str(self._outputs_file),
            "shape": list(shape),
            "batch": shape[0],
            "threads": place.threads,
        }
        own = limits.ENVIRONMENT if place.memory_limit_mib else {}
        environment = {**os.environ, **own, **place.environment}
        limit = place.memory_limit_mib or share_mib
        try:
            self._process = Process(
                [*place.launcher, "-m", "pipeline.processes.worker", json.dumps(job)],
                {name: value for name, value in environment.items() if value is not None},
                _code(folder),
                folder,
                before=lambda: limits.limit(limit),
            )
        except OSError as error:
            what = f"{place.launcher[0]} cannot be started ({error.strerror or error})"
            raise self._failure(Failed(model, what, place.where)) from error

    def wait_until_loaded(self) -> None:
        """Return when the model is loaded."""
        self._answer(self._first_cpu_s)

    def start(self, batch: Inputs) -> None:
        """Hand over a batch (n, ...) and return at once; `result` waits for its outputs."""
        if self._inputs is None:
            self._inputs = np.memmap(self._inputs_file, batch.dtype, "w+", shape=self._whole)
        self._inputs[: len(batch)] = batch
        self._ask({"samples": len(batch), "type": batch.dtype.name})
        self._pending = len(batch)

    def result(self) -> NDArray[np.float32] | None:
        """The outputs (n, ...) of the batch started last; None when none is under way."""
        if self._pending is None:
            return None
        asked, self._pending = self._pending, None
        most_s = self._most_cpu_s
        answer = self._answer(self._first_cpu_s if most_s is None else max(SPIN_S, PATIENCE * most_s))
        self._most_cpu_s = max(most_s or 0.0, answer["cpu_s"])
        if answer["shape"][:1] != [asked]:
            raise Misshapen(self._model, f"answers {answer['shape']} values for {asked} samples")
        shape = (self._whole[0], *answer["shape"][1:])
        if self._shape not in (None, shape):
            raise BadModel(
                f"{self._model}: answers {list(shape[1:])} values for one sample and {list(self._shape[1:])} for "
                "another; judge an output of one size, or export it with one"
            )
        self._shape = shape
        mapped = np.memmap(self._outputs_file, np.float32, "r", shape=shape)
        return np.array(mapped[: answer["shape"][0]])

    def facts(self) -> dict[str, Any]:
        """What the backend tells of itself, and `peak_memory_mib`."""
        if self._deadline is not None:  # what was calculated in time is not lost for the sake of this
            self._deadline = max(self._deadline, time.monotonic() + FACTS_S)
        self._ask({})
        return self._answer(self._first_cpu_s)

    def close(self) -> None:
        """Stop the process, whatever it is doing."""
        self._process.close()

    def _ask(self, request: dict[str, Any]) -> None:
        try:
            self._process.write(json.dumps(request).encode())
        except Ended as ended:
            self._fail(ended.code)

    def _answer(self, cpu_limit_s: float = math.inf) -> dict[str, Any]:
        limit = TIME_LIMIT_S
        if self._deadline is not None:
            limit = min(limit, max(self._deadline - time.monotonic(), 0.0))
        try:
            answer: dict[str, Any] = json.loads(self._process.read(limit, cpu_limit_s))
        except TimeoutError:
            self.close()
            raise self._failure(TooSlow(self._model, limit, self._place.where)) from None
        except Stuck as stuck:
            self.close()
            raise self._failure(Hung(self._model, stuck.how, self._place.where)) from None
        except Ended as ended:
            self._fail(ended.code)
        return answer

    def _fail(self, code: int) -> NoReturn:
        said = self._process.stderr.read_text(errors="replace")
        where = self._place.where
        if any(words in said for words in NO_MEMORY):
            raise self._failure(OutOfMemory(self._model, self._place.memory_limit_mib, where))
        if code < 0:
            raise self._failure(Crashed(self._model, -code, where))
        lines = said.strip().splitlines()
        if lines and (own := _OWN_ERROR.match(lines[-1])):
            # What our own code has to say, which is a limit of an emulation: no runtime said it.
            raise self._failure(Unemulated(self._model, own.group(1)))
        if not lines:
            raise self._failure(Failed(self._model, "the runtime ended without an answer", where))
        raise self._failure(RefusedByRuntime(self._model, lines[-1], where))

    def _failure(self, error: Failed) -> Failed:
        error.place = self._place.description
        return error


def _code(folder: Path) -> Path:
    """A folder inside `folder` with our packages and no others, which Python looks into first.

    Where they are installed, the machine's own NumPy stands beside them, and that is for no emulated CPU.
    """
    code = folder / "code"
    code.mkdir()
    for name in PACKAGES:
        (code / name).symlink_to(INSTALLED / name)
    return code
