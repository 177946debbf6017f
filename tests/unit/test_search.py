"""What a search proposes, whom it lets go on, and what it believes of its own records."""

import json
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
import yaml
from click.testing import CliRunner

from pipeline.cli import cli
from pipeline.compress.recipe import Recipe
from pipeline.compress.steps.prune import Prune
from pipeline.compress.steps.quantize import Quantize
from pipeline.compress.steps.resize import Resize
from pipeline.compress.steps.retrain import Retrain
from pipeline.data.dataset import Dataset
from pipeline.project import layout
from pipeline.project.candidate import Candidate
from pipeline.project.params import Params, load_params
from pipeline.records.gates import Gates, judge_result
from pipeline.records.predictions import Prediction
from pipeline.records.results import Accuracies, Accuracy, Result
from pipeline.records.targets import Target, load_target, target_names
from pipeline.search import halving, run, space, trial
from pipeline.search.halving import Entry, survivors
from pipeline.search.trial import Record
from pipeline.system.errors import InputError

TARGET = load_target("atom-x5-e3940")
OBJECTIVE = TARGET.objective.frames_per_s


def prediction(rate: float) -> Prediction:
    return Prediction(
        target=TARGET.name, precision="int8", batch=4, inferences_per_s=4 * rate, frames_per_s=rate, latency_ms=1,
        power_w=None, power_basis="not predicted", error_percent=5, power_error_percent=None, notes=(),
    )  # fmt: skip


def result(correct: int, rate: float | None, size: int = 100) -> Result:
    predicted = prediction(rate) if rate else None
    target = Accuracy(correct=correct, n=100)
    return Result(
        model="lenet-5", method="m", target=TARGET.name, lane="emulated", precision="int8",
        accuracy=Accuracies(target=target), predicted=predicted, download_bytes=size,
    )  # fmt: skip


def entry(number: int, correct: int, rate: float | None = OBJECTIVE, size: int = 100) -> Entry:
    point = space.Point(model="lenet-5", speed=1.0, learning_rate=0.001, distill=0.5)
    recipe = point.recipe(TARGET, load_params(), 0)
    record = Record(id=str(number), result=result(correct, rate, size), seconds={})
    return Entry(number, point, 0, Candidate("lenet-5", str(number), recipe, layout.SEARCH), record, TARGET)


def finish(one: Candidate, target: Target, correct: int) -> Path:
    """Write the record that an evaluation would."""
    path = layout.trial_record(target.name, one.method)
    path.parent.mkdir(parents=True, exist_ok=True)
    record = Record(id=one.method, result=result(correct, OBJECTIVE), seconds={"compress": 1.0})
    path.write_text(record.model_dump_json())
    return path


@pytest.mark.parametrize("name", target_names())
def test_only_valid_recipes_are_proposed_for_every_target(project: Path, name: str) -> None:
    params, target = load_params(), load_target(name)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    seen = set()
    for _ in range(20):
        point = space.propose(study.ask(), target, params)
        for rung in space.RUNGS:
            recipe = point.recipe(target, params, rung)
            written = {"recipes": {"searched": recipe.as_yaml()}, "methods": ["searched"], "targets": [name]}
            assert Params.model_validate({**params.model_dump(), **written}).recipe("searched") == recipe
            assert target.refusal(recipe.precision) is None
            retrained = [step for step in recipe.steps if isinstance(step, Retrain)]
            assert len(retrained) == (0 if rung == 0 else 1 + point.aware)
            seen.add(json.dumps(recipe.as_yaml()))
    assert len(seen) > 40


def test_pruning_aims_at_the_speed_or_at_a_share_where_nobody_can_predict_it(project: Path) -> None:
    params = load_params()
    point = space.Point(model="lenet-5", speed=1.2, learning_rate=0.001, distill=0.5)
    [prune, quantize] = point.recipe(TARGET, params, 0).steps
    assert isinstance(prune, Prune)
    assert (prune.target, prune.frames_per_s) == (TARGET.name, pytest.approx(1.2 * OBJECTIVE))
    assert isinstance(quantize, Quantize)
    assert quantize.target == TARGET.name
    unpredictable = load_target("tegra-parker-a57")
    assert space.propose(optuna.create_study().ask(), unpredictable, params).macs


