"""`edgeproof check` on networks that answer more, or other things, than one class, through the command itself."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import openvino
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from pipeline.cli import cli
from pipeline.formats.model_file import ModelFile
from pipeline.processes import host
from tests.graphs import random
from tests.heads import answers, network, pictures

ATOM, JETSON = "atom-x5-e3940", "jetson-tx2-maxq"
TARGETS = (ATOM, pytest.param(JETSON, marks=pytest.mark.nightly))
FACE = (("boxes", 4, ""), ("points", 10, ""), ("face", 2, ""))
X = pictures(24)


def check(*arguments: object) -> Result:
    """No emulator is found here: audits are what tests/emulators is for."""
    command = ["check", *map(str, arguments), "--accept-unaudited"]
    return CliRunner().invoke(cli, command, catch_exceptions=False)


def record(tmp_path: Path, *arguments: object, exit_code: int) -> dict[str, Any]:
    result = check(*arguments, "--json", tmp_path / "check.json")
    assert result.exit_code == exit_code, result.output
    found: dict[str, Any] = json.loads((tmp_path / "check.json").read_text())
    return {**found, "page": " ".join(result.output.split())}


def labelled(tmp_path: Path, labels: NDArray[Any] | None) -> Path:
    arrays = {} if labels is None else {"labels": labels}
    np.savez(tmp_path / "data.npz", inputs=X, **arrays)
    return tmp_path / "data.npz"


def classes(model: ModelFile, name: str) -> NDArray[np.int64]:
    found: NDArray[np.int64] = answers(model, X, name).argmax(1)
    return found


@pytest.mark.parametrize("target", TARGETS)
def test_the_output_that_fits_the_labels_is_judged_and_named(tmp_path: Path, target: str) -> None:
    model = network(tmp_path / "face.onnx", *FACE)
    data = labelled(tmp_path, classes(model, "face"))
    found = record(tmp_path, model.path, "--target", target, "--data", data, exit_code=0)
    assert "judged by 'face', 1 of 3 outputs: 2 classes" in found["page"]
    assert found["judged"]["outputs"] == ["face"]
    assert {found["accuracy"][place]["correct"] for place in ("fp32", "cloud", "target")} == {24}


@pytest.mark.parametrize("target", [ATOM, JETSON])
def test_the_user_says_which_output_and_every_place_answers_it(tmp_path: Path, target: str) -> None:
    model = network(tmp_path / "two.onnx", ("main", 5, "Softmax"), ("auxiliary", 5, "Softmax"))
    labels = classes(model, "auxiliary")
    arguments = [model.path, "--target", target, "--data", labelled(tmp_path, labels)]
    asked = check(*arguments)
    assert (asked.exit_code, "'main' (N, 5) from Softmax" in asked.stderr) == (2, True)
    found = record(tmp_path, *arguments, "--output", "auxiliary", exit_code=0)
    assert found["accuracy"]["target"]["correct"] == found["accuracy"]["host"]["correct"] == 24
    other = record(tmp_path, *arguments, "--output", "main", exit_code=3)
    expected = int((classes(model, "main") == labels).sum())
    assert other["accuracy"]["target"]["correct"] == other["accuracy"]["host"]["correct"] == expected


def test_an_ir_answers_the_output_by_the_name_it_had_in_the_onnx_file(tmp_path: Path) -> None:
    import openvino

    model = network(tmp_path / "face.onnx", *FACE)
    openvino.save_model(openvino.convert_model(model.path), tmp_path / "face.xml", compress_to_fp16=False)
    data = labelled(tmp_path, classes(model, "points"))
    arguments = ["--target", ATOM, "--data", data, "--output", "points"]
    found = record(tmp_path, tmp_path / "face.xml", "--reference", model.path, *arguments, exit_code=0)
    assert found["judged"]["outputs"] == ["points"]
    assert found["accuracy"]["target"]["correct"] == found["accuracy"]["fp32"]["correct"] == 24


@pytest.mark.parametrize("target", TARGETS)
def test_each_head_is_judged_where_labels_have_a_column_for_it(tmp_path: Path, target: str) -> None:
    model = network(tmp_path / "plate.onnx", *((f"digit{place}", 6, "") for place in range(3)))
    labels = np.stack([classes(model, f"digit{place}") for place in range(3)], axis=1)
    labels[:4, 2] = (labels[:4, 2] + 1) % 6  # four of the last head's are not what it answers
    found = record(tmp_path, model.path, "--target", target, "--data", labelled(tmp_path, labels), exit_code=0)
    assert found["accuracy"]["target"] == {"correct": 3 * 24 - 4, "n": 3 * 24}
    assert "3 of 3 outputs" in found["page"]


@pytest.mark.parametrize("target", TARGETS)
def test_numbers_get_no_verdict_by_their_largest_and_one_by_the_user_s_limit(tmp_path: Path, target: str) -> None:
    """Corners in pixels: the last is always the largest, however wrong they are."""
    model = network(tmp_path / "boxes.onnx", ("corners", 4, ""))
    arguments = [model.path, "--target", target, "--data", labelled(tmp_path, None), "--reference", model.path]
    found = record(tmp_path, *arguments, exit_code=3)
    assert (found["judged"]["task"], found["agreement"]) == ("values", None)
    assert "give --max-difference PERCENT, or --task classes" in found["advice"]
    assert "--reference" not in found["advice"]
    lenient = record(tmp_path, *arguments, "--max-difference", 1, exit_code=0)
    assert "difference_percent" in [item["name"] for item in lenient["checks"]]
    strict = 1 if target == JETSON else 0  # FP16 rounds
    assert record(tmp_path, *arguments, "--max-difference", 1e-4, exit_code=strict)


@pytest.mark.parametrize("target", TARGETS)
def test_a_map_is_judged_by_its_pixels(tmp_path: Path, target: str) -> None:
    weights = [numpy_helper.from_array(random(3, 4, 3, 1, 1), "w")]
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], "conv", kernel_shape=[1, 1])]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", channels, 8, 8])
        for name, channels in (("x", 3), ("y", 4))
    ]
    graph = helper.make_graph(nodes, "map", ends[:1], ends[1:], weights)
    imports = [helper.make_opsetid("", 13)]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=8), tmp_path / "map.onnx")
    scores = np.einsum("oc,nchw->nohw", random(3, 4, 3, 1, 1)[:, :, 0, 0], X)
    arguments = [tmp_path / "map.onnx", "--target", target, "--data", labelled(tmp_path, scores.argmax(1))]
    found = record(tmp_path, *arguments, exit_code=0)
    assert found["accuracy"]["fp32"] == {"correct": 24 * 64, "n": 24 * 64}
    assert "a map of 4 classes" in found["page"]
    partly = scores.argmax(1)
    partly[:, :2] = 255  # a quarter of the pixels belongs to nothing
    partly[0, 4, :4] = (partly[0, 4, :4] + 1) % 4
    found = record(tmp_path, *arguments[:4], labelled(tmp_path, partly), exit_code=0)
    assert found["accuracy"]["fp32"] == {"correct": 24 * 48 - 4, "n": 24 * 48}
    assert "25.0% of the pixels have no class (255)" in found["page"]
    bare = record(tmp_path, *arguments[:4], labelled(tmp_path, None), exit_code=3)
    assert "--task map if they are scores" in bare["advice"]


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_right_here_and_nothing_right_there_is_no_pass(tmp_path: Path, target: str) -> None:
    model = network(tmp_path / "m.onnx", ("scores", 5, ""))
    wrong = (classes(model, "scores") + 1) % 5
    found = record(tmp_path, model.path, "--target", target, "--data", labelled(tmp_path, wrong), exit_code=3)
    assert found["accuracy"]["target"]["correct"] == 0
    verdicts = {item["name"]: item["verdict"] for item in found["checks"]}
    assert verdicts["accuracy_drop_points"] == "not_measured"
    assert "--labels" in found["not_measured"]["accuracy"]
    assert "Nothing to mend" not in found["page"]


def test_a_network_that_always_answers_the_same_is_no_pass(tmp_path: Path) -> None:
    """All scores are zero: the first class, if any, and that is the label of every sample."""
    model = onnx.load(network(tmp_path / "m.onnx", ("scores", 5, "")).path)
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.zeros((3, 5), np.float32), "w_scores"))
    onnx.save(model, tmp_path / "zero.onnx")
    arguments = ["--target", ATOM, "--data", labelled(tmp_path, np.zeros(24, np.int64))]
    found = record(tmp_path, tmp_path / "zero.onnx", *arguments, exit_code=3)
    assert found["judged"]["undecided"] == 24
    assert found["accuracy"]["target"]["correct"] == 0
    assert "24 answers are none" in found["page"]


def save(path: Path, nodes: list[Any], out: tuple[str, int, list[Any] | None], **weights: Any) -> Path:
    """An ONNX file with the input x (N, 3, 8, 8) and the output `out`: its name, type and shape."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 8, 8])],
        [helper.make_tensor_value_info(*out)],
        [numpy_helper.from_array(np.asarray(values), name) for name, values in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)
    return path


