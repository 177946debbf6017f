"""`edgeproof check` on models as anybody might bring them, good and bad, through the command itself."""

import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

import models
from pipeline.check import printout
from pipeline.check.record import CheckReport
from pipeline.cli import cli
from pipeline.data.batches import Regions
from pipeline.data.dataset import open_dataset
from pipeline.data.images import read_image
from pipeline.data.own import Preprocessing, is_imported, open_samples
from pipeline.formats.model_file import open_model
from pipeline.processes import child
from pipeline.project import layout
from pipeline.records.results import Accuracy, read_result
from pipeline.records.targets import load_target
from tests.quantized import Layer
from tests.stages.conftest import made, workers_left

ATOM = "atom-x5-e3940"
UNPROVEN = "--accept-unaudited"  # no emulator is found here: audits are what tests/emulators is for


def check(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["check", *map(str, arguments)], catch_exceptions=False)


def record(tmp_path: Path, *arguments: object, exit_code: int) -> dict[str, Any]:
    result = check(*arguments, "--json", tmp_path / "check.json")
    assert result.exit_code == exit_code, result.output
    answer: dict[str, Any] = json.loads((tmp_path / "check.json").read_text())
    return answer


def percent(answer: dict[str, Any], name: str) -> float:
    return Accuracy.model_validate(answer["accuracy"][name]).percent


def refused(*arguments: object) -> str:
    """The one line that bad input gets."""
    result = check(*arguments)
    assert result.exit_code == 2, result.output
    lines = result.stderr.strip().splitlines()
    assert lines[-1].startswith("edgeproof: "), result.stderr
    assert "Traceback" not in result.output
    assert workers_left() == ""
    return lines[-1]


@pytest.fixture
def int8(prepared: Path) -> Path:
    return made("int8", project=prepared).graph


@pytest.fixture
def fp32(prepared: Path) -> Path:
    return made("fp32", project=prepared).graph


@pytest.fixture
def data(prepared: Path, tmp_path: Path) -> Path:
    """Nine samples of three classes, as arrays."""
    noise = np.random.default_rng(0)
    np.savez(tmp_path / "data.npz", inputs=noise.standard_normal((9, 3, 32, 32), np.float32), labels=np.arange(9) % 3)
    return tmp_path / "data.npz"


def test_accuracy_of_anyone_s_int8_model(int8: Path, fp32: Path, prepared: Path, tmp_path: Path) -> None:
    arguments = [int8, "--target", ATOM, "--data", prepared / "photos", "--resize", "stretch", "--preset", "tensorflow"]
    found = record(tmp_path, *arguments, "--reference", fp32, "--max-drop", 100, UNPROVEN, exit_code=0)
    assert found["verdict"] == "pass"
    assert found["unaudited_accepted"] is True
    assert found["data"]["samples"] == 60
    for name in ("fp32", "cloud", "host", "target"):
        assert 0 <= found["accuracy"][name]["correct"] <= found["accuracy"][name]["n"] == 60
    assert found["agreement_with"] == "reference"
    assert found["precision"] == "int8"
    assert {"largest", "rms", "relative_percent"} == found["difference"].keys()
    assert [layer["name"] for layer in found["layers"]]
    errors = [layer["output_error"] for layer in found["layers"]]
    assert errors == sorted(errors, reverse=True)
    assert found["prediction"]["inferences_per_s"] > 120
    assert found["audit"]["emulator"] == "denverton"
    assert found["versions"].keys() >= {"openvino", "onnxruntime"}


def test_what_nobody_has_audited_passes_only_where_that_is_accepted(int8: Path, prepared: Path, tmp_path: Path) -> None:
    arguments = [int8, "--target", ATOM, "--data", prepared / "photos", "--resize", "stretch", "--preset", "tensorflow"]
    arguments += ["--max-drop", 100]
    found = record(tmp_path, *arguments, exit_code=3)
    assert (found["grade"], found["verdict"], found["unaudited_accepted"]) == ("unaudited", "not_measured", False)
    assert {item["name"]: item["verdict"] for item in found["checks"]} == {
        "proof": "not_measured",
        "accuracy_drop_points": "pass",
        "frames_per_s": "pass",
        "unreadable_nodes": "pass",
    }
    assert "run `edgeproof emulators install denverton`, or give --accept-unaudited" in found["advice"]
    assert "that was accepted" in " ".join(check(*arguments, UNPROVEN).output.split())