def test_re_training_is_short_at_first_and_shortest_in_8_bits(project: Path) -> None:
    params = load_params()
    point = space.Point(model="lenet-5", speed=1.0, learning_rate=0.001, distill=0.5, aware=True)
    lengths = [
        [step.epochs for step in point.recipe(TARGET, params, rung).steps if isinstance(step, Retrain)]
        for rung in space.RUNGS
    ]
    whole = params.train.epochs
    assert lengths == [[], [-(-whole // 2), -(-whole // 8)], [2 * whole, -(-whole // 2)]]


def test_models_that_take_any_size_are_tried_on_fewer_pixels(edit_params: Callable[..., None]) -> None:
    edit_params(models=["lenet-5", "mobilenet-v2"])
    params, study = load_params(), optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    points = [space.propose(study.ask(), TARGET, params) for _ in range(40)]
    assert {point.size for point in points if point.model == "lenet-5"} == {None}
    assert {point.size for point in points if point.model == "mobilenet-v2"} == {None, 192, 160, 128}
    smaller = next(point for point in points if point.size == 160)
    resize, prune = smaller.recipe(TARGET, params, 0).steps[:2]
    assert isinstance(resize, Resize)
    assert resize.size == 160
    assert isinstance(prune, Prune)  # which changes nothing where this is fast enough


def test_the_plan_is_the_same_every_time_and_depends_on_the_seed(ready: tuple[Params, Dataset]) -> None:
    params, data = ready
    plans = [[one.trial.method for one in halving.bracket(TARGET, params, data, 8).pending] for _ in range(2)]
    assert plans[0] == plans[1]
    other = params.model_copy(update={"seed": 1})
    assert [one.trial.method for one in halving.bracket(TARGET, other, data, 8).pending] != plans[0]


def test_rounds_narrow_down_to_a_best_one(ready: tuple[Params, Dataset]) -> None:
    params, data = ready
    sizes = []
    while (found := halving.bracket(TARGET, params, data, 10)).pending:
        sizes.append(len(found.rounds[-1]))
        for one in found.pending:
            finish(one.trial, TARGET, 50 + one.number)
    assert sizes == [5, 5, 4, 2]
    assert found.best is not None
    assert found.best.rung == 2
    assert found.best.number == max(one.number for one in found.rounds[-1])
    # GitHub makes as many, one after the other.
    workflow = yaml.safe_load((Path(__file__).parents[2] / ".github/workflows/search.yml").read_text())
    names = [name for name, job in workflow["jobs"].items() if "search-round.yml" in job.get("uses", "")]
    assert len(names) == len(found.rounds)
    needs = {name: workflow["jobs"][name]["needs"] for name in [*names, "report"]}
    assert needs == dict(zip([*names, "report"], ["parents", *names], strict=True))


def test_what_the_first_half_shows_decides_the_second(ready: tuple[Params, Dataset]) -> None:
    params, data = ready
    proposals = []
    for favoured in (4, 6):
        first = halving.bracket(TARGET, params, data, 24)
        for one in first.rounds[0]:
            finish(one.trial, TARGET, 90 if one.point.cluster_bits == favoured else 10)
        second = halving.bracket(TARGET, params, data, 24).rounds[1]
        proposals.append(sum(one.point.cluster_bits == favoured for one in second))
        assert proposals[-1] > sum(one.point.cluster_bits == favoured for one in first.rounds[0])


def test_speed_comes_before_accuracy_and_size_breaks_ties(project: Path) -> None:
    slow, good, small, unknown = (
        entry(0, 99, rate=0.9 * OBJECTIVE), entry(1, 80), entry(2, 80, size=50), entry(3, 95, rate=None),
    )  # fmt: skip
    assert halving.rank([slow, good, small, unknown]) == [small, good, unknown, slow]
    assert survivors([slow, slow, slow]) == []
    assert survivors([slow, good, small, unknown]) == [small, good]


def test_a_missing_measurement_is_no_value(project: Path) -> None:
    one = entry(0, 90)
    assert one.record is not None
    assert one.record.result is not None
    unmeasured = one.record.result.model_copy(update={"accuracy": Accuracies()})
    for record in (
        one.record.model_copy(update={"result": unmeasured}),
        Record(id="0", failed="no such budget", seconds={}),
        None,
    ):
        without = Entry(0, one.point, 0, one.trial, record, TARGET)
        assert without.value is None
        assert halving.rank([without]) == []
        assert halving.Bracket([[without]]).best is None


@pytest.mark.parametrize("rate", [0.5 * OBJECTIVE, OBJECTIVE - 0.001, OBJECTIVE, 2 * OBJECTIVE])
def test_who_is_fast_enough_is_decided_as_for_any_other_candidate(project: Path, rate: float) -> None:
    one = entry(0, 80, rate)
    assert one.record is not None
    assert one.record.result is not None
    assert one.value is not None
    checks = judge_result(one.record.result, TARGET.objective, Gates(accuracy_drop_points=2.0)).checks
    [speed] = [check for check in checks if check.name == "frames_per_s"]
    assert (one.value >= 1) == (speed.verdict == "pass")
    assert one.value == pytest.approx(1.8 if rate >= OBJECTIVE else rate / OBJECTIVE - 1)


def test_a_trial_is_a_candidate_of_its_own(ready: tuple[Params, Dataset]) -> None:
    params, data = ready
    recipe = entry(0, 1).trial.recipe
    found = trial.identify("lenet-5", recipe, TARGET, params, data)
    assert (found.model, found.recipe, found.precision) == ("lenet-5", recipe, "int8")
    assert found.compressed == layout.SEARCH / "candidates" / "lenet-5" / found.method
    assert found.exported == layout.SEARCH / "export" / "lenet-5" / found.method


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-20]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"\xff\x00"),
        lambda path: path.write_text(path.read_text().replace('"correct":70', '"correct":170')),
        lambda path: path.write_text(path.read_text().replace(path.stem, "0" * 12)),
    ],
    ids=["cut", "empty", "bytes", "impossible", "another's"],
)
def test_a_damaged_record_is_none(ready: tuple[Params, Dataset], damage: Callable[[Path], object]) -> None:
    params, data = ready
    pending = halving.bracket(TARGET, params, data, 4).pending
    path = finish(pending[0].trial, TARGET, 70)
    assert halving.bracket(TARGET, params, data, 4).pending == pending[1:]
    damage(path)
    assert [one.trial.method for one in halving.bracket(TARGET, params, data, 4).pending] == [
        one.trial.method for one in pending
    ]


