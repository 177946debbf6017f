"""The same recipes from other seeds: every training once, and what they come to."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from pipeline.cli import cli
from pipeline.project import layout
from pipeline.project.params import load_params
from pipeline.records.gates import Gates, judge_result
from pipeline.records.paired import Paired
from pipeline.records.results import Accuracies, Accuracy, Result
from pipeline.records.targets import load_target
from pipeline.repeat import machines, spread, trainings
from pipeline.repeat.trainings import Training
from pipeline.system.errors import InputError
from tests.conftest import TINY_PARAMS

TARGET = load_target("atom-x5-e3940")


def training(seed: int, cloud: int, target: int | None) -> Training:
    """On 100 samples, of which the parent gets 95 right."""
    result = Result(
        model="lenet-5",
        method="int8",
        target=TARGET.name,
        lane="emulated",
        precision="int8",
        grade="exact",
        accuracy=Accuracies(
            fp32=Accuracy(correct=95, n=100),
            cloud=Accuracy(correct=cloud, n=100),
            target=None if target is None else Accuracy(correct=target, n=100),
        ),
        paired=None if target is None else Paired(lost=max(95 - target, 0), won=max(target - 95, 0), n=100),
    )
    judged = judge_result(result, TARGET.objective, Gates(accuracy_drop_points=2))
    return Training(seed, "int8", TARGET.name, "AVX2", judged)


def test_spread_counts_what_holds_and_what_a_cloud_would_let_through() -> None:
    found = [training(0, 95, 94), training(1, 94, 90), training(2, 90, 89), training(3, 95, None)]
    [one] = spread.spreads(found, 2.0)
    assert (one.trainings, one.within, one.caught) == (4, 1, 1)
    assert one.mean_accuracy_percent == pytest.approx(91)
    assert (one.least_drop_points, one.most_drop_points) == (pytest.approx(1), pytest.approx(6))
    assert "1 of 4 keep the limit of 2 points; 1 pass in the cloud and break it" in spread.sentence(one, 2.0)
    assert "of which none was measured" in spread.sentence(spread.spreads(found[3:], 2.0)[0], 2.0)


def test_one_failing_training_is_enough_not_to_pass() -> None:
    found = spread.spreads([training(0, 95, 95), training(1, 95, 80)], 2.0)
    assert spread.verdict(found) == "fail"


@pytest.mark.nightly
def test_every_seed_is_trained_once_and_a_changed_recipe_leaves_the_parents(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(TINY_PARAMS))
    layout.ARTIFACTS.mkdir()
    layout.DATASET.symlink_to(prepared / layout.DATASET)
    done: list[tuple[str, ...]] = []
    run = trainings._Project.run

    def watched(project: Any, *stage: str) -> None:
        done.append((project.machine, str(project.seed), *stage[:2]))
        run(project, *stage)

    monkeypatch.setattr(trainings._Project, "run", watched)

    def repeat(*options: str) -> str:
        done.clear()
        outcome = CliRunner().invoke(cli, ["repeat", "int8", "--seeds", "1", "--json", "all.json", *options])
        assert outcome.exit_code in (0, 1, 3), outcome.output
        return outcome.output

    printed = repeat()
    assert [words[2] for words in done] == ["train", "resolve", "compress", "export", "retest"]
    assert "1 training:" in printed
    assert (layout.REPEAT / "report.md").read_text().count("| 0 |") == 1
    record = json.loads(Path("all.json").read_text())
    assert [one["seed"] for one in record["trainings"]] == [0]
    assert record["spreads"][0]["trainings"] == 1
    assert repeat() == printed
    assert done == []
    recipes = {**TINY_PARAMS["recipes"], "int8": []}  # type: ignore[dict-item]
    Path("params.yaml").write_text(yaml.safe_dump({**TINY_PARAMS, "recipes": recipes}))
    repeat()
    assert [words[2] for words in done] == ["resolve", "compress", "export", "retest"]
    this = machines.arithmetic("this")
    other = next(name for name in ("sse41", "avx2") if machines.arithmetic(name) != this)
    both = repeat("--machine", "this", "--machine", other)
    assert [words[0] for words in done] == [other] * 5
    assert "2 trainings:" in both
    arithmetics = [one["arithmetic"] for one in json.loads(Path("all.json").read_text())["trainings"]]
    assert arithmetics == [this, machines.arithmetic(other)]


def test_an_unknown_machine_is_one_line_with_those_that_there_are(project: Path) -> None:
    with pytest.raises(InputError, match="no machine 'avx3': there are this, avx2, sse41"):
        trainings.repeat(load_params(), ["int8"], 1, ["avx3"])


def test_without_a_data_set_there_is_one_line(project: Path) -> None:
    with pytest.raises(Exception, match="run `dvc repro dataset`"):
        trainings.repeat(load_params(), ["int8"], 1)


@pytest.mark.parametrize("package", ["onnxruntime", "torch", "torch-pruning"])
def test_another_version_of_what_decides_an_outcome_is_another_training(
    project: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    layout.DATASET.mkdir(parents=True)

    def folder(version: str) -> Path:
        given = {package: version}
        monkeypatch.setattr(trainings, "versions", lambda *names: {name: given.get(name, "1") for name in names})
        return trainings._prepare(load_params(), 0, {}, "this", "AVX2").folder

    monkeypatch.setattr(trainings.code, "identity", lambda *stages: "code")
    assert folder("1") == folder("1") != folder("2")