def test_what_the_runtime_makes_something_else_of_is_no_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenVINO loses the lower bound of a 16-bit quantizer, which ONNX Runtime writes in place of a Relu."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["a"]),
        helper.make_node("QuantizeLinear", ["a", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("MatMul", ["d", "v"], ["y"]),
    ]
    scale = {"s": np.float32(1e-4), "z": np.int16(-32768), "w": random(0, 3, 16), "v": random(1, 16, 4)}
    model = save(tmp_path / "sixteen.onnx", nodes, ("y", TensorProto.FLOAT, ["N", 4]), **scale)
    [read] = onnxruntime.InferenceSession(model).run(None, {"x": X})
    [other] = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(X).values()
    if np.abs(read - other).max() < 0.1 * np.abs(read).max():
        pytest.skip("this OpenVINO reads it as ONNX Runtime does")
    monkeypatch.setattr(host, "saturates", lambda: False)  # else 8-bit answers are not held against each other
    arguments = [model, "--target", ATOM, "--data", labelled(tmp_path, other.argmax(1))]
    found = record(tmp_path, *arguments, exit_code=3)
    assert "makes something else of this file than ONNX Runtime does" in found["not_measured"]["accuracy"]


def test_answers_that_depend_on_the_batch_are_no_pass(tmp_path: Path) -> None:
    """A softmax over the samples instead of the classes: what is right in one batch is wrong in another."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["p"]),
        helper.make_node("Softmax", ["p"], ["s"], axis=0),
        helper.make_node("Flatten", ["s"], ["y"]),
    ]
    model = save(tmp_path / "mixed.onnx", nodes, ("y", TensorProto.FLOAT, ["N", 3]))
    session = onnxruntime.InferenceSession(model)
    labels = np.concatenate([session.run(None, {"x": X[start : start + 4]})[0].argmax(1) for start in range(0, 24, 4)])
    found = record(tmp_path, model, "--target", JETSON, "--data", labelled(tmp_path, labels), exit_code=3)
    assert found["accuracy"]["target"]["correct"] >= 23
    assert "depends on chance or on what else is in its batch of 4" in found["not_measured"]["accuracy"]


def test_what_the_runtime_refuses_and_another_runs_fails(tmp_path: Path) -> None:
    """The user's file is not bad: OpenVINO converts no QLinearConv of signed numbers with a scale a channel."""
    scales = {name: np.float32(0.05) for name in ("xs", "ys")} | {"ws": np.full(4, 0.01, np.float32)}
    zeros = {"xz": np.int8(0), "wz": np.zeros(4, np.int8), "yz": np.int8(0)}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "xs", "xz"], ["q"]),
        helper.make_node("QLinearConv", ["q", "xs", "xz", "w", "ws", "wz", "ys", "yz"], ["c"]),
        helper.make_node("DequantizeLinear", ["c", "ys", "yz"], ["y"]),
    ]
    weights = (127 * np.clip(random(0, 4, 3, 8, 8), -1, 1)).astype(np.int8)
    model = save(tmp_path / "q.onnx", nodes, ("y", TensorProto.FLOAT, ["N", 4, 1, 1]), w=weights, **scales, **zeros)
    found = record(tmp_path, model, "--target", ATOM, "--data", labelled(tmp_path, None), exit_code=1)
    assert "refuses what ONNX Runtime runs" in found["runtime"]["unreadable"][0]["reason"]
    assert "export it in another way" in found["advice"]


