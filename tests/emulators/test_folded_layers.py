"""Weights are fitted to the target's sums whatever the file leaves to be folded into them."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from pipeline.compress.any_file import compress_file
from pipeline.compress.target_aware import fit_to_target
from pipeline.formats.folding import folded
from pipeline.formats.from_torch import run_onnx
from pipeline.formats.model_file import open_model
from pipeline.formats.qdq import QdqGraph
from pipeline.records.targets import load_target
from pipeline.retest.emulate import emulate
from tests.graphs import Arrays, model, node, random
from tests.quantized_graphs import Quantized

TARGET = load_target("atom-x5-e3940")
CHANNELS = 16


def normalisation(x: str, y: str) -> tuple[Any, dict[str, np.ndarray]]:
    moments = {f"{y}_{part}": random(seed, CHANNELS) for seed, part in enumerate(("scale", "shift", "mean"))}
    moments |= {f"{y}_variance": np.abs(random(3, CHANNELS)) + np.float32(0.5)}
    return node("BatchNormalization", f"{x} {' '.join(moments)}", y), moments


def network(kind: str, batch: int | str = "N") -> onnx.ModelProto:
    """Two convolutions, of which the first has something behind it; loud enough to saturate; and a matrix product."""
    weights = {
        "first": random(0, CHANNELS, CHANNELS, 3, 3),
        "second": random(1, CHANNELS, CHANNELS, 1, 1),
        "last": random(2, 10, CHANNELS),
    }
    nodes = [node("Conv", "x first", "a", pads=[1] * 4)]
    if kind == "normalised":
        behind, more = normalisation("a", "b")
        nodes.append(behind)
        weights |= more
    elif kind == "scaled":
        weights |= {"factor": random(5, 1, CHANNELS, 1, 1), "shift": random(6, 1, CHANNELS, 1, 1)}
        nodes += [node("Mul", "a factor", "scaled"), node("Add", "scaled shift", "b")]
    elif kind == "transposed":
        weights["up"] = random(5, CHANNELS, CHANNELS, 2, 2)
        behind, more = normalisation("u", "b")
        nodes += [node("ConvTranspose", "a up", "u", strides=[2, 2]), behind]
        weights |= more
    elif kind == "residual":
        weights["deep"] = random(5, CHANNELS, 1, 3, 3)
        behind, more = normalisation("d", "e")
        nodes += [node("Conv", "a deep", "d", pads=[1] * 4, group=CHANNELS), behind, node("Add", "a e", "b")]
        weights |= more
    if kind == "dense":
        nodes.append(node("Identity", "a", "b"))
    nodes += [
        node("Relu", "b", "c"),
        node("Conv", "c second", "f"),
        node("GlobalAveragePool", "f", "g"),
        node("Flatten", "g", "h"),
        node("Gemm", "h last", "i" if kind == "dense" else "y", transB=1),
    ]
    if kind == "dense":
        moments = {f"y_{part}": random(seed, 10) for seed, part in enumerate(("scale", "shift", "mean"))}
        moments |= {"y_variance": np.abs(random(3, 10)) + np.float32(0.5)}
        nodes.append(node("BatchNormalization", f"i {' '.join(moments)}", "y"))
        weights |= moments
    made = model(nodes, weights, (batch, CHANNELS, 8, 8))
    made.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [batch, 10]))
    return onnx.shape_inference.infer_shapes(made)


SAMPLES = Arrays(np.abs(random(9, 10, CHANNELS, 8, 8)))


@pytest.mark.parametrize("kind", ["normalised", "scaled", "transposed", "residual", "dense"])
def test_folding_keeps_answers_and_names(kind: str) -> None:
    plain = network(kind)
    made = folded(plain)
    expected = run_onnx(plain, SAMPLES.inputs)
    assert np.allclose(run_onnx(made, SAMPLES.inputs), expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())
    layers = {item.name for item in plain.graph.node if item.op_type in ("Conv", "ConvTranspose", "Gemm")}
    assert {item.name for item in made.graph.node if item.op_type in ("Conv", "ConvTranspose", "Gemm")} == layers
    if kind != "dense":
        assert "BatchNormalization" not in {item.op_type for item in made.graph.node}


@pytest.mark.parametrize(
    ("kind", "batch"),
    [
        ("normalised", "N"),
        ("dense", 3),
        *(pytest.param(kind, batch, marks=pytest.mark.nightly)
          for kind, batch in [("scaled", 1), ("transposed", "N"), ("residual", 4), ("dense", "N"), ("normalised", 1)]),
    ],
)  # fmt: skip
def test_layers_with_something_behind_them_are_fitted(
    kind: str, batch: int | str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx.save(network(kind, batch), tmp_path / "net.onnx")
    made = compress_file(open_model(tmp_path / "net.onnx"), "int8", TARGET, SAMPLES, tmp_path / "out")
    assert "not fitted" not in capsys.readouterr().err
    size = batch if isinstance(batch, int) else 4
    found = emulate(made, "int8", SAMPLES, (size, CHANNELS, 8, 8), TARGET, proven=False)
    names = {item.name for item in network(kind).graph.node}
    assert {layer.name for layer in found.layers} <= names
    assert "a" in {layer.name for layer in found.layers}
    for layer in found.layers:
        assert layer.saturated < 0.01 * layer.pair_sums
    assert found.target is not None
    assert found.cloud is not None
    assert np.abs(found.target - found.cloud).max() < 0.05 * np.abs(found.cloud).max()


def test_what_cannot_be_fitted_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An average of 8-bit values is rounded before it is multiplied, which the analysis does not follow."""
    graph = Quantized()
    averaged = graph.add("AveragePool", graph.activation("x"), kernel_shape=[2, 2])
    last = graph.convolution(averaged, graph.weights(8, 8, 3, 3))
    made = graph.model(last, 4)
    names = [item.name for item in made.graph.node if item.op_type == "Conv"]
    fit_to_target(made, made, [random(0, 4, 8, 8, 8)])
    told = capsys.readouterr().err
    assert f"1 layers could saturate and were not fitted to the target: {names[0]}" in told


def test_a_depthwise_layer_is_not_named_since_it_cannot_saturate(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever its activations are: NNCF gives them a step for each channel, which no other layer can take."""
    graph = Quantized()
    steps = np.linspace(0.04, 0.06, 8, dtype=np.float32)
    deep = graph.convolution(graph.activation("x", scale=steps), graph.weights(8, 1, 3, 3), group=8)
    made = graph.model(graph.convolution(graph.activation(deep), graph.weights(8, 8, 3, 3)))
    fit_to_target(made, made, [random(0, 4, 8, 8, 8)])
    assert "not fitted" not in capsys.readouterr().err


def test_a_layer_is_found_by_its_weights() -> None:
    graph = Quantized()
    made = graph.model(graph.normalised(graph.convolution(graph.activation("x"), graph.weights(8, 8, 3, 3))))
    [layer] = [item for item in made.graph.node if item.op_type == "Conv"]
    weights = next(item.input[0] for item in made.graph.node if item.output[0] == layer.input[1])
    found = QdqGraph(made).stored("Multiply_123", weights)
    assert found is not None
    assert found.node.name == layer.name