def test_an_ir_and_its_onnx_are_the_same_model(int8: Path, prepared: Path, data: Path, tmp_path: Path) -> None:
    ir = made("int8", project=prepared).loaded_by("openvino")
    one, other = (
        # No better than chance on noise.
        record(tmp_path, model, "--target", ATOM, "--data", data, UNPROVEN, exit_code=3)
        for model in (int8, ir)
    )
    for name in ("accuracy", "agreement", "difference", "worst_layer", "verdict"):
        assert one[name] == other[name]
    counts = [{layer["name"]: layer["saturated"] for layer in found["layers"]} for found in (one, other)]
    assert counts[0] == counts[1]


def test_imported_images_reach_an_exported_model_as_in_the_re_test(prepared: Path) -> None:
    """Bit for bit, though the one reads the imported files and the other the regions that were made of them."""
    data = prepared / layout.DATA
    assert {read_image(file).shape[:2] for file in (data / "images").rglob("*.png")} == {(40, 32)}  # none is a square
    model = open_model(made("int8", project=prepared).loaded_by("openvino"))
    checked = open_samples(
        data,
        shape=model.sample_shape,
        layout=model.layout,
        classes=model.classes,
        preprocessing=Preprocessing.chosen(own=model.wanted, imported=is_imported(data)),
    )
    spec = replace(models.spec("lenet-5"), input_size=model.height)
    tested = Regions(open_dataset(prepared / layout.DATASET), spec, "test")
    assert np.array_equal(checked.labels, tested.labels)
    inputs, expected = (np.concatenate(list(samples.batches(4))) for samples in (checked, tested))
    assert np.array_equal(inputs, expected)


def test_an_exported_model_is_as_good_in_check_as_in_the_re_test(prepared: Path, tmp_path: Path) -> None:
    for method in ("fp32", "int8", "pruned-int8"):
        model = made(method, project=prepared).loaded_by("openvino")
        found = record(tmp_path, model, "--target", ATOM, "--data", prepared / layout.DATA, UNPROVEN, exit_code=0)
        recorded = read_result(prepared / layout.result("emulated", "lenet-5", method, ATOM)).accuracy
        assert recorded.target is not None
        assert Accuracy.model_validate(found["accuracy"]["target"]) == recorded.target


def test_a_model_whose_sums_saturate_fails_and_is_told_why(tmp_path: Path) -> None:
    """Class 0 has the larger sum, out of two products that overflow 16 bits; those of class 1 fit."""
    weights = np.array([[127, 127, 0, 0], [63, 63, 63, 63]], np.int32).reshape(1, 2, 4, 1, 1)
    model = Layer(weights).write(tmp_path / "loud.xml", (4, 4, 1, 1))
    np.savez(tmp_path / "loud.npz", inputs=np.full((8, 4, 1, 1), 255, np.float32), labels=np.zeros(8, np.int64))
    found = record(tmp_path, model, "--target", ATOM, "--layout", "nchw", "--data", tmp_path / "loud.npz", exit_code=1)
    assert (percent(found, "cloud"), percent(found, "target")) == (100, 0)
    assert found["agreement"] == 0
    assert found["verdict"] == "fail"
    assert found["worst_layer"] == "layer"
    assert found["layers"][0]["saturated"] == 8
    assert found["layers"][0]["channels_hit"] == 1
    assert "7-bit weights in 1 of their output channels" in found["advice"]


def test_without_labels_the_answers_are_compared_with_the_original(int8: Path, fp32: Path, tmp_path: Path) -> None:
    noise, colours = np.random.default_rng(0), np.eye(3, dtype=np.float32)[:, :, None, None].repeat(2, 0)
    np.savez(tmp_path / "plain.npz", inputs=noise.standard_normal((6, 3, 32, 32), np.float32) + 4 * colours - 2)
    arguments = [int8, "--target", ATOM, "--data", tmp_path / "plain.npz", "--max-drop", 100, UNPROVEN]
    found = record(tmp_path, *arguments, "--reference", fp32, "--task", "classes", exit_code=0)
    assert found["accuracy"] == {"fp32": None, "cloud": None, "host": None, "target": None}
    assert found["agreement"] is not None
    names = ["changed_answers_percent", "frames_per_s", "unreadable_nodes"]
    assert [item["name"] for item in found["checks"]] == names
    assert found["not_measured"]["accuracy"]


