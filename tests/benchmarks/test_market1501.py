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

import numpy as np
import onnx
import pytest
import yaml
from click.testing import CliRunner

import models
from pipeline import layout
from pipeline.cli import cli
from pipeline.config import load_params
from pipeline.dataset import open_dataset
from pipeline.export import to_onnx
from pipeline.gates import judge
from pipeline.regions import Regions
from pipeline.results import Result, read_result
from pipeline.targets import load_target
from pipeline.train import load_parent
from tests.benchmarks.peers import OURS, PEERS, compare, int8_of_all, table

REPOSITORY = Path(__file__).resolve().parents[2]
MARKET1501 = Path(os.environ.get("MARKET1501", REPOSITORY / "../shared/data/market1501")).resolve()
PROJECT = REPOSITORY / ".benchmarks" / "market1501"
ATOM = load_target("atom-x5-e3940")

BUDGET = {"epochs": 2, "patience": 2, "batch": 32, "learning_rate": 0.0005, "samples_per_epoch": 640}
LONG = {"epochs": 6, "patience": 6, "batch": 32, "learning_rate": 0.003, "samples_per_epoch": 1920, "distill": 0.7}
INT8: dict[str, Any] = {"quantize": {"calibration_samples": 128, "target": ATOM.name}}
PLAIN_INT8: dict[str, Any] = {"quantize": {"calibration_samples": 128}}
SMALL_INT8 = [
    {"prune": {"target": ATOM.name}},
    {"retrain": LONG},
    INT8,
    {"cluster": {"bits": 5}},
    {"retrain": {**BUDGET, "distill": 0.7}},
]


def small_fp16(target: str) -> list[Any]:
    return [{"prune": {"target": target}}, {"retrain": LONG}, "fp16"]


PARAMS = {
    "seed": 0,
    "models": ["efficientnet-lite0", "mobilenet-v2"],
    "methods": ["int8-qat"],
    "targets": [ATOM.name],
    "split": {"train": [0, 1], "val": [2, 3], "test": [4, 5]},
    "train": {
        "epochs": 5, "patience": 5, "batch": 32, "learning_rate": 0.001, "samples_per_epoch": 1920, "freeze": 0.2
    },
    "recipes": {
        "int8-qat": [INT8, {"retrain": {**BUDGET, "distill": 0.7}}],
        "plain-qat": [PLAIN_INT8, {"retrain": {**BUDGET, "distill": 0.0}}],
        "small-int8": SMALL_INT8,
        "small-maxq": small_fp16("jetson-tx2-maxq"),
        "small-maxp": small_fp16("jetson-tx2-maxp"),
    },
    "gates": {"accuracy_drop_points": 1.0},
}  # fmt: skip

CANDIDATES = [("efficientnet-lite0", "small-int8", ATOM.name)]


@pytest.fixture(scope="module")
def project() -> Path:
    """The project folder with its data imported and cut."""
    if not MARKET1501.exists():
        pytest.skip(f"{MARKET1501} not found: set MARKET1501 to your copy, with a manifest.csv")
    PROJECT.mkdir(parents=True, exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(PROJECT)
        (PROJECT / "params.yaml").write_text(yaml.safe_dump(PARAMS))
        if not layout.DATASET.exists():
            run("data", "import", str(MARKET1501 / "manifest.csv"))
            run("dataset")
        yield PROJECT  # type: ignore[misc]


def run(*arguments: str) -> None:
    answer = CliRunner().invoke(cli, list(arguments), catch_exceptions=False)
    assert answer.exit_code == 0, answer.output


def once(done: Path, *arguments: str) -> None:
    """Run `edgeproof ARGUMENTS` where its outcome is not there from an earlier start of this benchmark."""
    if not done.exists():
        run(*arguments)


def candidate(model: str, method: str) -> onnx.ModelProto:
    once(layout.parent(model), "train", model)
    once(layout.candidate(model, method), "compress", model, method)
    return onnx.load(layout.candidate(model, method) / "model.onnx")


@pytest.mark.filterwarnings("ignore")
def test_int8_and_retrained_int8_beside_their_peers(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = "mobilenet-v2"
    once(layout.parent(model), "train", model)
    params, dataset, spec = load_params(), open_dataset(layout.DATASET), models.spec(model)
    graph = to_onnx(load_parent(model, params, len(dataset.classes)), spec)
    calibration, test = Regions(dataset, spec, "train", 128, params.seed), Regions(dataset, spec, "test")
    made: dict[str, Callable[[], onnx.ModelProto]] = int8_of_all(graph, calibration, ATOM, tmp_path)
    made["plain re-training"] = lambda: candidate(model, "plain-qat")
    made["edgeproof, int8-qat"] = lambda: candidate(model, "int8-qat")
    rows = compare(made, test, test.labels, ATOM, tmp_path)
    with capsys.disabled():
        print(table(rows))
        gain = rows["edgeproof, int8-qat"].target_percent - rows["plain re-training"].target_percent
        print(f"distilled, target-aware re-training minus plain re-training of the same budget: {gain:+.2f} points")
    assert rows[OURS].drop_points <= min(rows[name].drop_points for name in PEERS) + noise(len(test))
    assert gain > -noise(len(test))


@pytest.mark.parametrize(("model", "method", "target"), CANDIDATES)
def test_a_candidate_meets_the_objective(
    project: Path, model: str, method: str, target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    candidate(model, method)
    once(layout.exported(model, method), "export", model, method)
    once(layout.result(model, method, target), "retest", model, method, target)
    result = read_result(layout.result(model, method, target))
    best = parent_percent()
    with capsys.disabled():
        print(f"\n{json.dumps(facts(result, best), indent=2)}")
    judgement = judge(result, load_params().gates, load_target(target))
    assert judgement.verdict == "pass"
    assert result.accuracy.target is not None
    assert result.accuracy.target.percent >= best - 1
    assert result.download_bytes is not None
    assert parent_bytes() >= 10 * result.download_bytes


def noise(samples: int) -> float:
    """Percentage points: two standard deviations of an accuracy of 80 % on so many samples, of which most agree."""
    return 100 * 2 * float(np.sqrt(0.8 * 0.2 / samples)) / 4


def parent_percent() -> float:
    """Test accuracy of the FP32 EfficientNet-Lite0 that all candidates are held against."""
    once(layout.parent("efficientnet-lite0"), "train", "efficientnet-lite0")
    metrics = json.loads((layout.parent("efficientnet-lite0") / "metrics.json").read_text())
    return float(metrics["test_accuracy_percent"])


def parent_bytes() -> int:
    """Size of that parent as an ONNX file."""
    params, dataset = load_params(), open_dataset(layout.DATASET)
    network = load_parent("efficientnet-lite0", params, len(dataset.classes))
    return len(to_onnx(network, models.spec("efficientnet-lite0")).SerializeToString())


def facts(result: Result, best: float) -> dict[str, Any]:
    """What the benchmark prints of a candidate."""
    assert result.predicted is not None
    return {
        "candidate": result.candidate,
        "target": result.target,
        "parent_percent": round(best, 2),
        "target_percent": None if result.accuracy.target is None else round(result.accuracy.target.percent, 2),
        "predicted_regions_per_s": round(result.predicted.inferences_per_s, 1),
        "download_bytes": result.download_bytes,
        "parent_onnx_bytes": parent_bytes(),
    }
