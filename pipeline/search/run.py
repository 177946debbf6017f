"""The search itself, whole or split: evaluate what is pending, until nothing is, then re-test the winner."""

import time
from dataclasses import dataclass

import numpy as np

from pipeline.data.dataset import Dataset, open_dataset
from pipeline.project import layout
from pipeline.project.candidate import Candidate
from pipeline.project.params import Params, load_params
from pipeline.records.gates import Judgement, judge_result
from pipeline.records.paired import Paired, paired
from pipeline.records.targets import Target, load_target
from pipeline.search import remote, trial, workers
from pipeline.search.halving import Bracket, Entry, bracket
from pipeline.search.space import RUNGS
from pipeline.system.errors import InputError

DOES = ("compress and re-test", "re-train a little", "re-train fully")


@dataclass(frozen=True)
class Outcome:
    """A finished search; `winner` is judged on the test split, and None when no trial came to a measurement.

    `second` is who came next, with what it lost against the winner on the validation split that they were chosen by.
    """

    target: Target
    params: Params
    bracket: Bracket
    winner: tuple[Entry, Judgement] | None
    wall_s: float
    second: tuple[Entry, Paired] | None = None


def search(target_name: str, trials: int, scheduler: str | None = None) -> Outcome:
    """Search to the end, from wherever the records are; on the workers of a Dask `scheduler`, or on this machine.

    Raises:
        InputError: unknown target, a parent or the data set is missing, a process was killed, or there are no workers.
    """
    start = time.monotonic()
    target, params, dataset = _open(target_name)
    with _workers(scheduler, target, params, dataset) as at_work:
        while (found := bracket(target, params, dataset, trials)).pending:
            _evaluate_all(at_work, found, target, params)
    winner = None
    if best := found.best:
        for entry in (
            entry for entries in found.rounds for entry in entries if entry.trial.method != best.trial.method
        ):
            trial.clean(entry.trial)
        tested = trial.test(best.trial, target, params, dataset)
        winner = best, judge_result(tested, target.objective, params.gates)
    return Outcome(target, params, found, winner, time.monotonic() - start, _second(found, dataset))


def pending(target_name: str, trials: int) -> list[dict[str, str]]:
    """The trials to evaluate now, as matrix entries for GitHub Actions; empty when only the report is left.

    Raises:
        InputError: unknown target, or a parent or the data set is missing.
    """
    target, params, dataset = _open(target_name)
    entries = bracket(target, params, dataset, trials).pending
    return [{"trial": entry.trial.method, "model": entry.trial.model} for entry in entries]


def evaluate(target_name: str, trials: int, wanted: str) -> trial.Record:
    """Evaluate one of the trials that there are now; one that is finished is only read.

    Raises:
        InputError: unknown target, a parent or the data set is missing, or there is no such trial.
    """
    target, params, dataset = _open(target_name)
    for entries in bracket(target, params, dataset, trials).rounds:
        for entry in entries:
            if entry.trial.method == wanted:
                if entry.record:
                    return entry.record
                record = trial.evaluate(entry.trial, target, params, dataset, keep=entry.rung == RUNGS[-1])
                trial.write(record, target)
                return record
    raise InputError(f"no trial {wanted!r} now: `edgeproof search --target {target_name} --plan` lists them")


def _workers(
    scheduler: str | None, target: Target, params: Params, dataset: Dataset
) -> workers.Workers | remote.Cluster:
    log = layout.search(target.name) / "log.txt"
    if scheduler is None:
        return workers.Workers(log)
    wanted = trial.rests_on(target, params.models, dataset)
    return remote.Cluster(scheduler, log, trial.refusal, (target.name, params.models, wanted))


def _evaluate_all(at_work: workers.Workers | remote.Cluster, found: Bracket, target: Target, params: Params) -> None:
    entries = found.rounds[-1]
    rung = entries[0].rung
    jobs = [(entry.trial, target, params, rung == RUNGS[-1]) for entry in found.pending]
    # As many processes as the whole round takes, so that a search that goes on calculates with as many threads.
    at_once = len({entry.trial.method for entry in entries})
    for record in at_work.run(_in_process, jobs, at_once, f"round {len(found.rounds)}: {DOES[rung]}"):
        trial.write(record, target)


def _second(found: Bracket, dataset: Dataset) -> tuple[Entry, Paired] | None:
    results = [entry.record.result for entry in found.finalists[:2] if entry.record]
    if len(results) < 2:
        return None
    labels = dataset.labels("val")
    first, second = (np.array(result.predictions) == labels for result in results if result)
    return found.finalists[1], paired(first, second, dataset.groups("val"))


def _in_process(one: Candidate, target: Target, params: Params, keep: bool) -> trial.Record:
    dataset = open_dataset(layout.DATASET)
    # This process has read the files as they are now; what it finds must not go under the name of what they were.
    if trial.identify(one.model, one.recipe, load_target(target.name), params, dataset) != one:
        raise InputError("code, data, a parent or the target changed while the search ran; run it again")
    return trial.evaluate(one, target, params, dataset, keep=keep)


def _open(target_name: str) -> tuple[Target, Params, Dataset]:
    return load_target(target_name), load_params(), open_dataset(layout.DATASET)
