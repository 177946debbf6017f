"""A board that is to be measured on: is it the one it is to be, cool, and sound? And what does a model answer there?"""

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any

import numpy as np

from pipeline.boards.access import SHORT_S, Sick, Throttled, Unmeasured
from pipeline.boards.board_file import Board
from pipeline.boards.kit import Kit
from pipeline.boards.past import Past
from pipeline.boards.second_chance import Patient
from pipeline.device import golden
from pipeline.processes.samples import Floats
from pipeline.records.targets import Target
from pipeline.system import npy
from pipeline.system.errors import InputError

LOAD_S = 300.0  # for a runtime to load a model
BUILD_S = 3900.0  # for TensorRT to build its engine on the board, which has an hour of its own
SLOWEST_S = 0.5  # a region, on whatever board


@dataclass(frozen=True)
class Answers:
    """What a model answered on a board, (N, classes), with the time of each batch and what the runtime says."""

    logits: Floats
    latency_ms: list[float]
    facts: dict[str, Any]


class OnBoard:
    """A board that was looked at once: open to any number of candidates until it is left."""

    def __init__(self, board: Board, history: Path | None = None) -> None:
        self.board, self.target = board, board.profile
        self.fingerprint: dict[str, Any] | None = None
        self.refusal: Unmeasured | None = None  # why nothing is to be measured on it
        self._history = history
        self._access: Patient | None = None

    def __enter__(self) -> "OnBoard":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._access is not None:
            self._access.close()

    @property
    def access(self) -> Patient:
        """The way to it, opened when first needed."""
        if self._access is None:
            self._access = Patient(self.board)
        return self._access

    @property
    def infrastructure(self) -> list[str]:
        """What had to be tried again."""
        return [] if self._access is None else self._access.notes

    def check(self) -> None:
        """Look at it and run the golden bundle, once.

        Raises:
            Unmeasured: it is away, another board, throttled or sick; said again to each who asks.
        """
        if self.refusal is None and self.fingerprint is None:
            try:
                self._check()
            except Unmeasured as error:
                self.refusal = error
        if self.refusal is not None:
            raise self.refusal

    def _check(self) -> None:
        kit = Kit(self.access)
        facts = kit.ask("facts", {"json": True, "root": self.access.root}, SHORT_S)
        name, found = self.board.name, facts["fingerprint"]
        if not self.board.is_the_one(found):
            raise Unmeasured(f"{name}: is to be {self.board.soc}, and is {found['soc'] or 'a board of unknown SoC'}")
        if facts["throttled_by"]:
            raise Throttled(f"{name} is throttled: {'; '.join(facts['throttled_by'])}")
        with tempfile.TemporaryDirectory(prefix="edgeproof-") as room:
            bundle = kit.bundle(golden.download(self.target, Path(room)))
            try:
                answers = ask(kit, bundle, golden.regions(), self.target)
            except InputError as error:  # the bundle is sound
                raise Sick(f"{name} does not run the golden bundle: {error}") from error
        right, most = golden.known(), golden.tolerance(self.target)
        apart = float(np.abs(answers.logits[: golden.KNOWN] - right).max() / np.abs(right).max())
        sick = None
        if not apart <= most:  # or it is no number
            sick = f"its answers to the golden bundle are {100 * apart:.2g} % off"
        batch_ms = median(answers.latency_ms)
        same = hashlib.sha256(answers.logits.tobytes()).hexdigest()
        past = Past(self.board, self._history)
        if sick is None and self.board.measures:
            sick = past.judged(found, batch_ms, same)
        past.add(found, batch_ms, same, sick)
        if sick is not None:
            since = past.sick_since
            raise Sick(f"{name} is sick{f' since {since[0]}' if since else ''}: {sick}")
        self.fingerprint = found


def computes(target: Target) -> dict[str, Any]:
    """What a program of the device is told to calculate on: OpenVINO would take the CPU unasked."""
    gpu = target.gpu is not None and target.runtime.name == "openvino"
    return {"threads": target.cpu.cores, **({"device": "GPU"} if gpu else {})}


def ask(kit: Kit, bundle: str, regions: Any, target: Target) -> Answers:
    """Have the bundle of that name on a board answer regions (N, S, S, 3).

    Raises:
        InputError: the board's runtime does not take it.
        Unmeasured: the board gives no answer, or one for each region is missing.
    """
    with tempfile.TemporaryDirectory(prefix="edgeproof-") as folder:
        file, back = Path(folder) / "regions.npy", Path(folder) / "logits.npy"
        np.save(file, regions)
        there = kit.file(file)
        built = BUILD_S if target.runtime.name == "tensorrt" else LOAD_S
        options = {
            "bundle": f"../{bundle}",
            "regions": f"../{there}",
            "output": "../logits.npy",
            **computes(target),
        }
        said = kit.ask("logits", options, built + SLOWEST_S * len(regions))
        kit.access.get("logits.npy", back)
        try:
            logits: Floats = npy.read(back)
        except (OSError, ValueError) as error:
            raise Unmeasured(f"{kit.access.board.name}: the answers came back damaged ({error})") from error
    if logits.shape[:1] != (len(regions),):
        raise InputError(f"{bundle}: gives {logits.shape} for {len(regions)} regions")
    return Answers(logits, said["latency_ms"], said["facts"])
