"""Networks that take something else than float32: pixels as they are, or floating-point numbers of another width."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import TensorProto, helper, numpy_helper

from pipeline.arithmetic.saturation.analysis import SaturationReport
from pipeline.check import check as checking
from pipeline.cli import cli
from pipeline.data.own import random_samples
from pipeline.formats.model_file import open_model
from pipeline.processes.backends import onnxruntime_cpu, openvino_cpu
from pipeline.processes.child import Place
from pipeline.processes.side_by_side import run
from pipeline.records.targets import load_target
from pipeline.system.errors import InputError
from tests.graphs import random
from tests.quantized import Layer

COLOURS = ("blue", "green", "red")  # as OpenCV orders them
ALL = {"correct": 24, "n": 24}
WIDTHS: dict[int, Any] = {TensorProto.FLOAT16: np.float16, TensorProto.DOUBLE: np.float64}


def network(path: Path, type_: int = TensorProto.FLOAT) -> Path:
    """Which of three colours a picture of 8x8 has most of, for float32 of -1 to 1 or for pixels."""
    kind = WIDTHS.get(type_, np.float32)
    weights = {
        "sharp": (5 * np.eye(3)[::-1]).reshape(3, 3, 1, 1).astype(kind),
        "scale": np.full((1, 3, 1, 1), 1 / 127.5, np.float32),
        "one": np.ones((1, 3, 1, 1), np.float32),
    }
    pixels = type_ == TensorProto.UINT8
    before = [
        helper.make_node("Cast", ["x"], ["whole"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["whole", "scale"], ["scaled"]),
        helper.make_node("Sub", ["scaled", "one"], ["fed"]),
    ]
    nodes = [
        *(before if pixels else []),
        helper.make_node("Conv", ["fed" if pixels else "x", "sharp"], ["c"]),
        helper.make_node("GlobalAveragePool", ["c"], ["p"]),
        helper.make_node("Flatten", ["p"], ["y"]),
    ]
    used = {name for node in nodes for name in node.input}
    ends = [
        helper.make_tensor_value_info("x", type_, ["N", 3, 8, 8]),
        helper.make_tensor_value_info("y", type_ if type_ in WIDTHS else TensorProto.FLOAT, ["N", 3]),
    ]
    tensors = [numpy_helper.from_array(values, name) for name, values in weights.items() if name in used]
    graph = helper.make_graph(nodes, "colours", ends[:1], ends[1:], tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def in_pixels(path: Path, folder: Path) -> Path:
    """A network as OpenVINO's own pre-processing makes it take pixels, channels last."""
    import openvino
    from openvino.preprocess import PrePostProcessor

    steps = PrePostProcessor(openvino.Core().read_model(path))
    steps.input().tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    steps.input().model().set_layout(openvino.Layout("NCHW"))
    steps.input().preprocess().convert_element_type(openvino.Type.f32).mean([127.5] * 3).scale([127.5] * 3)
    openvino.save_model(steps.build(), folder / "pixels.xml", compress_to_fp16=False)
    return folder / "pixels.xml"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    draws = np.random.default_rng(0)
    for index, name in enumerate(sorted(COLOURS)):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(8):
            image = draws.integers(0, 120, (8, 8, 3), np.uint8)
            image[..., COLOURS.index(name)] += 130
            assert cv2.imwrite(str(tmp_path / "images" / name / f"{index}-{number}.png"), image)
    return tmp_path / "images"


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """The classes in the network's order, whose inputs are RGB."""
    (tmp_path / "labels.txt").write_text("blue\ngreen\nred\n")
    return tmp_path / "labels.txt"


def check(*arguments: object, command: str = "check") -> Result:
    return CliRunner().invoke(cli, [command, *map(str, arguments)])


def record(folder: Path, *arguments: object) -> dict[str, Any]:
    outcome = check(*arguments, "--json", folder / "check.json")
    assert (folder / "check.json").exists(), outcome.output
    found: dict[str, Any] = json.loads((folder / "check.json").read_text())
    return found | {"exit_code": outcome.exit_code}


@pytest.mark.parametrize("type_", [TensorProto.UINT8, *WIDTHS])
@pytest.mark.parametrize("backend", [openvino_cpu, onnxruntime_cpu])
def test_each_runtime_is_fed_as_the_network_wants_it(tmp_path: Path, type_: int, backend: Any) -> None:
    if type_ == TensorProto.DOUBLE and backend is onnxruntime_cpu:
        pytest.skip("ONNX Runtime convolves no float64")
    model = network(tmp_path / "net.onnx", type_)
    pixels = np.random.default_rng(1).integers(0, 256, (4, 3, 8, 8), np.uint8)
    scaled = pixels.astype(np.float32) / 127.5 - 1
    opened = open_model(model)
    assert opened.takes_pixels == (type_ == TensorProto.UINT8)
    place = Place("here", backend.__name__, 1)
    [found] = run(model, [pixels if opened.takes_pixels else scaled], 4, (4, 3, 8, 8), [place])
    expected = 5 * scaled.mean((2, 3))[:, ::-1]
    assert np.allclose(found.values, expected, atol=2e-2 if type_ == TensorProto.FLOAT16 else 1e-5)


def test_pixels_are_held_against_an_original_that_takes_them_scaled(tmp_path: Path, images: Path, labels: Path) -> None:
    original = network(tmp_path / "scaled.onnx")
    options = ["--target", "atom-x5-e3940", "--data", images, "--labels", labels, "--preset", "tensorflow"]
    found = record(tmp_path, in_pixels(original, tmp_path), *options, "--resize", "stretch", "--reference", original)
    assert (found["verdict"], found["grade"], found["exit_code"]) == ("pass", "exact", 0)
    assert found["accuracy"]["target"] == found["accuracy"]["fp32"] == ALL
    assert found["difference_with_reference"]["largest"] < 1e-4