def test_noise_gives_numbers_but_never_a_verdict(int8: Path, tmp_path: Path) -> None:
    found = record(tmp_path, int8, "--target", ATOM, exit_code=3)
    assert found["verdict"] == "not_measured"
    assert found["data"]["random"] is True
    assert found["difference"]["rms"] >= 0


def test_fp16_on_the_jetson_is_an_interval_and_the_worse_end_counts(fp32: Path, data: Path, tmp_path: Path) -> None:
    found = record(tmp_path, fp32, "--target", "jetson-tx2-maxq", "--data", data, exit_code=3)
    assert found["precision"] == "fp16"
    assert found["grade"] == "bounded"
    assert found["accuracy"]["target"] == min(found["bounds"].values(), key=lambda bound: bound["correct"])
    assert found["bounds"].keys() == {"fp32_sums", "fp16_sums"}
    assert {"overflow", "subnormal", "flushed", "max_abs"} <= found["layers"][0].keys()


def test_weights_beyond_fp16_fail_on_the_jetson_only(fp32: Path, prepared: Path, tmp_path: Path) -> None:
    """Two layers whose scales cancel in FP32: the values between them overflow FP16."""
    weights = np.eye(3, dtype=np.float32)[:, :, None, None]
    nodes = [
        helper.make_node("Conv", ["x", "up"], ["a"], "grow"),
        helper.make_node("Conv", ["a", "down"], ["b"], "shrink"),
    ]
    nodes += [helper.make_node("GlobalAveragePool", ["b"], ["c"]), helper.make_node("Flatten", ["c"], ["y"])]
    tensors = (numpy_helper.from_array(weights * 2e5, "up"), numpy_helper.from_array(weights / 2e5, "down"))
    model = save(tmp_path / "loud.onnx", nodes, tensors, outputs=(2, 3))
    inputs = np.full((6, 3, 8, 8), 0.1, np.float32)
    labels = np.arange(6) % 3
    inputs[np.arange(6), labels] = 1
    np.savez(tmp_path / "loud.npz", inputs=inputs, labels=labels)
    jetson = record(tmp_path, model, "--target", "jetson-tx2-maxq", "--data", tmp_path / "loud.npz", exit_code=1)
    assert percent(jetson, "fp32") == 100
    assert percent(jetson, "target") < 50
    assert "grow" in jetson["worst_layer"]
    assert "Keep the layers that overflow FP16 in FP32: " in jetson["advice"]
    atom = record(tmp_path, model, "--target", ATOM, "--data", tmp_path / "loud.npz", UNPROVEN, exit_code=0)
    assert percent(atom, "target") == 100


def unread(path: Path, *nodes: Any, opset: int = 14) -> Path:
    """An ONNX file whose last node writes y, with data of the same name beside it."""
    graph = save(path, list(nodes)).read_bytes()
    model = onnx.load_from_string(graph)
    model.opset_import[0].version = opset
    model.ir_version = 8
    onnx.save(model, path)
    np.savez(path.with_suffix(".npz"), inputs=np.random.default_rng(0).standard_normal((6, 3, 8, 8), np.float32))
    return path


def test_a_file_that_the_targets_runtime_cannot_parse_fails(tmp_path: Path) -> None:
    model = unread(tmp_path / "net.onnx", helper.make_node("HardSwish", ["x"], ["y"], "swish"))
    arguments = ["--data", tmp_path / "net.npz", "--max-drop", 100]
    found = record(tmp_path, model, "--target", "jetson-tx2-maxq", *arguments, exit_code=1)
    assert [item["node"] for item in found["runtime"]["unreadable"]] == ["swish"]
    assert found["checks"][-1]["name"] == "unreadable_nodes"
    assert found["checks"][-1]["value"] == 1
    assert found["agreement"] is None or found["agreement"] >= 0  # its numbers are there all the same
    assert found["difference"] is not None
    assert "edgeproof convert MODEL --target jetson-tx2-maxq" in found["advice"]
    page = " ".join(printout.render(CheckReport.model_validate(found), load_target("jetson-tx2-maxq")).split())
    assert "TensorRT 8.2.1 has no importer for HardSwish (swish)" in page
    assert "runtime fail: does not read 1 node" in page


