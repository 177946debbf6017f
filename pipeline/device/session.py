"""A candidate on a board, stage after stage: what each finds, and what follows for those behind it.

Health of the board, self-test, accuracy, agreement, speed, power. A stage that did not come to its end, or that failed,
leaves those behind it unmeasured. All of it within limits of time, whatever board and candidate do.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from tqdm import tqdm

from pipeline.boards.access import Died, Throttled, Unmeasured
from pipeline.boards.kit import Kit
from pipeline.boards.lab_environment import BadBoard
from pipeline.device import golden
from pipeline.device.emulation import Agreement, agreement
from pipeline.device.on_board import LOAD_S, Answers, OnBoard, ask, computes
from pipeline.device.subject import Subject
from pipeline.project import layout
from pipeline.records.targets import Target
from pipeline.system.errors import InputError, Missing
from runners.contract import loop_figures
from runners.contract.loop_figures import LoopFigures

REGIONS = (0, 1, 2, 3, 4)
CHAIN_S = 3.0  # on an emulated board: that the meter's program runs is all that can be seen
ROUNDS = 3  # of base and head by turns
CLIP = layout.DATA / "vtest.avi"

_T = TypeVar("_T")


@dataclass(frozen=True)
class Speed:
    """The loop's figures by number of regions, the board's health meanwhile, and (base, head) of each round."""

    loops: dict[int, LoopFigures]
    health: dict[str, dict[str, Any]]
    rounds: list[tuple[float, float]] = field(default_factory=list)


@dataclass
class Found:
    """What the stages came to; None where one did not. `not_measured` has the reasons, by stage or field.

    `fails` says why the candidate does not run there at all, `infrastructure` what had to be tried again.
    """

    fingerprint: dict[str, Any] | None = None
    answers: Answers | None = None
    agreement: Agreement | None = None
    speed: Speed | None = None
    power: dict[str, Any] | None = None
    fails: str | None = None
    not_measured: dict[str, str] = field(default_factory=dict)
    infrastructure: list[str] = field(default_factory=list)


class Fails(Exception):
    """A candidate does not do on a board what it did in the emulated lane; the message says what."""


class Session:
    """The stages of one candidate on a board, and of what it is compared with."""

    def __init__(
        self,
        on: OnBoard,
        subject: Subject,
        base: Subject | None = None,
        seconds: float = 10.0,
        power_seconds: float = 75.0,
        clip: Path = CLIP,
    ) -> None:
        """`seconds` are those of one measurement of speed, `power_seconds` those of full work while power is read."""
        self.on, self.subject, self.base = on, subject, base
        self.seconds, self.power_seconds, self._clip = seconds, power_seconds, clip
        self.found = Found()
        self._stopped: str | None = None

    @property
    def target(self) -> Target:
        """What the board is one of."""
        return self.on.target

    def stage(self, name: str, work: Callable[[], _T]) -> _T:
        """Do the work of a stage.

        Raises:
            Unmeasured: the board does not let it, or a stage before it did not come to its end.
        """
        if self._stopped is not None:
            self.found.not_measured.setdefault(name, self._stopped)
            raise Unmeasured(self._stopped)
        try:
            return work()
        except (Missing, BadBoard):
            raise
        except Unmeasured as error:
            self.stop(name, str(error))
            raise
        except InputError as error:  # it took the model: what it refuses now is the board's doing
            self.stop(name, str(error))
            raise Unmeasured(str(error)) from error
        finally:
            self.found.infrastructure = self.on.infrastructure

    def stop(self, name: str, reason: str) -> None:
        """Measure nothing more, since this stage did not come to a good end."""
        self.found.not_measured[name] = reason
        self._stopped = f"not measured, since the {name} came to no good end: {reason}"

    def all(self) -> None:
        """Go through all stages, as far as they come; `found` says what there is and why not."""
        stages = (self.health, self.self_test, self.answer, self.agree, self.speed, self.power)
        with tqdm(stages, unit="stage", disable=None) as bar:
            for stage in bar:
                bar.set_description(f"{self.on.board.name}: {stage.__name__.replace('_', '-')}")
                with suppress(Unmeasured, Fails):  # the reason is in `found`
                    stage()

    def health(self) -> dict[str, Any]:
        """Look at the board; the answer is its fingerprint."""
        self.stage("health", self.on.check)
        self.found.fingerprint = self.on.fingerprint
        return self.on.fingerprint or {}

    def self_test(self) -> dict[str, Any]:
        """Load the candidate there and have it answer one batch; the answer is what computes.

        Raises:
            Fails: the board's runtime, which runs the golden bundle, does not take it, or its answers are no numbers.
        """
        return self.stage("self-test", lambda: self._tried(golden.KNOWN).facts)

    def answer(self) -> Answers:
        """Have the candidate answer all regions."""
        self.found.answers = self.stage("accuracy", self._tried)
        return self.found.answers

    def agree(self) -> Agreement:
        """Hold the answers against the emulated lane's."""
        self.stage("agreement", lambda: None)
        answers = self.found.answers or self.answer()
        try:
            self.found.agreement = agreement(self.subject, self.target, answers.logits, self.on.board.name)
        except InputError as error:  # the board is well: what is behind this is measured all the same
            self.found.not_measured["agreement"] = str(error)
            raise Unmeasured(str(error)) from error
        return self.found.agreement

    def speed(self) -> Speed:
        """Frames a second of the whole program with each number of regions; with a base, by turns with it. Once."""
        self.found.speed = self.found.speed or self.stage("speed", self._speed)
        return self.found.speed

    def power(self) -> dict[str, Any]:
        """Watts at rest and at work, as a board's record has them."""
        self.found.power = self.stage("power", self._power)
        return self.found.power

    def _tried(self, most: int | None = None) -> Answers:
        try:
            answers = self._twice(lambda: self._ask(self.subject, most))
        except (InputError, Died) as error:  # where the golden bundle runs
            self.found.fails = str(error)
            self.stop("self-test", str(error))
            raise Fails(str(error)) from error
        if not np.isfinite(answers.logits).any():
            self.found.fails = f"{self.on.board.name}: its answers are no numbers"
            self.stop("self-test", self.found.fails)
            raise Fails(self.found.fails)
        return answers

    def _twice(self, work: Callable[[], _T]) -> _T:
        try:
            return work()
        except Died:
            return work()

    def _kit(self, subject: Subject) -> Kit:
        return Kit(self.on.access, subject.code)

    def _ask(self, subject: Subject, most: int | None = None) -> Answers:
        kit = self._kit(subject)
        return ask(kit, kit.bundle(subject.download), subject.regions[:most], self.target)

    def _speed(self) -> Speed:
        full = self.target.objective.regions_per_frame
        found = self._looped(self.subject, sorted({*REGIONS, full}))
        rounds = []
        if self.base is not None:
            for number in range(ROUNDS):
                turns = [self.base, self.subject] if number % 2 == 0 else [self.subject, self.base]
                fps = {id(one): self._looped(one, [full]).loops[full].fps for one in turns}
                base, head = fps[id(self.base)], fps[id(self.subject)]
                if base is None or head is None:
                    raise Unmeasured(f"{self.on.board.name}: a round of base and head came to no frames a second")
                rounds.append((base, head))
        return Speed(found.loops, found.health, rounds)

    def _looped(self, subject: Subject, regions: Sequence[int]) -> Speed:
        kit, meter = self._kit(subject), self.on.board.power
        options = {
            **self._work(kit, subject),
            "seconds": self.seconds,
            "meter": meter.sampler,
            "rail": meter.rails,
        }
        budget_s = LOAD_S + len(regions) * (self.seconds + 60)
        command = kit.ask("speed", {**options, "regions": tuple(regions)}, budget_s, also=[3])
        self._unthrottled(command)
        if missing := [f"regions_{n}" for n in regions if str(n) not in command["loop"]]:
            why = command["not_measured"].get(missing[0], f"the program says nothing of {missing[0]}")
            raise Unmeasured(f"{self.on.board.name}: {why}")
        self.found.not_measured.update(command["not_measured"])
        loops = {int(n): loop_figures.from_json(json.dumps(figures)) for n, figures in command["loop"].items()}
        return Speed(loops, {moment: command[moment] for moment in ("before", "during", "after")})

    def _power(self) -> dict[str, Any]:
        seconds = self.power_seconds if self.on.board.measures else min(CHAIN_S, self.power_seconds)
        kit, meter = self._kit(self.subject), self.on.board.power
        options = {
            **self._work(kit, self.subject),
            "meter": meter.sampler,
            "rail": meter.rails,
            "idle": min(10.0, seconds),
            "seconds": seconds,
        }
        found = kit.ask("watts", options, LOAD_S + 3 * seconds + 60, also=[3])
        if not self.on.board.measures:
            self.found.not_measured["power"] = "the rails of an emulated board are recorded ones"
            return {}
        self._unthrottled(found)
        self.found.not_measured.update(found["not_measured"])
        if found["power"] is None:
            raise Unmeasured(f"{self.on.board.name}: {found['not_measured'].get('power', 'no power was read')}")
        power: dict[str, Any] = found["power"]
        return power

    def _work(self, kit: Kit, subject: Subject) -> dict[str, Any]:
        if not self._clip.is_file():
            raise Missing(f"{self._clip} not found: run `edgeproof data fetch`")
        return {
            "bundle": f"../{kit.bundle(subject.download)}",
            "source": f"../{kit.file(self._clip)}",
            **computes(self.target),
            "root": self.on.access.root,
        }

    def _unthrottled(self, seen: Mapping[str, Any]) -> None:
        signs = [sign for moment in ("before", "during", "after") for sign in seen[moment].get("signs", ())]
        if signs and any(seen[moment].get("throttled") for moment in ("before", "during", "after")):
            raise Throttled(f"{self.on.board.name} is throttled: {'; '.join(dict.fromkeys(signs))}")
