"""Which trials there are, and who goes on: Optuna proposes, successive halving (Jamieson and Talwalkar 2016) narrows.

There is no state but the records. The study is built anew from them each time: a seeded sampler that is asked and told
in the same order proposes the same trials, on every machine.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.data.dataset import Dataset
from pipeline.project.candidate import Candidate
from pipeline.project.params import Params
from pipeline.records.gates import judge, measurement_of
from pipeline.records.targets import Target
from pipeline.search import space, trial
from pipeline.search.space import RUNGS
from pipeline.search.trial import Record

if TYPE_CHECKING:
    from optuna import Study

SURVIVORS = 3  # one of so many goes on to the next rung


@dataclass(frozen=True)
class Entry:
    """A proposal on one rung, with its record once it is evaluated. `number` counts the proposals."""

    number: int
    point: space.Point
    rung: int
    trial: Candidate
    record: Record | None
    target: Target

    @property
    def value(self) -> float | None:
        """What is to be as high as can be; None when there is no measurement.

        Accuracy on the target (0 to 1) of what meets the predicted speed is 1 to 2, of what has no prediction 0 to 1;
        what misses the speed is below zero, by the share that is missing.
        """
        result = self.record.result if self.record else None
        if result is None or result.accuracy.target is None:
            return None
        accuracy = result.accuracy.target.percent / 100
        wanted = self.target.objective
        [speed] = judge(measurement_of(result, wanted), {"frames_per_s": wanted.frames_per_s})
        if speed.value is None:
            return accuracy
        return 1 + accuracy if speed.verdict == "pass" else speed.value / speed.limit - 1

    @property
    def order(self) -> tuple[float, int, int]:
        """The best comes first: by value, then by the smaller download, then by the earlier proposal."""
        value, result = self.value, self.record.result if self.record else None
        assert value is not None
        assert result is not None
        assert result.download_bytes is not None  # the re-test records it
        return -value, result.download_bytes, self.number


@dataclass(frozen=True)
class Bracket:
    """All rounds so far, each a list of entries; only the last one can have entries without a record."""

    rounds: list[list[Entry]]

    @property
    def pending(self) -> list[Entry]:
        """What has to be evaluated now; trials that differ only in what comes later are one. Empty: all is done."""
        missing = {entry.trial.method: entry for entry in self.rounds[-1] if entry.record is None}
        return list(missing.values())

    @property
    def finalists(self) -> list[Entry]:
        """Those of the highest rung that anybody came through, the best first."""
        return next(filter(None, map(rank, reversed(self.rounds))), [])

    @property
    def best(self) -> Entry | None:
        """The first of them."""
        return next(iter(self.finalists), None)


def rank(entries: list[Entry]) -> list[Entry]:
    """Those with a measurement, the best first."""
    return sorted((entry for entry in entries if entry.value is not None), key=lambda entry: entry.order)


def bracket(target: Target, params: Params, dataset: Dataset, trials: int) -> Bracket:
    """All that follows from the records that are there.

    Raises:
        InputError: a parent is not trained yet.
    """

    def entry(number: int, point: space.Point, rung: int) -> Entry:
        recipe = point.recipe(target, params, rung)
        found = trial.identify(point.model, recipe, target, params, dataset)
        return Entry(number, point, rung, found, trial.read(found, target), target)

    rounds: list[list[Entry]] = []
    batches = [-(-trials // 2), trials // 2]
    study = _study(params.seed, batches[0])
    for batch in filter(None, batches):
        asked = [study.ask() for _ in range(batch)]
        rounds.append([entry(one.number, space.propose(one, target, params), RUNGS[0]) for one in asked])
        if Bracket(rounds).pending:
            return Bracket(rounds)
        _tell(study, rounds[-1])
    for rung in RUNGS[1:]:
        going_on = survivors([one for entries in rounds if entries[0].rung == rung - 1 for one in entries])
        if not going_on:
            break
        rounds.append([entry(one.number, one.point, rung) for one in going_on])
        if Bracket(rounds).pending:
            break
    return Bracket(rounds)


def survivors(entries: list[Entry]) -> list[Entry]:
    """The best third of a rung, at least one; re-training makes nobody faster, so who misses the speed stays behind."""
    ranked = [entry for entry in rank(entries) if entry.value is not None and entry.value >= 0]
    return ranked[: -(-len(entries) // SURVIVORS)]


def _study(seed: int, at_random: int) -> "Study":
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=at_random, constant_liar=True)
    return optuna.create_study(direction="maximize", sampler=sampler)


def _tell(study: "Study", entries: list[Entry]) -> None:
    from optuna.trial import TrialState

    for entry in entries:
        study.tell(entry.number, entry.value, TrialState.FAIL if entry.value is None else None)