def test_a_network_in_training_mode_is_told_so_and_not_that_its_runtime_is_to_blame(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("GlobalMaxPool", ["x"], ["p"]),
        helper.make_node("Dropout", ["p", "ratio", "trains"], ["d"], "drop"),
        helper.make_node("Flatten", ["d"], ["y"]),
    ]
    dropout = {"ratio": np.float32(0.1), "trains": np.array(True)}
    model = save(tmp_path / "train.onnx", nodes, ("y", TensorProto.FLOAT, ["N", 3]), **dropout)
    found = record(tmp_path, model, "--target", ATOM, "--data", labelled(tmp_path, None), exit_code=1)
    assert found["runtime"]["notes"] == ["it is in training mode (Dropout drop): call model.eval() before the export"]
    assert "call model.eval()" in found["advice"]


def test_a_row_for_each_sample_in_another_runtime_alone_fails(tmp_path: Path) -> None:
    """OpenVINO keeps both parts of a complex number where one is gathered, and the samples become twice as many."""
    nodes = [
        helper.make_node("Unsqueeze", ["x", "last"], ["u"]),
        helper.make_node("DFT", ["u", "length"], ["d"], axis=3, onesided=1),
        helper.make_node("Gather", ["d", "zero"], ["real"], axis=4),
        helper.make_node("Reshape", ["real", "rows"], ["y"]),
    ]
    numbers = {"last": [-1], "length": 8, "zero": 0, "rows": [-1, 120]}
    out = ("y", TensorProto.FLOAT, ["N", 120])
    model = save(tmp_path / "dft.onnx", nodes, out, **{name: np.array(value) for name, value in numbers.items()})
    older = onnx.load(model)
    older.opset_import[0].version = 18  # in which the axis of a DFT is an attribute
    onnx.save(older, model)
    found = record(tmp_path, model, "--target", ATOM, "--data", labelled(tmp_path, None), exit_code=1)
    assert "does other than ONNX Runtime: answers [8, 120] values for 4 samples" in found["page"]


def test_lists_and_text_are_no_answers(tmp_path: Path) -> None:
    nodes = [helper.make_node("SequenceConstruct", ["x"], ["y"])]
    model = save(tmp_path / "list.onnx", nodes, ("y", TensorProto.FLOAT, None))
    listing = onnx.load(model)
    listing.graph.output[0].CopyFrom(helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None))
    onnx.save(listing, model)
    result = check(model, "--target", ATOM, "--data", labelled(tmp_path, None))
    assert (result.exit_code, "answers no numbers ('y' is no tensor" in result.stderr) == (2, True)
