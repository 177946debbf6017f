"""The pipeline on small real data: every stage's output is what the next one and the device need."""

import csv
import json
import os
import shutil
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
from pipeline.data.dataset import open_dataset
from pipeline.formats.from_torch import run_onnx
from pipeline.project import layout
from pipeline.project.params import load_params
from pipeline.records.results import RoundedLayer, read_result
from pipeline.system import files
from pipeline.train import checkpoint, loop
from pipeline.train.checkpoint import Checkpoints
from pipeline.train.curves import Epoch
from pipeline.train.distillation import Teacher
from pipeline.train.loop import fit, predict
from pipeline.train.parent import load_parent
from runners.contract import engine_recipe, model_input
from runners.contract.engine_recipe import Recipe
from runners.contract.model_input import ModelInput
from runners.edge.loop.regions import normalise
from runners.edge.update.unpack import unpack
from tests.stages.conftest import METHODS, made, run

REPOSITORY = Path(__file__).resolve().parents[2]
CODE = "as it is"  # the identity of the code that trains


@pytest.fixture
def here(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(prepared)
    return prepared


def test_the_parent_learned_what_a_child_could(here: Path) -> None:
    metrics = json.loads((layout.parent("lenet-5") / "metrics.json").read_text())
    assert metrics["test_accuracy_percent"] > metrics["majority_class_percent"] + 30
    with (layout.parent("lenet-5") / "curves.csv").open() as stream:
        assert [row["epoch"] for row in csv.DictReader(stream)] == ["1", "2", "3", "4", "5"]


def test_the_onnx_file_calculates_what_pytorch_does(here: Path) -> None:
    dataset = open_dataset(layout.DATASET)
    spec = models.spec("lenet-5")
    images, _ = dataset.load("test", spec.input_size)
    model = onnx.load(made("fp32").graph)
    assert model.opset_import[0].version == 13
    parent = load_parent(layout.parent_weights("lenet-5"), "lenet-5", 3, load_params().width)
    expected = predict(parent, images, spec)
    np.testing.assert_allclose(run_onnx(model, normalise(images, spec.mean, spec.std)), expected, atol=1e-4)
    np.testing.assert_allclose(np.load(layout.parent_logits("lenet-5", "test")), expected, atol=1e-4)


def test_each_method_leaves_its_mark_on_the_graph(here: Path) -> None:
    operations = {method: {node.op_type for node in onnx.load(made(method).graph).graph.node} for method in METHODS}
    assert "QuantizeLinear" in operations["int8"] & operations["pruned-int8"]
    assert "QuantizeLinear" not in operations["fp32"] | operations["fp16"]
    half = onnx.load(made("fp16").graph)
    assert {item.data_type for item in half.graph.initializer} >= {onnx.TensorProto.FLOAT16}
    parameters = {
        method: json.loads((made(method).compressed / "candidate.json").read_text())["parameters"] for method in METHODS
    }
    assert parameters["pruned-int8"] < 0.9 * parameters["fp32"] == 0.9 * parameters["int8"]


def test_layers_that_overflow_fp16_are_kept_and_named_from_the_candidate_to_the_board(trained: Path) -> None:
    weights = layout.parent_weights("lenet-5")
    state = load_file(weights)
    for name, factor in (("features.0.weight", 1e6), ("features.0.bias", 1e6), ("features.3.weight", 1e-6)):
        state[name] *= factor
    save_file(state, weights)
    assert "kept in FP32: /features/" in run("stage", "compress", "lenet-5", "fp16")
    run("stage", "export", "lenet-5", "fp16")
    run("stage", "retest", "lenet-5", "fp16", "jetson-tx2-maxq")
    kept = json.loads((made("fp16").compressed / "candidate.json").read_text())["fp32_layers"]
    assert [name.split("/")[2] for name in kept] == [f"features.{index}" for index in range(5)]
    recipe = json.loads((made("fp16").exported / "tensorrt" / "recipe.json").read_text())
    assert recipe["fp32_layers"] == kept
    assert "build_engine recipe.json" in recipe["python"]
    assert "trtexec" not in recipe  # it could not hold them
    result = read_result(layout.result("emulated", "lenet-5", "fp16", "jetson-tx2-maxq"))
    assert [layer.overflow for layer in result.layers if isinstance(layer, RoundedLayer)] == [0] * len(result.layers)
    assert len(result.layers) > 0
    assert result.accuracy.target == result.accuracy.cloud


def test_exports_hold_what_each_runtime_loads_and_their_hashes(here: Path, tmp_path: Path) -> None:
    expected = {
        "fp32": {"openvino/model.xml", "openvino/model.bin", "tensorrt/model.onnx", "tensorrt/recipe.json"},
        "fp16": {"tensorrt/model.onnx"},
        "int8": {"openvino/model.xml", "openvino/model.bin"},
    }
    for method, names in expected.items():
        folder = made(method).exported
        (tmp_path / method).mkdir()
        manifest = json.loads((folder / "manifest.json").read_text())
        assert names <= manifest["files"].keys()
        for name, facts in manifest["files"].items():
            assert files.sha256(folder / name) == facts["sha256"]
        runtimes = [path for path in folder.iterdir() if path.is_dir()]
        assert {path.name for path in folder.glob("*.tar.xz")} == {f"{runtime.name}.tar.xz" for runtime in runtimes}
        for runtime in runtimes:
            download = folder / f"{runtime.name}.tar.xz"
            size = manifest["files"][download.name]["size_bytes"]
            assert size == download.stat().st_size < sum(path.stat().st_size for path in runtime.iterdir())
            unpacked = tmp_path / method / runtime.name
            unpack(str(download), str(unpacked))
            assert {path.name for path in unpacked.iterdir()} == {path.name for path in runtime.iterdir()}
            for path in runtime.iterdir():
                assert (unpacked / path.name).read_bytes() == path.read_bytes()
    assert engine_recipe.read(str(made("fp16").exported / "tensorrt" / "recipe.json")) == Recipe(32, True, [])
    recipe = json.loads((made("fp16").exported / "tensorrt" / "recipe.json").read_text())
    assert "--fp16" in recipe["trtexec"]
    assert "--optShapes=input:4x3x32x32" in recipe["trtexec"]
    assert recipe["fp32_layers"] == []


def test_every_runtime_is_told_how_its_model_wants_images(here: Path) -> None:
    spec = models.spec("lenet-5")
    wanted = ModelInput(spec.input_size, spec.mean, spec.std, ["blue", "green", "red"])
    folders = [folder for method in METHODS for folder in made(method).exported.iterdir() if folder.is_dir()]
    assert {folder.name for folder in folders} == {"openvino", "tensorrt", "onnxruntime"}
    for folder in folders:
        told = model_input.read(str(folder / "input.json"))
        assert told._replace(temperature=1.0) == wanted
        assert 0.1 <= told.temperature <= 10


def test_results_say_what_was_measured_and_what_was_not(here: Path) -> None:
    atom = read_result(layout.result("emulated", "lenet-5", "int8", "atom-x5-e3940"))
    assert atom.accuracy.target is not None
    assert atom.accuracy.target.n == len(open_dataset(layout.DATASET).split("test"))
    assert np.trace(atom.confusion) == atom.accuracy.target.correct
    assert len(atom.predictions) == atom.accuracy.target.n
    download = made("int8").exported / "openvino.tar.xz"
    assert atom.size_bytes is not None
    assert 0 < download.stat().st_size == atom.download_bytes < atom.size_bytes
    assert atom.measured is None
    assert atom.grade == "unaudited"
    parker = read_result(layout.result("emulated", "lenet-5", "fp16", "jetson-tx2-maxq"))
    assert parker.grade == "bounded"
    assert parker.accuracy.target in parker.bounds.values()
    refused = read_result(layout.result("emulated", "lenet-5", "int8", "jetson-tx2-maxq"))
    assert "DP4A" in str(refused.refused)


def test_the_report_shows_every_candidate(here: Path) -> None:
    page = (layout.REPORT / "index.html").read_text()
    text = (layout.REPORT / "report.md").read_text()
    for method in METHODS:
        assert method in page
        assert method in text


def test_training_again_gives_the_same_bytes(trained: Path) -> None:
    before = {path.name: path.read_bytes() for path in layout.parent("lenet-5").iterdir()}
    run("stage", "train", "lenet-5")
    assert {path.name: path.read_bytes() for path in layout.parent("lenet-5").iterdir()} == before


@pytest.mark.nightly
def test_compressing_and_re_testing_again_gives_the_same_bytes(trained: Path) -> None:
    method = "pruned-int8"
    result = layout.result("emulated", "lenet-5", method, "atom-x5-e3940")
    folders = [made(method).compressed, made(method).exported]

    def content() -> dict[str, bytes]:
        return {str(p): p.read_bytes() for f in folders for p in f.rglob("*") if p.is_file()} | {
            "result": result.read_bytes()
        }

    runs = []
    for _ in range(
        2
    ):  # trained anew, and each stage in a process of its own, as DVC runs it: libraries number nodes by process
        shutil.rmtree(layout.CHECKPOINTS, ignore_errors=True)
        for stage in (["compress"], ["export"], ["retest", "atom-x5-e3940"]):
            command = [sys.executable, "-m", "pipeline", "stage", stage[0], "lenet-5", method, *stage[1:]]
            subprocess.run(command, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, check=True, capture_output=True)
        runs.append(content())
    assert runs[0] == runs[1]


def test_a_killed_training_goes_on_from_its_last_epoch_to_the_same_end(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = load_params()
    settings = params.train.model_copy(update={"epochs": 4})
    dataset, spec = open_dataset(layout.DATASET), models.spec("lenet-5")

    def start() -> torch.nn.Module:
        torch.manual_seed(1)
        return models.build("lenet-5", 3)

    whole, curves = fit(start(), spec, dataset, settings, 1, Checkpoints(trained / "whole", CODE))

    checkpoints = Checkpoints(trained / "killed", CODE)
    script = (
        "import torch, models\n"
        "from pathlib import Path\n"
        "from pipeline.data.dataset import open_dataset\n"
        "from pipeline.project import layout\n"
        "from pipeline.project.params import load_params\n"
        "from pipeline.train.checkpoint import Checkpoints\n"
        "from pipeline.train.loop import fit\n"
        "write = Checkpoints.write\n"
        "def slow(*a):\n    write(*a)\n    print('epoch', flush=True)\n    import time; time.sleep(0.5)\n"
        "Checkpoints.write = slow\n"
        "torch.manual_seed(1)\n"
        "s = load_params().train.model_copy(update={'epochs': 4})\n"
        "fit(models.build('lenet-5', 3), models.spec('lenet-5'), open_dataset(layout.DATASET), s, 1,"
        f" Checkpoints(Path('killed'), '{CODE}'))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, env=environment) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"epoch\n"
        assert child.stdout.readline() == b"epoch\n"
        child.send_signal(signal.SIGKILL)
    assert len(list(checkpoints.folder.glob("*.pt"))) == 1
    resumed, resumed_curves = fit(start(), spec, dataset, settings, 1, checkpoints)
    assert resumed_curves == curves
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_only_what_a_teacher_answers_is_blended_and_every_epoch_is_taken(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blended = []
    mix = loop.mix
    monkeypatch.setattr(loop, "mix", lambda *given: blended.append(1) or mix(*given))
    dataset, spec, settings = open_dataset(layout.DATASET), models.spec("lenet-5"), load_params().train
    for teacher in (None, Teacher(models.build("lenet-5", 3), 1.0)):
        assert not blended
        checkpoints = Checkpoints(trained / "blended", CODE)
        _, curves = fit(models.build("lenet-5", 3), spec, dataset, settings, 1, checkpoints, teacher)
        assert len(curves) == settings.epochs
    assert len(blended) > settings.epochs


def test_what_is_trained_is_not_trained_again(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, spec, settings = open_dataset(layout.DATASET), models.spec("lenet-5"), load_params().train
    checkpoints, drawn = Checkpoints(trained / "kept", CODE), []
    draw = loop.draw
    monkeypatch.setattr(loop, "draw", lambda *given: drawn.append(1) or draw(*given))

    def trained_anew(seed: int = 5, size: int = 32, checkpoints: Checkpoints = checkpoints) -> tuple[int, list[Epoch]]:
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
        drawn.clear()
        curves = fit(network, replace(spec, input_size=size), dataset, settings, seed, checkpoints)[1]
        return len(drawn), curves

    first = trained_anew()
    assert first[0] == settings.epochs
    assert trained_anew() == (0, first[1])
    assert trained_anew(seed=6)[0] == trained_anew(size=48)[0] == settings.epochs
    assert trained_anew(checkpoints=Checkpoints(checkpoints.folder, "other code"))[0] == settings.epochs
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("ONEDNN_MAX_CPU_ISA", "AVX")  # which no machine of `repeat` has
        assert trained_anew()[0] == settings.epochs
    for file in checkpoints.folder.glob("*.pt"):
        file.write_bytes(file.read_bytes()[:100])
    assert trained_anew() == first


def test_only_the_newest_trainings_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, CODE)
    for number in range(checkpoint.NEWEST + 2):
        checkpoints.write(f"{number:016d}", {"curves": [number]})
        os.utime(tmp_path / f"{number:016d}.pt", (number, number))
    assert [file.name[:16] for file in sorted(tmp_path.iterdir())] == [
        f"{number:016d}" for number in range(2, checkpoint.NEWEST + 2)
    ]


@pytest.mark.nightly
def test_training_in_two_processes_learns_too(trained: Path) -> None:
    """As on a machine with two GPUs, over gloo instead of NCCL."""
    before = layout.parent_weights("lenet-5").read_bytes()
    command = (
        f"{sys.executable} -m torch.distributed.run --standalone --nproc-per-node=2 -m pipeline stage train lenet-5"
    )
    done = subprocess.run(
        command.split(),
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    assert layout.parent_weights("lenet-5").read_bytes() != before
    metrics = json.loads((layout.parent("lenet-5") / "metrics.json").read_text())
    assert metrics["test_accuracy_percent"] > metrics["majority_class_percent"] + 30