@pytest.mark.parametrize("target", ["atom-x5-e3940", pytest.param("tegra-parker-a57", marks=pytest.mark.nightly)])
def test_what_the_runtime_says_not_to_have_fails_it_too(target: str, tmp_path: Path) -> None:
    """It is run here: what it has no operator for is not bad input, but nothing for this target."""
    model = unread(tmp_path / "net.onnx", helper.make_node("Magic", ["x"], ["y"], "magic", domain="my.own"))
    found = record(tmp_path, model, "--target", target, "--data", tmp_path / "net.npz", exit_code=1)
    assert [item["node"] for item in found["runtime"]["unreadable"]] == ["magic"]
    assert "has no my.own.Magic" in found["runtime"]["unreadable"][0]["reason"]
    assert "export it without my.own.Magic, or choose another target" in found["advice"]


def branching(path: Path, kind: str) -> dict[str, Any]:
    """A record of a file with a graph in a graph, which the emulation of FP16 does not enter."""
    branch = helper.make_graph(
        [helper.make_node(kind, ["x"], ["b"], "inner")],
        "branch",
        [],
        [helper.make_tensor_value_info("b", TensorProto.FLOAT, [2, 3, 8, 8])],
    )
    yes = helper.make_node("Constant", [], ["yes"], value=numpy_helper.from_array(np.array(True)))
    either = helper.make_node("If", ["yes"], ["y"], "either", then_branch=branch, else_branch=branch)
    arguments = [unread(path / "if.onnx", yes, either), "--target", "jetson-tx2-maxq", "--data", path / "if.npz"]
    return record(path, *arguments, exit_code=1 if kind == "HardSwish" else 3)


def test_what_the_emulation_cannot_run_either_still_fails_with_the_reason(tmp_path: Path) -> None:
    found = branching(tmp_path, "HardSwish")
    assert (found["verdict"], found["grade"]) == ("fail", "not_measured")
    assert found["accuracy"]["target"] is None
    assert [item["node"] for item in found["runtime"]["unreadable"]] == ["inner", "inner"]


def test_what_only_the_emulation_cannot_run_is_not_measured(tmp_path: Path) -> None:
    """It is no bad input either: the device itself may run it."""
    found = branching(tmp_path, "Sigmoid")
    assert (found["verdict"], found["grade"], found["bounds"]) == ("not_measured", "not_measured", {})
    assert found["runtime"]["unreadable"] == []
    assert "If holds a graph of its own" in found["not_measured"]["accuracy.target"]


def test_a_newer_opset_whose_operators_are_all_read_gets_a_remark(tmp_path: Path) -> None:
    model = unread(tmp_path / "new.onnx", helper.make_node("Sigmoid", ["x"], ["y"], "s"), opset=17)
    found = record(tmp_path, model, "--target", "jetson-tx2-maxq", "--limit", 4, exit_code=3)
    assert found["runtime"]["unreadable"] == []
    assert "opset 13" in found["runtime"]["notes"][0]