@pytest.mark.parametrize("type_", ["f16", "f64", "u8"])
def test_what_saturates_is_found_behind_every_kind_of_input(tmp_path: Path, type_: str) -> None:
    import openvino
    from openvino.preprocess import PrePostProcessor

    draws = np.random.default_rng(0)
    layer = Layer(draws.integers(-127, 128, (1, 8, 16, 3, 3), np.int32), padding=1)
    shape = (2, 16, 6, 6)
    whole = draws.integers(0, 9, shape).astype(np.float32)
    path = layer.write(tmp_path / "layer.xml", shape)
    steps = PrePostProcessor(openvino.Core().read_model(path))
    steps.input().tensor().set_element_type(getattr(openvino.Type, type_))
    fed = whole.astype(np.uint8) if type_ == "u8" else whole
    answers = [
        SaturationReport(model).add(batch)
        for model, batch in ((openvino.Core().read_model(path), whole), (steps.build(), fed))
    ]
    np.testing.assert_allclose(answers[0], answers[1], rtol=1e-5)


@pytest.mark.nightly
def test_a_network_of_pixels_is_compressed_as_it_is(tmp_path: Path, images: Path, labels: Path) -> None:
    pixels = network(tmp_path / "pixels.onnx", TensorProto.UINT8)
    options = ["--method", "int8", "--target", "atom-x5-e3940", "--calibration", images, "--data", images]
    outcome = check(
        pixels, *options, "--labels", labels, "--resize", "stretch", "--output", tmp_path / "c", command="compress"
    )
    assert outcome.exit_code == 0, outcome.output
    assert open_model(tmp_path / "c" / "model.onnx").takes_pixels
    assert open_model(tmp_path / "c" / "model.onnx").precision == "int8"


@pytest.mark.nightly
def test_pixels_on_an_arm_core(tmp_path: Path, images: Path, labels: Path) -> None:
    pixels = network(tmp_path / "pixels.onnx", TensorProto.UINT8)
    options = ["--target", "tegra-parker-a57", "--data", images, "--labels", labels, "--resize", "stretch"]
    assert record(tmp_path, pixels, *options)["accuracy"]["target"] == ALL


def test_halves_go_into_the_jetson_and_pixels_do_not(tmp_path: Path, images: Path, labels: Path) -> None:
    options = ["--target", "jetson-tx2-maxq", "--data", images, "--labels", labels, "--resize", "stretch"]
    half = network(tmp_path / "half.onnx", TensorProto.FLOAT16)
    found = record(tmp_path, half, *options, "--preset", "tensorflow")
    assert (found["verdict"], found["accuracy"]["target"]) == ("pass", ALL)
    found = record(tmp_path, network(tmp_path / "pixels.onnx", TensorProto.UINT8), *options)
    assert (found["verdict"], found["exit_code"]) == ("fail", 1)
    assert "export it with float32" in found["advice"]
    assert found["accuracy"]["target"] == ALL, "what it would answer is calculated all the same"


def test_doubles_that_onnx_runtime_does_not_convolve(tmp_path: Path, images: Path) -> None:
    double = network(tmp_path / "double.onnx", TensorProto.DOUBLE)
    found = record(tmp_path, double, "--target", "tegra-parker-a57", "--data", images)
    assert (found["verdict"], found["exit_code"]) == ("fail", 1)
    assert found["runtime"]["unreadable"][0]["reason"] == "has no Conv of float64"
    assert "export it with float32 in" in found["advice"]
    refused = check(double, "--target", "jetson-tx2-maxq", "--data", images)
    assert refused.exit_code == 2
    assert "export it in float32" in refused.output


def scaled_array(folder: Path) -> list[object]:
    np.savez(folder / "scaled.npz", inputs=random(3, 4, 3, 8, 8))
    return ["--data", folder / "scaled.npz"]


def pixels_and_an_original(folder: Path) -> list[object]:
    np.savez(folder / "pixels.npz", inputs=np.zeros((4, 3, 8, 8), np.uint8))
    return ["--data", folder / "pixels.npz", "--reference", network(folder / "scaled.onnx")]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (lambda folder: ["--data", folder / "images", "--mean", "0"], "scales them itself: leave --preset, --mean"),
        (scaled_array, r"inputs is float32 \(4, 3, 8, 8\), the model takes uint8 \(N, 3, 8, 8\)"),
        (pixels_and_an_original, "takes numbers .* takes pixels .*; give --data as image files"),
    ],
)
def test_what_does_not_fit_a_network_of_pixels_is_one_line(
    tmp_path: Path, images: Path, arguments: Callable[[Path], list[object]], words: str
) -> None:
    pixels = network(tmp_path / "pixels.onnx", TensorProto.UINT8)
    outcome = check(pixels, "--target", "atom-x5-e3940", *arguments(tmp_path))
    assert outcome.exit_code == 2
    assert re.fullmatch(f"edgeproof: .*{words}.*\n", outcome.output)


def test_no_array_goes_into_an_original_that_takes_another(tmp_path: Path) -> None:
    pixels = open_model(network(tmp_path / "pixels.onnx", TensorProto.UINT8))
    scaled = open_model(network(tmp_path / "scaled.onnx"))
    samples = random_samples(pixels.sample_shape, 2, pixels=True)
    with pytest.raises(InputError, match="takes another array than"):
        checking.check(pixels, load_target("atom-x5-e3940"), samples, reference=scaled)
