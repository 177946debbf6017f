"""`edgeproof compress` on anybody's ONNX file, through the command itself."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import TensorProto, helper, numpy_helper

from pipeline.cli import cli
from pipeline.data.own import open_samples
from pipeline.formats.mixed_precision import fp32_layers
from pipeline.formats.model_file import open_model
from tests.graphs import model, node, random
from tests.stages.conftest import made


def compress(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["compress", *map(str, arguments)], catch_exceptions=False)


def refused(*arguments: object) -> str:
    result = compress(*arguments)
    assert result.exit_code == 2, result.output
    line: str = result.stderr.strip().splitlines()[-1]
    assert line.startswith("edgeproof: ")
    return line


@pytest.fixture
def fp32(prepared: Path) -> Path:
    return made("fp32", project=prepared).graph


@pytest.fixture
def images(prepared: Path) -> list[object]:
    return ["--calibration", prepared / "photos", "--preset", "tensorflow", "--resize", "stretch"]


def test_int8_for_the_atom_is_written_checked_and_judged(fp32: Path, images: list[object], tmp_path: Path) -> None:
    output = tmp_path / "made"
    arguments = [fp32, "--method", "int8", "--target", "atom-x5-e3940", *images, "--limit", 12, "--output", output]
    assert compress(*arguments).exit_code == 3  # no emulator is found here, so that nothing is proven
    result = compress(*arguments, "--accept-unaudited")
    assert result.exit_code == 0, result.output
    assert "PASS" in result.output
    assert "made/openvino/model.xml" in "".join(result.output.split())  # what a device loads is what is judged
    assert open_model(output / "model.onnx").precision == "int8"
    assert open_model(output / "openvino" / "model.xml").precision == "int8"


def test_fp16_for_the_jetson(fp32: Path, images: list[object], tmp_path: Path) -> None:
    arguments = [fp32, "--method", "fp16", "--target", "jetson-tx2-maxq", *images, "--output", tmp_path / "made"]
    result = compress(*arguments, "--limit", 6)
    assert result.exit_code == 0
    assert open_model(tmp_path / "made" / "model.onnx").precision == "fp16"
    assert "kept in FP32" not in result.output


def test_layers_that_overflow_stay_in_fp32_for_the_jetson(fp32: Path, images: list[object], tmp_path: Path) -> None:
    graph = onnx.load(fp32)
    layers = [node for node in graph.graph.node if node.op_type == "Conv"]
    weights = {tensor.name: tensor for tensor in graph.graph.initializer}
    # Between a convolution and the next one lie a Relu and a pooling, which do not mind the factor.
    for name, factor in ((layers[0].input[1], 1e6), (layers[0].input[2], 1e6), (layers[1].input[1], 1e-6)):
        values = numpy_helper.to_array(weights[name]) * np.float32(factor)
        weights[name].CopyFrom(numpy_helper.from_array(values, name))
    for layer in graph.graph.node:
        layer.name = ""
    onnx.save(graph, tmp_path / "loud.onnx")
    output = tmp_path / "made"
    arguments = [tmp_path / "loud.onnx", "--method", "fp16", "--target", "jetson-tx2-maxp", *images, "--output", output]
    result = compress(*arguments, "--limit", 6)
    assert result.exit_code == 0, result.output
    kept = fp32_layers(onnx.load(output / "model.onnx"))
    assert f"kept in FP32: {', '.join(kept)}\n" in result.output
    assert [name.split("_")[0] for name in kept] == ["Conv", "Relu", "MaxPool", "Conv", "Relu"]


def pictures(folder: Path, *classes: str) -> Path:
    """Four images for each class in a folder of its own."""
    for index, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for image in range(4):
            pixels = np.random.default_rng([index, image]).integers(0, 256, (40, 40, 3), np.uint8)
            cv2.imwrite(str(folder / name / f"{image}.png"), pixels)
    return folder


@pytest.mark.parametrize("classes", [("b", "a"), pytest.param(("0", "90", "180"), marks=pytest.mark.nightly)])
def test_calibration_needs_no_classes(classes: tuple[str, ...], fp32: Path, tmp_path: Path) -> None:
    """Two classes of three, or an order in doubt: the images calibrate all the same, and answers are compared."""
    arguments = [fp32, "--method", "int8", "--target", "atom-x5-e3940", "--output", tmp_path / "made"]
    arguments += ["--calibration", pictures(tmp_path / "photos", *classes)]
    result = compress(*arguments)
    assert result.exit_code == 3, result.output  # no emulator is found here to prove it
    assert "without labels, changed answers count" in result.stderr
    assert "same class" in result.output
    assert "accuracy: the samples have no labels" in " ".join(result.output.split())


@pytest.mark.nightly
def test_labels_are_taken_for_what_it_is_checked_on(fp32: Path, tmp_path: Path) -> None:
    (tmp_path / "order").write_text("90\n0\n180\n")
    (tmp_path / "few").write_text("0\n90\n")
    photos = pictures(tmp_path / "photos", "0", "90", "180")
    arguments = [fp32, "--method", "int8", "--target", "atom-x5-e3940", "--output", tmp_path / "made"]
    arguments += ["--calibration", photos]
    result = compress(*arguments, "--labels", tmp_path / "order")
    assert "judged by 'logits', its only output: 3 classes" in result.output
    assert "without labels" not in result.stderr
    for data in ([], ["--data", photos]):
        assert "2 classes, but the model answers 3" in refused(*arguments, *data, "--labels", tmp_path / "few")
    assert "give the order with --labels" in refused(*arguments, "--data", photos)


def test_a_manifest_without_classes_calibrates(tmp_path: Path) -> None:
    photos = pictures(tmp_path / "photos", "a")
    (photos / "manifest.csv").write_text("file\n" + "".join(f"a/{index}.png\n" for index in range(4)))
    for source in (photos, photos / "manifest.csv"):
        samples = open_samples(source, shape=(3, 8, 8), classes=3, labelled=False)
        assert (len(samples), samples.labels) == (4, None)
    np.savez(tmp_path / "data.npz", inputs=np.zeros((2, 3, 8, 8), np.float32), labels=np.array([0.5, 7]))
    assert open_samples(tmp_path / "data.npz", shape=(3, 8, 8), classes=3, labelled=False).labels is None


def test_a_model_of_any_size_is_compressed_for_one(tmp_path: Path) -> None:
    weights = {"w": random(0, 8, 3, 3, 3), "b": random(1, 8), "v": random(2, 4, 8), "c": random(3, 4)}
    nodes = [
        node("Conv", "x w b", "first"),
        node("GlobalAveragePool", "first", "mean"),
        node("Flatten", "mean", "flat"),
        node("Gemm", "flat v c", "y", transB=1),
    ]
    graph = model(nodes, weights, ("N", 3, "height", "width"))
    onnx.save(onnx.shape_inference.infer_shapes(graph), tmp_path / "any.onnx")
    arguments = [tmp_path / "any.onnx", "--method", "int8", "--target", "atom-x5-e3940"]
    arguments += ["--calibration", pictures(tmp_path / "photos", *"abcd"), "--output", tmp_path / "made"]
    assert "say which with --size" in refused(*arguments)
    result = compress(*arguments, "--size", 24)
    assert result.exit_code in (0, 1, 3), result.output
    assert "16 images" in result.output


def test_what_the_runtime_would_not_read_is_rewritten_before_it_is_compressed(
    fp32: Path, images: list[object], tmp_path: Path
) -> None:
    graph = onnx.load(fp32)
    graph.opset_import[0].version = 14
    for step in graph.graph.node:
        step.op_type = "HardSwish" if step.op_type == "Relu" else step.op_type
    onnx.save(graph, tmp_path / "swish.onnx")
    arguments = [tmp_path / "swish.onnx", "--method", "fp16", "--target", "jetson-tx2-maxq", *images, "--limit", 6]
    result = compress(*arguments, "--output", tmp_path / "made")
    assert result.exit_code == 0, result.output
    operators = {node.op_type for node in onnx.load(tmp_path / "made" / "model.onnx").graph.node}
    assert "HardSigmoid" in operators
    assert "HardSwish" not in operators


def test_what_cannot_be_is_one_line_and_leaves_nothing(
    fp32: Path, prepared: Path, images: list[object], tmp_path: Path
) -> None:
    output = ["--output", tmp_path / "made"]
    atom = ["--method", "int8", "--target", "atom-x5-e3940"]
    assert "DP4A" in refused(fp32, "--method", "int8", "--target", "jetson-tx2-maxq", *images, *output)
    assert "give the FP32 original" in refused(made("int8", project=prepared).graph, *atom, *images, *output)
    assert "no such file" in refused(tmp_path / "missing.onnx", *atom, *images, *output)
    assert "neither ONNX (.onnx) nor" in refused("lenet-5", *atom, *images, *output)  # a model of the pipeline
    for missing, given in (("--calibration", output), ("--output", images)):
        incomplete = compress(fp32, *atom, *given)
        assert incomplete.exit_code == 2
        assert f"Missing option '{missing}'" in incomplete.stderr
    np.savez(tmp_path / "small.npz", inputs=np.zeros((4, 3, 8, 8), np.float32))
    assert "small.npz" in refused(fp32, *atom, "--calibration", tmp_path / "small.npz", *output)
    assert not (tmp_path / "made").exists()


def test_what_cannot_be_judged_is_told_before_anything_is_done(tmp_path: Path) -> None:
    """A detector's kept boxes are no classes, and how many there are shows only when it runs."""
    boxes = [node("Conv", "x b", "c"), node("Reshape", "c four", "d"), node("Transpose", "d", "e", perm=[0, 2, 1])]
    scores = [node("Conv", "x s", "f"), node("Reshape", "f two", "g"), node("NonMaxSuppression", "e g most", "y")]
    constants = {
        "b": random(0, 4, 3, 8, 8), "s": random(1, 2, 3, 8, 8), "most": np.array([3]),
        "four": np.array([1, 4, -1]), "two": np.array([1, 2, -1]),
    }  # fmt: skip
    detector = model([*boxes, *scores], constants, (1, 3, 16, 16))
    detector.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.INT64, ["kept", 3]))
    onnx.save(detector, tmp_path / "net.onnx")
    np.savez(tmp_path / "data.npz", inputs=random(2, 4, 3, 16, 16), labels=np.array([0, 1, 0, 1]))
    given = ["--method", "int8", "--target", "atom-x5-e3940", "--calibration", tmp_path / "data.npz"]
    result = compress(tmp_path / "net.onnx", *given, "--output", tmp_path / "made")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1), result.stderr
    assert "labels need one value a class" in result.stderr
    assert not (tmp_path / "made").exists()