def save(path: Path, nodes: list[Any], tensors: tuple[Any, ...] = (), outputs: tuple[Any, ...] = (2, 3, 8, 8)) -> Path:
    """An ONNX file with the input x (2, 3, 8, 8) and the output y."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, outputs)],
        tensors,
    )
    imports = [helper.make_opsetid("", 13), helper.make_opsetid("my.own", 1)]
    onnx.save(helper.make_model(graph, opset_imports=imports), path)
    return path


def test_bad_models_get_one_line(int8: Path, fp32: Path, prepared: Path, tmp_path: Path) -> None:
    target = ["--target", ATOM]
    truncated = tmp_path / "truncated.onnx"
    truncated.write_bytes(int8.read_bytes()[:2000])
    assert "not a valid ONNX model" in refused(truncated, *target)

    free = onnx.load(fp32)
    for axis in (2, 3):
        free.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = "any"
    onnx.save(free, tmp_path / "free.onnx")
    assert "--size" in refused(tmp_path / "free.onnx", *target)

    nan = onnx.load(fp32)
    values = numpy_helper.to_array(nan.graph.initializer[0]).copy()
    values.flat[0] = np.nan
    nan.graph.initializer[0].CopyFrom(numpy_helper.from_array(values, nan.graph.initializer[0].name))
    onnx.save(nan, tmp_path / "nan.onnx")
    assert "NaN" in refused(tmp_path / "nan.onnx", *target)

    external = onnx.load(fp32)
    onnx.save(external, tmp_path / "external.onnx", save_as_external_data=True, location="weights", size_threshold=0)
    (tmp_path / "weights").unlink()
    assert "weights, which is missing" in refused(tmp_path / "external.onnx", *target)

    ir = made("int8", project=prepared).loaded_by("openvino")
    shutil.copy(ir, tmp_path / "model.xml")
    assert "model.bin, which is missing" in refused(tmp_path / "model.xml", *target)
    (tmp_path / "model.bin").touch()
    assert "truncated" in refused(tmp_path / "model.xml", *target)

    rows = save(tmp_path / "rows.onnx", [helper.make_node("Unique", ["x"], ["y"])], outputs=("k",))
    assert "a row for each sample" in refused(rows, *target)
    assert "no such file" in refused(tmp_path / "missing.onnx", *target)


def test_what_the_target_refuses_is_said_with_the_reason(int8: Path, fp32: Path) -> None:
    assert "6.2 has no DP4A" in refused(int8, "--target", "jetson-tx2-maxq")
    assert "holds fp32 weights" in refused(fp32, "--target", ATOM, "--precision", "int8")
    assert "did you mean 'atom-x5-e3940'" in refused(int8, "--target", "atom-e3940")


def test_labels_that_do_not_match_are_named(int8: Path, data: Path, tmp_path: Path) -> None:
    inputs = np.load(data)["inputs"]
    np.savez(tmp_path / "few.npz", inputs=inputs, labels=np.arange(4))
    assert "few.npz: " in refused(int8, "--target", ATOM, "--data", tmp_path / "few.npz")
    np.savez(tmp_path / "high.npz", inputs=inputs, labels=np.arange(9))
    assert "label 3 of sample 3 is outside 0 to 2" in refused(int8, "--target", ATOM, "--data", tmp_path / "high.npz")
    np.savez(tmp_path / "small.npz", inputs=inputs[:, :, :16], labels=np.arange(9) % 3)
    assert "16" in refused(int8, "--target", ATOM, "--data", tmp_path / "small.npz")


def test_a_reference_that_is_none_is_refused(int8: Path, prepared: Path) -> None:
    assert "must be the FP32 original" in refused(int8, "--target", ATOM, "--reference", int8)


def test_a_model_that_hangs_the_runtime_is_stopped(int8: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "TIME_LIMIT_S", 0.05)
    assert "did not answer within" in refused(int8, "--target", ATOM)


def test_a_place_that_cannot_be_written_is_said_before_the_work(int8: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "is no folder" in refused(int8, "--target", ATOM, "--json", tmp_path / "file" / "check.json")
    assert "is a folder" in refused(int8, "--target", ATOM, "--json", tmp_path)


@settings(max_examples=12, derandomize=True, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_damaged_files_end_in_a_verdict_or_in_one_line(data: st.DataObject, prepared: Path) -> None:
    """Flipped bits mostly pass the reader and go on into the runtimes, which may crash; the command may not."""
    content = bytearray(made("int8", project=prepared).graph.read_bytes())
    for place in data.draw(st.lists(st.integers(0, 8 * len(content) - 1), min_size=1, max_size=4)):
        content[place // 8] ^= 1 << place % 8
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "damaged.onnx"
        model.write_bytes(content)
        result = check(model, "--target", ATOM, "--limit", 4)
    assert result.exit_code in (0, 1, 2, 3), result.output
    if result.exit_code == 2:
        assert result.stderr.strip().splitlines()[-1].startswith("edgeproof: ")
    assert workers_left() == ""
