"""Compression of networks fine-tuned on Market-1501, under the arithmetic of the Atom and of Parker's two modes.

Trains for hours on two cores, so it keeps its project in .benchmarks/market1501 and goes on there when it is started
again. The images are research data and not part of the project: MARKET1501 names a folder with a manifest.csv
(`file,class,split`), by default ../shared/data/market1501.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import yaml
from click.testing import CliRunner
from torch import nn

import models
from pipeline.cli import cli
from pipeline.data.batches import Regions
from pipeline.data.dataset import open_dataset
from pipeline.formats.from_torch import to_onnx
from pipeline.predict import predict
from pipeline.project import layout
from pipeline.project.candidate import Candidate, candidate
from pipeline.project.params import load_params
from pipeline.records.gates import judge_result
from pipeline.records.results import read_result
from pipeline.records.targets import load_target
from pipeline.train.parent import load_parent
from tests.benchmarks.peers import OURS, PEERS, compare, int8_of_all, table

REPOSITORY = Path(__file__).resolve().parents[2]
MARKET1501 = Path(os.environ.get("MARKET1501", REPOSITORY / "../shared/data/market1501")).resolve()
PROJECT = REPOSITORY / ".benchmarks" / "market1501"
ATOM = load_target("atom-x5-e3940")

BUDGET = {"epochs": 2, "batch": 32, "learning_rate": 0.0001, "samples_per_epoch": 640}
INT8: dict[str, Any] = {"quantize": {"calibration_samples": 128, "target": ATOM.name}}
PLAIN_INT8: dict[str, Any] = {"quantize": {"calibration_samples": 128}}
# Slower than in params.yaml, so that more stays of what ImageNet taught: the test is of people never seen in training.
LONG = {"epochs": 3, "batch": 32, "learning_rate": 0.0003, "samples_per_epoch": 1920, "distill": 0.5}
# With a third of the pixels, it learns what its parent makes of them rather than the labels of the few it is shown.
LONGER = {**LONG, "epochs": 6, "distill": 0.9}
SHARED: dict[str, Any] = {"cluster": {"bits": 5}}
RECOVER, RECOVER_LONGER = {**BUDGET, "epochs": 1, "distill": 0.5}, {**LONG, "epochs": 2}
RECOVER_GENTLY = {**RECOVER_LONGER, "learning_rate": 0.0001, "distill": 0.9}


def small(target: str, size: int, training: dict[str, Any]) -> list[Any]:
    """Nearly small enough by its pixels (the images have 64x128), pruned for the rest, and re-trained."""
    return [{"resize": {"size": size}}, {"prune": {"target": target}}, {"retrain": training}]


PARAMS = {
    "seed": 0,
    "models": ["efficientnet-lite0", "mobilenet-v2"],
    "methods": ["int8-qat"],
    "targets": [ATOM.name],
    "split": {"train": [0, 1], "val": [2, 3], "test": [4, 5]},
    "train": {
        "epochs": 5, "batch": 32, "learning_rate": 0.001, "samples_per_epoch": 1920, "freeze": 0.2
    },
    "recipes": {
        "int8-qat": [INT8, {"retrain": {**BUDGET, "distill": 0.7}}],
        "plain-qat": [PLAIN_INT8, {"retrain": {**BUDGET, "distill": 0.0}}],
        "small-int8": [*small(ATOM.name, 192, LONG), INT8, SHARED, {"retrain": RECOVER}],
        "small-maxp": [*small("jetson-tx2-maxp", 192, LONG), SHARED, {"retrain": RECOVER_LONGER}, "fp16"],
        "small-maxq": [*small("jetson-tx2-maxq", 120, LONGER), SHARED, {"retrain": RECOVER_GENTLY}, "fp16"],
    },
    "gates": {"accuracy_drop_points": 1.0},
}  # fmt: skip

CANDIDATES = [
    ("mobilenet-v2", "small-int8", ATOM.name),
    ("mobilenet-v2", "small-maxp", "jetson-tx2-maxp"),
    ("mobilenet-v2", "small-maxq", "jetson-tx2-maxq"),
]
LUCK = 0.05  # what is more likely than this by luck alone counts as no difference


@pytest.fixture(scope="module")
def project() -> Path:
    """The project folder with its data imported and cut."""
    if not MARKET1501.exists():
        pytest.skip(
            f"{MARKET1501} not found: it may not be passed on; set MARKET1501 to your copy, with a manifest.csv"
        )
    PROJECT.mkdir(parents=True, exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(PROJECT)
        (PROJECT / "params.yaml").write_text(yaml.safe_dump(PARAMS))
        if not layout.DATASET.exists():
            run("data", "import", str(MARKET1501 / "manifest.csv"))
            run("stage", "dataset")
        yield PROJECT  # type: ignore[misc]


def run(*arguments: str) -> None:
    answer = CliRunner().invoke(cli, list(arguments), catch_exceptions=False)
    assert answer.exit_code == 0, answer.output


def once(done: Path, *arguments: str) -> None:
    """Run `edgeproof ARGUMENTS` where its outcome is not there from an earlier start of this benchmark."""
    if not done.exists():
        run(*arguments)


def candidate_of(model: str, method: str) -> Candidate:
    return candidate(model, method, load_params())


def graph_of(model: str, method: str) -> Path:
    """The candidate's ONNX file."""
    once(layout.parent(model), "stage", "train", model)
    once(candidate_of(model, method).compressed, "stage", "compress", model, method)
    return candidate_of(model, method).graph