def test_nothing_of_somebody_s_is_lost_to_an_output_folder(
    fp32: Path, prepared: Path, images: list[object], tmp_path: Path
) -> None:
    work, photos = tmp_path / "work", tmp_path / "photos"
    work.mkdir()
    shutil.copy(fp32, work / "net.onnx")
    (work / "notes.txt").write_text("not to be lost")
    shutil.copytree(prepared / "photos", photos)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    given = [work / "net.onnx", "--method", "fp16", "--target", "jetson-tx2-maxq", *images, "--limit", 6]
    mine = [*given, "--calibration", photos]
    assert "work holds other files (net.onnx, notes.txt); name a new folder" in refused(*given, "--output", work)
    assert "net.onnx is a file" in refused(*given, "--output", work / "net.onnx")
    assert "photos holds other files (blue/, green/, red/)" in refused(*mine, "--output", photos)
    assert "lies in" in refused(*mine, "--output", photos / "made")
    assert "lies in" in refused(*given, "--data", photos, "--output", photos / "made")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    for _ in range(2):  # over what it wrote itself it goes again
        assert compress(*given, "--output", work / "made").exit_code == 0
    (work / "made" / "measured.csv").write_text("by hand")
    assert "made holds other files (measured.csv)" in refused(*given, "--output", work / "made")
    (work / "old").mkdir()
    (work / "old" / "model.onnx").write_bytes(b"of an earlier version, or somebody's own")
    line = refused(*given, "--output", work / "old")
    assert (
        "old holds other files (model.onnx); name a new folder, or delete it if an earlier edgeproof wrote it" in line
    )
    assert (work / "made" / "model.onnx").exists()