def test_records_of_another_parent_seed_or_target_are_not_taken(ready: tuple[Params, Dataset]) -> None:
    params, data = ready
    recipe = entry(0, 1).trial.recipe

    def identity(target: Target = TARGET, params: Params = params) -> str:
        return trial.identify("lenet-5", recipe, target, params, data).method

    before = identity()
    assert identity() == before
    assert identity(target=load_target("atom-x5-e3930")) != before
    assert identity(params=params.model_copy(update={"seed": 3})) != before
    layout.parent_weights("lenet-5").write_bytes(b"other weights")
    assert identity() != before


def test_what_changes_while_a_search_runs_is_not_taken_for_what_it_was(ready: tuple[Params, Dataset]) -> None:
    params, data = ready
    one = trial.identify("lenet-5", entry(0, 1).trial.recipe, TARGET, params, data)
    layout.parent_weights("lenet-5").write_bytes(b"other weights")
    with pytest.raises(InputError, match="changed while the search ran"):
        run._in_process(one, TARGET, params, keep=False)


def test_another_machine_refuses_what_would_come_to_something_else(ready: tuple[Params, Dataset]) -> None:
    _, data = ready
    models, here = ["lenet-5"], Path.cwd()
    wanted = trial.rests_on(TARGET, models, data)
    assert trial.refusal(TARGET.name, models, wanted) is None
    other = {**wanted, "code": "changed", "torch": "1.0"}
    assert trial.refusal(TARGET.name, models, other) == f"{here} has another version of: code, torch"
    layout.parent_logits("lenet-5", "val").write_bytes(b"answers")
    assert trial.refusal(TARGET.name, models, wanted) == f"{here} has another version of: parent of lenet-5"
    layout.parent_weights("lenet-5").unlink()
    assert "run `dvc repro train@lenet-5`" in str(trial.refusal(TARGET.name, models, wanted))
    (layout.DATASET / "samples.csv").unlink()
    assert str(trial.refusal(TARGET.name, models, wanted)).endswith(f"(in {here}, where it was started)")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--target", "atom-x5-e394"], "did you mean 'atom-x5-e3940'"),
        (["--target", "atom-x5-e3940"], "samples.csv"),
        (["--target", "atom-x5-e3940", "--plan", "--json", "x.json"], "--json goes with a whole search"),
        (["--target", "atom-x5-e3940", "--plan", "--workers", "tcp://x:1"], "--workers goes with a whole search"),
    ],
)
def test_bad_input_is_one_line(project: Path, arguments: list[str], complaint: str) -> None:
    answer = CliRunner().invoke(cli, ["search", *arguments])
    assert answer.exit_code == 2
    assert complaint in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


def test_an_unknown_trial_and_an_untrained_parent_are_one_line(ready: tuple[Params, Dataset]) -> None:
    answer = CliRunner().invoke(cli, ["search", "--target", TARGET.name, "--trial", "abc"])
    assert (answer.exit_code, len(answer.stderr.splitlines())) == (2, 1)
    assert "no trial 'abc' now" in answer.stderr
    layout.parent_weights("lenet-5").unlink()
    answer = CliRunner().invoke(cli, ["search", "--target", TARGET.name, "--plan"])
    assert (answer.exit_code, len(answer.stderr.splitlines())) == (2, 1)
    assert "dvc repro train@lenet-5" in answer.stderr


def test_what_a_killed_process_left_half_written_of_a_trial_goes_with_it(tmp_path: Path) -> None:
    one = Candidate("lenet-5", "906b790819ea", Recipe(steps=[]), tmp_path)
    halves = [folder.parent / f".{one.method}.5jb_ir5g" for folder in (one.compressed, one.exported)]
    other = one.compressed.parent / ".6bfdcdaf1d15.abcdefgh"
    for folder in (one.compressed, one.exported, *halves, other):
        folder.mkdir(parents=True)
    trial.clean(one)
    assert [path for path in tmp_path.rglob("*") if path.name.startswith((".", "9"))] == [other]
