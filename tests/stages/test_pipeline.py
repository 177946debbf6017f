"""The pipeline on small real data: every stage's output is what the next one and the device need."""

import csv
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import models
from pipeline import files, layout
from pipeline.config import load_params
from pipeline.dataset import open_dataset
from pipeline.export import run_onnx
from pipeline.results import RoundedLayer, read_result
from pipeline.train import Epoch, fit, load_parent, predict
from runners.edge.regions import normalise
from runners.edge.unpack import unpack
from tests.stages.conftest import METHODS, run

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def here(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(prepared)
    return prepared


def test_the_parent_learned_what_a_child_could(here: Path) -> None:
    metrics = json.loads((layout.parent("lenet-5") / "metrics.json").read_text())
    assert metrics["test_accuracy_percent"] > metrics["majority_class_percent"] + 30
    with (layout.parent("lenet-5") / "curves.csv").open() as stream:
        assert [row["epoch"] for row in csv.DictReader(stream)] == ["1", "2"]


def test_the_onnx_file_calculates_what_pytorch_does(here: Path) -> None:
    dataset = open_dataset(layout.DATASET)
    spec = models.spec("lenet-5")
    images, _ = dataset.load("test", spec.input_size)
    model = onnx.load(layout.candidate("lenet-5", "fp32") / "model.onnx")
    assert model.opset_import[0].version == 13
    expected = predict(load_parent("lenet-5", load_params(), 3), images, spec)
    np.testing.assert_allclose(run_onnx(model, normalise(images, spec.mean, spec.std)), expected, atol=1e-4)
    np.testing.assert_allclose(np.load(layout.parent_logits("lenet-5")), expected, atol=1e-4)


def test_each_method_leaves_its_mark_on_the_graph(here: Path) -> None:
    operations = {
        method: {node.op_type for node in onnx.load(layout.candidate("lenet-5", method) / "model.onnx").graph.node}
        for method in METHODS
    }
    assert "QuantizeLinear" in operations["int8"] & operations["pruned-int8"]
    assert "QuantizeLinear" not in operations["fp32"] | operations["fp16"]
    half = onnx.load(layout.candidate("lenet-5", "fp16") / "model.onnx")
    assert {item.data_type for item in half.graph.initializer} >= {onnx.TensorProto.FLOAT16}
    parameters = {
        method: json.loads((layout.candidate("lenet-5", method) / "candidate.json").read_text())["parameters"]
        for method in METHODS
    }
    assert parameters["pruned-int8"] < 0.9 * parameters["fp32"] == 0.9 * parameters["int8"]


def test_layers_that_overflow_fp16_are_kept_and_named_from_the_candidate_to_the_board(trained: Path) -> None:
    weights = layout.parent("lenet-5") / "weights.safetensors"
    state = load_file(weights)
    for name, factor in (("features.0.weight", 1e6), ("features.0.bias", 1e6), ("features.3.weight", 1e-6)):
        state[name] *= factor
    save_file(state, weights)
    assert "kept in FP32: /features/" in run("compress", "lenet-5", "fp16")
    run("export", "lenet-5", "fp16")
    run("retest", "lenet-5", "fp16", "jetson-tx2-maxq")
    kept = json.loads((layout.candidate("lenet-5", "fp16") / "candidate.json").read_text())["fp32_layers"]
    assert [name.split("/")[2] for name in kept] == [f"features.{index}" for index in range(5)]
    recipe = json.loads((layout.exported("lenet-5", "fp16") / "tensorrt" / "recipe.json").read_text())
    assert recipe["fp32_layers"] == kept
    assert "--fp32-layers recipe.json" in recipe["python"]
    result = read_result(layout.result("lenet-5", "fp16", "jetson-tx2-maxq"))
    assert [layer.overflow for layer in result.layers if isinstance(layer, RoundedLayer)] == [0] * len(result.layers)
    assert len(result.layers) > 0
    assert result.accuracy.target == result.accuracy.cloud


def test_exports_hold_what_each_runtime_loads_and_their_hashes(here: Path, tmp_path: Path) -> None:
    expected = {
        "fp32": {"openvino/model.xml", "openvino/model.bin", "tensorrt/model.onnx"},
        "fp16": {"tensorrt/model.onnx"},
        "int8": {"openvino/model.xml", "openvino/model.bin"},
    }
    for method, names in expected.items():
        folder = layout.exported("lenet-5", method)
        (tmp_path / method).mkdir()
        manifest = json.loads((folder / "manifest.json").read_text())
        assert names <= manifest["files"].keys()
        for name, facts in manifest["files"].items():
            assert files.sha256(folder / name) == facts["sha256"]
        for pack in folder.glob("*.pack"):
            runtime, facts = folder / pack.stem, manifest["files"][pack.name]
            assert facts["size_bytes"] == pack.stat().st_size < sum(path.stat().st_size for path in runtime.iterdir())
            unpack(str(pack), str(tmp_path / method / pack.stem))
            for path in runtime.iterdir():
                assert (tmp_path / method / pack.stem / path.name).read_bytes() == path.read_bytes()
        assert {pack.stem for pack in folder.glob("*.pack")} == {
            path.name for path in folder.iterdir() if path.is_dir()
        }
    recipe = json.loads((layout.exported("lenet-5", "fp16") / "tensorrt" / "recipe.json").read_text())
    assert "--fp16" in recipe["trtexec"]
    assert "--optShapes=input:4x3x32x32" in recipe["trtexec"]
    assert recipe["fp32_layers"] == []


def test_results_say_what_was_measured_and_what_was_not(here: Path) -> None:
    atom = read_result(layout.result("lenet-5", "int8", "atom-x5-e3940"))
    assert atom.accuracy.target is not None
    assert atom.accuracy.target.n == len(open_dataset(layout.DATASET).split("test"))
    assert np.trace(atom.confusion) == atom.accuracy.target.correct
    assert len(atom.predictions) == atom.accuracy.target.n
    download = layout.exported("lenet-5", "int8") / "openvino.pack"
    assert atom.size_bytes is not None
    assert 0 < download.stat().st_size == atom.download_bytes < atom.size_bytes
    assert atom.measured is None
    assert atom.grade == "unaudited"
    parker = read_result(layout.result("lenet-5", "fp16", "jetson-tx2-maxq"))
    assert parker.grade == "bounded"
    assert parker.accuracy.target in parker.bounds.values()
    refused = read_result(layout.result("lenet-5", "int8", "jetson-tx2-maxq"))
    assert "DP4A" in str(refused.refused)


def test_the_report_shows_every_candidate(here: Path) -> None:
    page = (layout.REPORT / "index.html").read_text()
    text = (layout.REPORT / "report.md").read_text()
    for method in METHODS:
        assert method in page
        assert method in text


def test_training_again_gives_the_same_bytes(trained: Path) -> None:
    before = {path.name: path.read_bytes() for path in layout.parent("lenet-5").iterdir()}
    run("train", "lenet-5")
    assert {path.name: path.read_bytes() for path in layout.parent("lenet-5").iterdir()} == before


@pytest.mark.nightly
def test_compressing_and_re_testing_again_gives_the_same_bytes(trained: Path) -> None:
    method = "pruned-int8"
    result = layout.result("lenet-5", method, "atom-x5-e3940")
    folders = [layout.candidate("lenet-5", method), layout.exported("lenet-5", method)]

    def content() -> dict[str, bytes]:
        return {str(p): p.read_bytes() for f in folders for p in f.rglob("*") if p.is_file()} | {
            "result": result.read_bytes()
        }

    runs = []
    for _ in range(2):  # each stage in a process of its own, as DVC runs it: libraries number nodes by process
        for stage in (["compress"], ["export"], ["retest", "atom-x5-e3940"]):
            command = [sys.executable, "-m", "pipeline", stage[0], "lenet-5", method, *stage[1:]]
            subprocess.run(command, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, check=True, capture_output=True)
        runs.append(content())
    assert runs[0] == runs[1]


def test_a_killed_training_goes_on_from_its_last_epoch_to_the_same_end(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = load_params()
    settings = params.train.model_copy(update={"epochs": 4, "patience": 4})
    dataset, spec = open_dataset(layout.DATASET), models.spec("lenet-5")

    def start() -> torch.nn.Module:
        torch.manual_seed(1)
        return models.build("lenet-5", 3)

    whole, curves = fit(start(), spec, dataset, settings, 1, trained / "whole.pt")

    checkpoint = trained / "killed.pt"
    script = (
        "import torch, models\n"
        "from pathlib import Path\n"
        "from pipeline import layout, train\n"
        "from pipeline.config import load_params\n"
        "from pipeline.dataset import open_dataset\n"
        "write = train._write_checkpoint\n"
        "def slow(*a):\n    write(*a)\n    print('epoch', flush=True)\n    import time; time.sleep(0.5)\n"
        "train._write_checkpoint = slow\n"
        "torch.manual_seed(1)\n"
        "s = load_params().train.model_copy(update={'epochs': 4, 'patience': 4})\n"
        "train.fit(models.build('lenet-5', 3), models.spec('lenet-5'), open_dataset(layout.DATASET), s, 1,"
        " Path('killed.pt'))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, env=environment) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"epoch\n"
        assert child.stdout.readline() == b"epoch\n"
        child.send_signal(signal.SIGKILL)
    assert checkpoint.exists()
    resumed, resumed_curves = fit(start(), spec, dataset, settings, 1, checkpoint)
    assert resumed_curves == curves
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_a_checkpoint_of_another_training_is_not_continued(trained: Path) -> None:
    params = load_params()
    dataset, spec = open_dataset(layout.DATASET), models.spec("lenet-5")
    checkpoint = trained / "other.pt"
    fit(models.build("lenet-5", 3), spec, dataset, params.train, 5, checkpoint)
    damaged = checkpoint.read_bytes()[:100]
    _, curves = fit(models.build("lenet-5", 3), spec, dataset, params.train, 6, checkpoint)
    assert len(curves) == params.train.epochs
    checkpoint.write_bytes(damaged)
    _, curves = fit(models.build("lenet-5", 3), spec, dataset, params.train, 6, checkpoint)
    assert len(curves) == params.train.epochs


def test_a_checkpoint_for_other_pixels_is_not_continued(trained: Path) -> None:
    params, dataset, spec = load_params(), open_dataset(layout.DATASET), models.spec("lenet-5")

    def curves(size: int, checkpoint: Path) -> list[Epoch]:
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
        return fit(network, replace(spec, input_size=size), dataset, params.train, 5, checkpoint)[1]

    curves(32, trained / "pixels.pt")
    assert curves(48, trained / "pixels.pt") == curves(48, trained / "fresh.pt")


def test_training_in_two_processes_learns_too(trained: Path) -> None:
    """As on a machine with two GPUs, over gloo instead of NCCL."""
    before = (layout.parent("lenet-5") / "weights.safetensors").read_bytes()
    command = f"{sys.executable} -m torch.distributed.run --standalone --nproc-per-node=2 -m pipeline train lenet-5"
    done = subprocess.run(
        command.split(),
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    assert (layout.parent("lenet-5") / "weights.safetensors").read_bytes() != before
    metrics = json.loads((layout.parent("lenet-5") / "metrics.json").read_text())
    assert metrics["test_accuracy_percent"] > metrics["majority_class_percent"] + 30
