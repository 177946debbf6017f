"""Running a model in a child process that is held to limits and never left behind."""

import json
import os
import resource
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pipeline.system.errors import BadModel

REPOSITORY = Path(__file__).resolve().parents[2]
TIME_LIMIT_S = 600.0  # for loading the model, and again for each batch
SHARED_MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Place:
    """Where and how a model runs: what starts the Python, its environment, and its limits.

    `backend` is the module that runs it: one with a function `open_backend`, such as those in pipeline/boards/backends.
    `environment` replaces variables of the caller; a variable set to None is taken away.
    """

    description: str
    backend: str
    threads: int
    launcher: Sequence[str] = (sys.executable,)
    environment: Mapping[str, str | None] = field(default_factory=dict)
    memory_limit_mib: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


class Child:
    """A model loaded in a child process. Batches go in and come out through files mapped into both."""

    def __init__(self, model: Path, shape: Sequence[int], place: Place, folder: Path) -> None:
        self._model, self._place = model, place
        self._stderr = folder / "stderr"
        self._outputs_file, inputs_file = folder / "outputs", folder / "inputs"
        self._inputs = np.memmap(inputs_file, np.float32, "w+", shape=tuple(shape))
        self._pending: int | None = None
        job = {
            **place.settings,
            "backend": place.backend,
            "model": str(model.resolve()),
            "inputs": str(inputs_file),
            "outputs": str(self._outputs_file),
            "shape": list(shape),
            "batch": shape[0],
            "threads": place.threads,
        }
        environment = {**os.environ, **place.environment}
        limit = place.memory_limit_mib
        with self._stderr.open("wb") as stderr:
            self._process = subprocess.Popen(
                [*place.launcher, "-m", "pipeline.boards.worker", json.dumps(job)],
                env={name: value for name, value in environment.items() if value is not None},
                cwd=REPOSITORY,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                preexec_fn=(lambda: _limit_memory(limit)) if limit else None,
            )

    def wait_until_loaded(self) -> None:
        """Return when the model is loaded.

        Raises:
            InputError: the runtime refuses or crashes on the model, or takes too long.
        """
        self._answer()

    def start(self, batch: NDArray[np.float32]) -> None:
        """Hand over a batch (n, ...) and return at once; `result` waits for its outputs."""
        self._inputs[: len(batch)] = batch
        self._ask({"samples": len(batch)})
        self._pending = len(batch)

    def result(self) -> NDArray[np.float32] | None:
        """The outputs (n, ...) of the batch started last; None when none is under way."""
        if self._pending is None:
            return None
        asked, self._pending = self._pending, None
        answer = self._answer()
        if answer["shape"][:1] != [asked]:
            raise BadModel(
                f"{self._model}: answers {answer['shape']} values for {asked} samples; its output must have "
                "a row for each sample"
            )
        shape = (len(self._inputs), *answer["shape"][1:])
        mapped = np.memmap(self._outputs_file, np.float32, "r", shape=shape)
        return np.array(mapped[: answer["shape"][0]])

    def facts(self) -> dict[str, Any]:
        """What the backend tells of itself, and `peak_memory_mib`."""
        self._ask({})
        return self._answer()

    def close(self) -> None:
        """Stop the process, whatever it is doing."""
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):  # what was not sent is no loss
                    pipe.close()
        self._process.wait()

    def _ask(self, request: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            self._fail()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], TIME_LIMIT_S)
        if not ready:
            self.close()
            raise BadModel(f"{self._model}: the runtime did not answer within {TIME_LIMIT_S:g} s and was stopped")
        line = self._process.stdout.readline()
        if not line:
            self._fail()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _fail(self) -> None:
        code = self._process.wait()
        said = self._stderr.read_text(errors="replace")
        raise BadModel(f"{self._model}: {_reason(code, said, self._place.memory_limit_mib)}")


@dataclass(frozen=True)
class Outputs:
    """Every sample's outputs (N, ...) of one place, and what the backend told of itself at the end."""

    values: NDArray[np.float32]
    facts: dict[str, Any]


def run(
    model: Path, batches: Iterable[NDArray[np.float32]], total: int, shape: Sequence[int], places: Sequence[Place]
) -> list[Outputs]:
    """Run a model in several places side by side over the same `batches` of at most `shape[0]` samples each.

    While the children calculate one batch the next is prepared; no more than two are held at a time.

    Raises:
        InputError: a runtime refuses the model, crashes, hangs, or needs more memory than its place has.
    """
    parts: list[list[NDArray[np.float32]]] = [[] for _ in places]
    with ExitStack() as stack:
        children = [stack.enter_context(_child(model, shape, place)) for place in places]
        for child in children:
            child.wait_until_loaded()
        bar = stack.enter_context(
            tqdm(desc=" + ".join(place.description for place in places), total=total, unit="sample", disable=None)
        )

        def collect() -> None:
            for child, part in zip(children, parts, strict=True):
                if (found := child.result()) is not None:
                    part.append(found)

        for batch in batches:
            collect()
            for child in children:
                child.start(batch)
            bar.update(len(batch))
        collect()
        return [Outputs(np.concatenate(part), child.facts()) for child, part in zip(children, parts, strict=True)]


@contextmanager
def _child(model: Path, shape: Sequence[int], place: Place) -> Iterator[Child]:
    root = SHARED_MEMORY if os.access(SHARED_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=root, prefix="edgeproof-") as folder:
        child = Child(model, shape, place, Path(folder))
        try:
            yield child
        finally:
            child.close()


def _limit_memory(mib: int) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (mib << 20, mib << 20))


def _reason(code: int, stderr: str, limit_mib: int | None) -> str:
    if "MemoryError" in stderr or "bad_alloc" in stderr or "Unable to allocate" in stderr:
        return f"needs more than the target's {limit_mib} MiB of memory" if limit_mib else "not enough memory"
    if code < 0:
        return f"the runtime crashed (signal {-code})"
    lines = stderr.strip().splitlines()
    return f"the runtime refused it: {lines[-1] if lines else 'no message'}"