@pytest.mark.filterwarnings("ignore")
def test_int8_and_retrained_int8_beside_their_peers(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = "mobilenet-v2"
    once(layout.parent(model), "stage", "train", model)
    params, dataset, spec = load_params(), open_dataset(layout.DATASET), models.spec(model)
    graph = to_onnx(parent_network(model), spec)
    calibration, test = Regions(dataset, spec, "train", 128, params.seed), Regions(dataset, spec, "test")
    made: dict[str, Callable[[], onnx.ModelProto]] = int8_of_all(graph, calibration, ATOM, tmp_path)
    made["plain re-training"] = lambda: onnx.load(graph_of(model, "plain-qat"))
    made["edgeproof, int8-qat"] = lambda: onnx.load(graph_of(model, "int8-qat"))
    rows = compare(made, test, test.labels, ATOM, tmp_path)
    ours, plain, aware = rows[OURS], rows["plain re-training"], rows["edgeproof, int8-qat"]
    with capsys.disabled():
        print(table(rows))
        gain = aware.target_percent - plain.target_percent
        better, worse = plain.chance_worse_than(aware), aware.chance_worse_than(plain)
        print(f"distilled, target-aware re-training minus plain re-training of the same budget: {gain:+.2f} points")
        print(f"as much better by luck alone: {better:.3f}; as much worse: {worse:.3f}")
    assert all(ours.chance_worse_than(rows[name]) > LUCK for name in PEERS)
    assert worse > LUCK


@pytest.mark.parametrize(("model", "method", "target"), CANDIDATES)
def test_a_candidate_meets_the_objective(
    project: Path, model: str, method: str, target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path, profile = graph_of(model, method), load_target(target)
    once(candidate_of(model, method).exported, "stage", "export", model, method)
    once(layout.result("emulated", model, method, target), "stage", "retest", model, method, target)
    result, parent = read_result(layout.result("emulated", model, method, target)), parent_percent()
    watts = predict(path, profile, result.precision, profile.objective.regions_per_frame).power_w
    assert result.accuracy.target is not None
    assert result.predicted is not None
    assert result.download_bytes is not None
    assert watts is not None
    with capsys.disabled():
        print(
            f"\n{model} by {method} for {target}: {result.accuracy.target.percent:.2f} % on the target (FP32 "
            f"EfficientNet-Lite0: {parent:.2f} %); predicted {result.predicted.inferences_per_s:.0f} regions/s and "
            f"{watts:.1f} W; download {parent_bytes() / result.download_bytes:.1f} times smaller"
        )
    gates = load_params().gates.model_copy(update={"accept_unaudited": True})
    assert judge_result(result, profile.objective, gates).verdict == "pass"
    assert watts <= profile.objective.power_w
    assert result.accuracy.target.percent >= parent - 1
    assert parent_bytes() >= 10 * result.download_bytes


def parent_network(model: str) -> nn.Module:
    """The trained FP32 network."""
    classes = len(open_dataset(layout.DATASET).classes)
    return load_parent(layout.parent_weights(model), model, classes, load_params().width)


def parent_percent() -> float:
    """Test accuracy of the FP32 EfficientNet-Lite0 that all candidates are held against."""
    once(layout.parent("efficientnet-lite0"), "train", "efficientnet-lite0")
    metrics = json.loads((layout.parent("efficientnet-lite0") / "metrics.json").read_text())
    return float(metrics["test_accuracy_percent"])


def parent_bytes() -> int:
    """Size of that parent as an ONNX file."""
    return len(to_onnx(parent_network("efficientnet-lite0"), models.spec("efficientnet-lite0")).SerializeToString())
