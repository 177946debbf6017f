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
from pipeline.search import trial, workers
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


def search(target_name: str, trials: int) -> Outcome:
    """Search to the end, from wherever the records are.

    Raises:
        InputError: unknown target, a parent or the data set is missing, or a process was killed.
    """
    start = time.monotonic()
    target, params, dataset = _open(target_name)
    with workers.Workers(layout.search(target.name) / "log.txt") as at_work:
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
                keep = entry.rung == RUNGS[-1]
                return entry.record or trial.evaluate(entry.trial, target, params, dataset, keep=keep)
    raise InputError(f"no trial {wanted!r} now: `edgeproof search --target {target_name} --plan` lists them")


def _evaluate_all(at_work: workers.Workers, found: Bracket, target: Target, params: Params) -> None:
    entries = found.rounds[-1]
    rung = entries[0].rung
    jobs = [(entry.trial, target, params, rung == RUNGS[-1]) for entry in found.pending]
    # As many processes as the whole round takes, so that a search that goes on calculates with as many threads.
    at_once = len({entry.trial.method for entry in entries})
    at_work.run(_in_process, jobs, at_once, f"round {len(found.rounds)}: {DOES[rung]}")


def _second(found: Bracket, dataset: Dataset) -> tuple[Entry, Paired] | None:
    results = [entry.record.result for entry in found.finalists[:2] if entry.record]
    if len(results) < 2:
        return None
    labels = dataset.labels("val")
    first, second = (np.array(result.predictions) == labels for result in results if result)
    return found.finalists[1], paired(first, second, dataset.groups("val"))


def _in_process(one: Candidate, target: Target, params: Params, keep: bool) -> None:
    trial.evaluate(one, target, params, open_dataset(layout.DATASET), keep=keep)


def _open(target_name: str) -> tuple[Target, Params, Dataset]:
    return load_target(target_name), load_params(), open_dataset(layout.DATASET)
