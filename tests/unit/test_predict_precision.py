"""`edgeproof predict` takes the precision that a file holds, as `edgeproof check` does."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result

from pipeline.cli import cli
from tests.graphs import model, node, random
from tests.quantized_graphs import Quantized, convolutions


def predict(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["predict", *map(str, arguments)], catch_exceptions=False)


def saved(graph: onnx.ModelProto, path: Path) -> Path:
    onnx.save(onnx.shape_inference.infer_shapes(graph), path)
    return path


@pytest.fixture
def fp32(tmp_path: Path) -> Path:
    return saved(model([node("Conv", "x w", "y")], {"w": random(0, 8, 8, 3, 3)}, (1, 8, 8, 8)), tmp_path / "fp32.onnx")


@pytest.mark.parametrize(
    ("held", "target", "precision"),
    [
        ("int8", "atom-x5-e3940", "int8"),
        ("fp32", "atom-x5-e3940", "fp32"),
        ("fp16", "atom-x5-e3940", "fp32"),  # OpenVINO unpacks it there
        ("fp32", "jetson-tx2-maxq", "fp16"),
    ],
)
def test_the_precision_is_that_of_the_file_as_the_target_calculates_it(
    held: str, target: str, precision: str, fp32: Path, tmp_path: Path
) -> None:
    half = model([node("Cast", "x", "h", to=10), node("Conv", "h w", "c"), node("Cast", "c", "y", to=1)],
                 {"w": random(0, 8, 8, 3, 3).astype(np.float16)}, (1, 8, 8, 8))  # fmt: skip
    files = {"int8": convolutions(tmp_path / "int8.onnx"), "fp32": fp32, "fp16": saved(half, tmp_path / "half.onnx")}
    found, asked = (
        predict(files[held], "--target", target),
        predict(files[held], "--target", target, "--precision", precision),
    )
    assert f", {precision}, batch 1: " in found.output
    assert found.output == asked.output


def test_a_file_of_8_bits_is_predicted_in_no_other_precision(fp32: Path, tmp_path: Path) -> None:
    int8 = convolutions(tmp_path / "int8.onnx")
    for arguments in ([], ["--precision", "fp16"], ["--precision", "fp32"]):
        refused = predict(int8, "--target", "jetson-tx2-maxq", *arguments)
        assert refused.exit_code == 2
        assert "6.2 has no DP4A" in refused.stderr
    refused = predict(int8, "--target", "atom-x5-e3940", "--precision", "fp32")
    assert "holds int8 weights; it cannot be predicted as fp32" in refused.stderr
    assert predict(fp32, "--target", "atom-x5-e3940", "--precision", "int8").exit_code == 0  # were it compressed


def an_ir(folder: Path, kind: type, zero: int) -> Path:
    import openvino

    network = openvino.Core().read_model(convolutions(folder / "net.onnx", kind=kind, zero=zero))
    openvino.save_model(network, folder / "net.xml", compress_to_fp16=False)
    return folder / "net.xml"


def of_two_layers(path: Path, *, activations: type, left_out: bool = False, opset: int = 13) -> Path:
    graph = Quantized()
    x = "x"
    for first in (True, False):
        weights = graph.weights(8, 8, 3, 3)
        values = graph.activation(x, activations)
        if first and left_out:
            weights, values = graph.constant(random(1, 8, 8, 3, 3)), x
        x = graph.convolution(values, weights)
    return graph.save(path, x, opset=opset)


@pytest.mark.parametrize(
    ("made", "precision", "floating"),
    [
        (lambda folder: an_ir(folder, np.int8, 0), "int8", 0),
        (lambda folder: an_ir(folder, np.int8, 3), "fp32", 3),
        (lambda folder: of_two_layers(folder / "n.onnx", activations=np.int8, left_out=True), "int8", 1),
        (lambda folder: of_two_layers(folder / "n.onnx", activations=np.uint16, opset=21), "fp32", 2),
    ],
    ids=["an IR", "an IR with zero points", "a layer left out", "16-bit activations"],
)
def test_a_file_of_8_bits_is_timed_as_its_layers_are_calculated(
    made: Callable[[Path], Path], precision: str, floating: int, tmp_path: Path
) -> None:
    path = made(tmp_path)
    found = predict(path, "--target", "atom-x5-e3940")
    assert f", {precision}, batch 1: " in found.output
    assert (f"openvino calculates {floating} in FP32" in found.output) is (floating > 0)
    assert "6.2 has no DP4A" in predict(path, "--target", "jetson-tx2-maxq").stderr


@pytest.mark.parametrize("op", ["QLinearMatMul", "MatMulInteger"])
def test_operators_of_8_bits_that_nobody_timed_are_named(op: str, tmp_path: Path) -> None:
    graph = Quantized()
    zero, one = graph.constant(np.uint8(0)), graph.constant(np.float32(1))
    flat = graph.add("Flatten", graph.add("GlobalAveragePool", "x"))
    whole = graph.add("QuantizeLinear", flat, one, zero)
    weights = graph.constant(np.ones((8, 5), np.uint8))
    values = (whole, one, zero, weights, one, zero, one, zero) if op == "QLinearMatMul" else (whole, weights)
    path = graph.save(tmp_path / "n.onnx", graph.add("Cast", graph.add(op, *values), to=1))
    refused = predict(path, "--target", "atom-x5-e3940")
    assert refused.exit_code == 2
    assert f"{op} layers are not predicted" in refused.stderr


def test_who_was_never_measured_is_told_of_nothing_that_no_option_takes(fp32: Path) -> None:
    refused = predict(fp32, "--target", "tegra-parker-a57")
    assert refused.exit_code == 2
    assert "no published measurements for tegra-parker-a57 at fp32; only a board can show its speed" in refused.stderr
