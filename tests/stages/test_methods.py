"""Methods of several steps: each step's mark is still there at the end, and what was trained is what is shipped."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import yaml
from onnx import TensorProto, numpy_helper

import models
from pipeline.arithmetic.kinds import capped_isa
from pipeline.compress.trainable_graph import TrainableGraph
from pipeline.data.batches import Regions
from pipeline.data.dataset import open_dataset
from pipeline.formats.from_torch import run_onnx
from pipeline.formats.onnx_file import load_onnx
from pipeline.processes.side_by_side import run as run_child
from pipeline.project import layout
from pipeline.records.results import read_result
from pipeline.records.targets import load_target
from pipeline.train import loop
from pipeline.train.checkpoint import Checkpoints
from tests.conftest import RETRAIN
from tests.stages.conftest import made, run
from tests.waiting import until

ATOM, MAXQ = "atom-x5-e3940", "jetson-tx2-maxq"


def weights(method: str, kind: int) -> list[np.ndarray]:
    """All weight tensors of a candidate that are stored as `kind`."""
    graph = onnx.load(made(method).graph).graph
    tensors = [item for item in graph.initializer if item.data_type == kind and len(item.dims) > 1]
    return [numpy_helper.to_array(item) for item in tensors]


def distinct(tensor: np.ndarray) -> int:
    """How many values a tensor takes, counted by their bits.

    NumPy 2.4 sorts FP16 numbers wrongly on CPUs with AVX-512 VBMI2, and `np.unique` counts some of them twice there.
    """
    return len(np.unique(tensor.view(f"u{tensor.itemsize}")))


def test_8_bit_weights_are_shared_and_trained_in_the_target_s_arithmetic(trained: Path) -> None:
    run("stage", "compress", "lenet-5", "shared-int8")
    run("stage", "export", "lenet-5", "shared-int8")
    run("stage", "retest", "lenet-5", "shared-int8", ATOM)
    shared = weights("shared-int8", TensorProto.INT8)
    large = [tensor for tensor in shared if tensor.size >= 256]
    assert len(large) == 4  # all but the head
    assert all(distinct(tensor) <= 16 for tensor in large)
    assert json.loads((made("shared-int8").compressed / "candidate.json").read_text())["epochs"] == 1
    result = read_result(layout.result("emulated", "lenet-5", "shared-int8", ATOM))
    assert result.precision == "int8"
    assert result.accuracy.target is not None
    assert result.accuracy.target.percent > 60

    # The network that was trained, on what the target calculates from the exported file.
    spec, dataset = models.spec("lenet-5"), open_dataset(layout.DATASET)
    network = TrainableGraph(load_onnx(made("shared-int8").graph), saturates=True)
    regions = Regions(dataset, spec, "test")
    [on_target] = run_child(
        made("shared-int8").loaded_by("openvino"),
        regions.batches(4),
        len(regions),
        (4, 3, spec.input_size, spec.input_size),
        [capped_isa.target_place(load_target(ATOM))],
    )
    with torch.inference_mode():
        own = np.concatenate([network(torch.from_numpy(batch)).numpy() for batch in regions.batches(4)])
    assert np.sqrt(np.square(own - on_target.values).mean()) < 0.05 * np.sqrt(np.square(on_target.values).mean())


def test_shared_weights_are_still_shared_in_half_precision(trained: Path) -> None:
    run("stage", "compress", "lenet-5", "shared-fp16")
    large = [tensor for tensor in weights("shared-fp16", TensorProto.FLOAT16) if tensor.size >= 512]
    assert len(large) == 3
    assert all(distinct(tensor) <= 32 for tensor in large)


def test_a_killed_method_of_two_trainings_repeats_only_the_epoch_it_was_in(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = yaml.safe_load((trained / "params.yaml").read_text())
    long = {**RETRAIN, "epochs": 500}
    quantize = {"quantize": {"calibration_samples": 8, "target": ATOM}}
    values["recipes"]["twice"] = [{"retrain": RETRAIN}, quantize, {"retrain": long}]
    (trained / "params.yaml").write_text(yaml.safe_dump(values))
    command = [sys.executable, "-m", "pipeline", "stage", "compress", "lenet-5", "twice"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    before = len(list(layout.CHECKPOINTS.glob("*.pt")))
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    until(lambda: len(list(layout.CHECKPOINTS.glob("*.pt"))) >= before + 3 or process.poll() is not None, 120)
    process.send_signal(signal.SIGKILL)
    process.wait()

    class Stop(Exception):
        pass

    def stop(checkpoints: Checkpoints, key: str, value: dict[str, Any]) -> None:
        assert len(checkpoints.used) == 3  # with the calibration between
        assert len(value["curves"]) > 1
        raise Stop

    monkeypatch.setattr(Checkpoints, "write", stop)  # reached after the first new epoch
    with pytest.raises(Stop):
        run("stage", "compress", "lenet-5", "twice")


def test_a_recipe_that_begins_as_another_is_trained_and_calibrated_once_and_ends_as_if_alone(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = yaml.safe_load((trained / "params.yaml").read_text())
    begin = [{"prune": {"macs": 0.8}}, {"retrain": {**RETRAIN, "learning_rate": 0.004}}]
    values["recipes"] |= {
        "any": [*begin, {"quantize": {"calibration_samples": 8}}],
        "fitted": [*begin, {"quantize": {"calibration_samples": 8, "target": ATOM}}, {"cluster": {"bits": 4}}],
    }
    (trained / "params.yaml").write_text(yaml.safe_dump(values))
    run("stage", "compress", "lenet-5", "fitted")
    alone = weights("fitted", TensorProto.INT8)
    shutil.rmtree(layout.CHECKPOINTS)
    run("stage", "compress", "lenet-5", "any")
    monkeypatch.setattr(loop, "draw", None)  # an epoch would call it
    monkeypatch.setattr("nncf.quantize", None)
    run("stage", "compress", "lenet-5", "fitted")
    together = weights("fitted", TensorProto.INT8)
    assert len(together) == len(alone) > 1
    assert all(np.array_equal(*pair) for pair in zip(together, alone, strict=True))


@pytest.mark.nightly
def test_a_candidate_of_fewer_pixels_gets_fewer_everywhere(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values, smaller = yaml.safe_load((trained / "params.yaml").read_text()), {"resize": {"size": 64}}
    values |= {"models": ["mobilenet-v2"], "width": 0.25, "targets": [ATOM, MAXQ], "methods": ["few", "few-fp16"]}
    values["recipes"] |= {"few": [smaller, {"retrain": RETRAIN}], "few-fp16": [smaller, "fp16"]}
    (trained / "params.yaml").write_text(yaml.safe_dump(values))
    run("stage", "train", "mobilenet-v2")
    fit, teachers = loop.fit, []

    def spy(*arguments: Any) -> Any:
        teachers.append(arguments[-1])
        return fit(*arguments)

    monkeypatch.setattr(loop, "fit", spy)
    for method, target in (("few", ATOM), ("few-fp16", MAXQ)):
        run("stage", "compress", "mobilenet-v2", method)
        run("stage", "export", "mobilenet-v2", method)
        run("stage", "retest", "mobilenet-v2", method, target)
    few, half = (
        read_result(layout.result("emulated", "mobilenet-v2", method, target))
        for method, target in (("few", ATOM), ("few-fp16", MAXQ))
    )
    assert few.input_size == half.input_size == 64
    [teacher] = teachers
    assert teacher.network[0].size == (224, 224)  # regions are enlarged to the parent's own size before it answers

    # The re-test cut the regions for it, and held it against the parent, which sees more.
    regions = Regions(open_dataset(layout.DATASET), replace(models.spec("mobilenet-v2"), input_size=64), "test")
    graph = load_onnx(made("few", "mobilenet-v2").graph)
    answers = np.concatenate([run_onnx(graph, batch).argmax(1) for batch in regions.batches(4)])
    assert few.predictions == answers.tolist()
    metrics = json.loads((layout.parent("mobilenet-v2") / "metrics.json").read_text())
    assert few.accuracy.fp32 is not None
    assert few.accuracy.fp32.percent == metrics["test_accuracy_percent"]
    assert half.accuracy.target is not None

    recipe = json.loads((made("few-fp16", "mobilenet-v2").exported / "tensorrt" / "recipe.json").read_text())
    assert "4x3x64x64" in recipe["trtexec"]


@pytest.mark.nightly
@pytest.mark.parametrize("method", ["shared-int8", "shared-fp16"])
def test_the_same_seed_gives_the_same_candidate(trained: Path, method: str) -> None:
    run("stage", "compress", "lenet-5", method)
    file = made(method).graph
    before = file.read_bytes()
    run("stage", "compress", "lenet-5", method)
    assert file.read_bytes() == before
