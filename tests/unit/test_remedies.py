"""Files that TensorRT 8.2 does not read, rewritten so that it does, and still the same network."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from pipeline.cli import cli
from pipeline.formats import remedies
from pipeline.formats.folding import slim
from pipeline.formats.model_file import open_model
from pipeline.formats.modern import modern
from pipeline.formats.remedies import Remedied, remedied
from pipeline.formats.runtimes import opset_of, read_by
from pipeline.system.errors import InputError
from tests import graphs
from tests.graphs import calculated, node, random

SAMPLE = (4, 6, 5)


def model(*nodes: NodeProto, opset: int = 17, shape: Any = ("n", *SAMPLE), **weights: Any) -> ModelProto:
    """A graph from x to y, of which x is an image with four channels."""
    return graphs.model(nodes, weights, shape, opset)


def for_tensorrt(of: ModelProto) -> Remedied:
    return remedied(of, "tensorrt", "8.2.1", SAMPLE)


def norm(inputs: str = "x s b", opset: int = 17, size: tuple[int, ...] = (5,), **attributes: Any) -> ModelProto:
    weights = {"s": random(1, *size), "b": random(2, *size)}
    return model(node("LayerNormalization", inputs, "y", **attributes), opset=opset, **weights)


def reshaped(opset: int) -> ModelProto:
    """All but the batch made one dimension, by a shape that is sliced out of the image's own."""
    nodes = [node("Shape", "x", "a", end=1), node("Concat", "a m", "b", axis=0), node("Reshape", "x b", "c")]
    return model(*nodes, node("Relu", "c", "y"), opset=opset, m=np.array([-1]))


UNREAD = {
    "HardSwish": model(node("HardSwish", "x", "y"), opset=14),
    "Mish": model(node("Mish", "x", "y"), opset=18),
    "Gelu": model(node("Gelu", "x", "y"), opset=20),
    "Gelu by tanh": model(node("Gelu", "x", "y", approximate="tanh"), opset=20),
    "LayerNormalization": norm(),
    "LayerNormalization without a bias": norm("x s"),
    "LayerNormalization over an image": norm(axis=1, size=SAMPLE, epsilon=0.1),
    "LayerNormalization with axes as an input": norm(opset=19, axis=-2, size=SAMPLE[1:]),
    "GroupNormalization of channels": model(
        node("GroupNormalization", "x s b", "y", num_groups=2), opset=21, s=random(3, 4), b=random(4, 4)
    ),
    "GroupNormalization of groups, as ONNX withdrew it": model(
        node("GroupNormalization", "x s b", "y", num_groups=2), opset=18, s=random(3, 2), b=random(4, 2)
    ),
    "Pad of some axes": model(
        node("Pad", "x p v a", "y", mode="constant"), opset=18,
        p=np.array([1, 2, 0, 1]), v=np.float32(3), a=np.array([-1, 1]),
    ),
    "Pad of some axes by reflection": model(
        helper.make_node("Pad", ["x", "p", "", "a"], ["y"], "pad", mode="reflect"), opset=19,
        p=np.array([1, 2]), a=np.array([3]),
    ),
    "Split into parts of which the last is smaller": model(
        helper.make_node("Split", ["x"], ["a", "b", "c"], "split", axis=3, num_outputs=3),
        node("Concat", "c a b", "y", axis=3), opset=18,
    ),
    "ReduceMean": model(node("ReduceMean", "x a", "y", keepdims=0), opset=18, a=np.array([2, 3])),
    "ReduceMax": model(node("ReduceMax", "x a", "y"), opset=20, a=np.array([-1])),
    "Shape": reshaped(15),
    "A bias that is made where it is wanted, as PyTorch writes one when it does not optimize": model(
        node("CastLike", "zero x", "a"), node("Expand", "a four", "b"), node("Conv", "x w b", "y"),
        opset=18, zero=np.float64(0), four=np.array([4]), w=random(5, 4, 4, 1, 1),
    ),
    "Squeeze by calculated axes": model(
        node("Neg", "a", "b"), node("ReduceMean", "x", "c", axes=[3]), node("Squeeze", "c b", "y"), a=np.array([1])
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNREAD)
def test_what_is_written_is_read_and_calculates_the_same(name: str) -> None:
    original = UNREAD[name]
    assert read_by(original, "tensorrt", "8.2.1").unreadable
    before = original.SerializeToString()
    found = for_tensorrt(original)
    assert read_by(found.model, "tensorrt", "8.2.1").unreadable == []
    assert opset_of(found.model) <= 17
    assert original.SerializeToString() == before
    inputs = random(9, 3, *SAMPLE, scale=3)  # not those that it was compared on
    expected, answers = calculated(original, inputs), calculated(found.model, inputs)
    assert np.abs(expected - answers).max() <= 1e-4 * np.abs(expected).max()


def test_what_onnx_withdrew_and_runtimes_calculate_is_opened(tmp_path: Path) -> None:
    groups = ModelProto()
    groups.CopyFrom(UNREAD["GroupNormalization of groups, as ONNX withdrew it"])
    groups.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", *SAMPLE]))
    onnx.save(groups, tmp_path / "net.onnx")
    assert open_model(tmp_path / "net.onnx").sample_shape == SAMPLE


@pytest.mark.parametrize("opset", [14, 16, 18, 21])
def test_the_opset_is_lowered_where_the_meaning_stays(opset: int) -> None:
    nodes = [node("Relu", "x", "a"), node("Split", "a", "b c", axis=1), node("Add", "b c", "d")]
    if opset >= 18:
        nodes[1].attribute.append(helper.make_attribute("num_outputs", 2))
    nodes.append(node("Reshape", "d to", "y", allowzero=0))
    found = for_tensorrt(model(*nodes, opset=opset, to=np.array([0, -1])))
    assert opset_of(found.model) == 13
    assert f"opset {opset} lowered to 13" in found.changes


def test_open_sizes_are_fixed_and_the_batch_stays_open() -> None:
    found = for_tensorrt(model(node("HardSwish", "x", "y"), opset=14, shape=("n", 4, "h", "w")))
    dims = found.model.graph.input[0].type.tensor_type.shape.dim
    assert (dims[0].dim_param, [dim.dim_value for dim in dims[1:]]) == ("n", list(SAMPLE))
    assert found.changes[0] == "input fixed to 4x6x5"


def test_normalisations_are_merged_into_convolutions() -> None:
    weights = {"w": random(0, 4, 4, 1, 1), **{name: np.abs(random(1, 4)) for name in "sbmv"}}
    nodes = [node("Conv", "x w", "a"), node("BatchNormalization", "a s b m v", "c"), node("HardSwish", "c", "y")]
    found = for_tensorrt(model(*nodes, opset=14, **weights))
    assert [item.op_type for item in found.model.graph.node] == ["Conv", "HardSigmoid", "Mul"]


def test_functions_of_the_file_itself_are_written_out() -> None:
    body = [node("HardSigmoid", "a", "b"), node("Mul", "a b", "c")]
    imports = [helper.make_opsetid("", 17)]
    original = model(helper.make_node("Gate", ["x"], ["y"], "gate", domain="own"))
    original.functions.append(helper.make_function("own", "Gate", ["a"], ["c"], body, imports))
    original.opset_import.append(helper.make_opsetid("own", 1))
    [unread] = read_by(original, "tensorrt", "8.2.1").unreadable or []
    assert (unread.reason, unread.converted) == ("has no importer for own.Gate", True)
    [unread] = read_by(original, "openvino", "2026.4.1").unreadable or []
    assert (unread.reason, unread.converted) == ("has no own.Gate", True)
    assert [item.op_type for item in for_tensorrt(original).model.graph.node] == ["HardSigmoid", "Mul"]


@pytest.mark.parametrize("places", [[3, 5, 15], [[0, 3, 0, 0], [1, 1, 0, 0], [3, 3, 0, 0]]])
def test_sparse_weights_are_written_out(places: Any) -> None:
    original = model(node("Conv", "x w", "y"))
    values = numpy_helper.from_array(random(0, 3), "w")
    sparse = helper.make_sparse_tensor(values, numpy_helper.from_array(np.array(places), "at"), [4, 4, 1, 1])
    original.graph.sparse_initializer.append(sparse)
    for runtime in (("tensorrt", "8.2.1"), ("openvino", "2026.4.1")):
        [unread] = read_by(original, *runtime).unreadable or []
        assert (unread.node, unread.converted) == ("w", True)
    found = for_tensorrt(original)
    assert (len(found.model.graph.sparse_initializer), found.changes[0]) == (0, "1 sparse weights written out")


def test_an_old_file_is_one_of_today() -> None:
    """Files of the format's version 3 list their weights as inputs, and say by attributes what is given now."""
    x = random(0, 2, *SAMPLE)
    nodes = [node("Mul", "x w", "a"), node("Clip", "a", "b", min=-0.5, max=0.5), node("Squeeze", "b", "y", axes=[0])]
    old = model(*nodes, opset=8, shape=(1, *SAMPLE), w=random(1, 4, 1, 1))
    old.ir_version = 3
    old.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [4, 1, 1]))
    found = modern(old)
    assert (opset_of(found), [value.name for value in found.graph.input]) == (13, ["x"])
    np.testing.assert_array_equal(calculated(found, x[:1]), calculated(old, x[:1]))
    newer = model(node("Gelu", "x", "y"), opset=20)
    assert opset_of(modern(newer)) == 20


def test_a_graph_is_simplified_by_shapes_that_are_so() -> None:
    """Files keep stale ones, and onnxslim gets those of an uneven split wrong."""
    split = helper.make_node("Split", ["x"], ["a", "b", "c"], "split", axis=3, num_outputs=3)
    original = model(split, node("Concat", "c a b", "y", axis=3), opset=18)
    original.graph.value_info.append(helper.make_tensor_value_info("a", TensorProto.FLOAT, [1, 99]))
    original.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 6, 6]))
    slimmed = slim(original)
    assert [dim.dim_value for dim in slimmed.graph.output[0].type.tensor_type.shape.dim[1:]] == list(SAMPLE)
    x = random(0, 2, *SAMPLE)
    np.testing.assert_array_equal(calculated(slimmed, x), calculated(original, x))


def test_a_newer_onnx_runtime_file_is_lowered_for_the_older_one_and_keeps_its_operators() -> None:
    original = model(node("Gelu", "x", "y"), opset=24)
    original.ir_version = 12
    found = remedied(original, "onnxruntime", "1.23.2", SAMPLE).model
    assert [item.op_type for item in found.graph.node] == ["Gelu"]
    assert (opset_of(found), found.ir_version) == (23, 11)


@pytest.mark.parametrize("kind", [TensorProto.UINT8, TensorProto.FLOAT16])
def test_pixels_and_halves_are_compared_as_such(kind: int) -> None:
    original = model(node("Cast", "x", "a", to=TensorProto.FLOAT), node("Relu", "a", "y"), opset=24)
    original.graph.input[0].type.tensor_type.elem_type = kind
    original.ir_version = 11
    assert opset_of(remedied(original, "onnxruntime", "1.23.2", SAMPLE).model) == 23


def test_what_has_no_remedy_is_refused_by_name() -> None:
    grid = model(node("GridSample", "x g", "y"), opset=16, g=np.zeros((1, 6, 5, 2), np.float32))
    with pytest.raises(InputError, match=r"TensorRT 8.2 has no importer for GridSample \(y\)"):
        for_tensorrt(grid)
    with pytest.raises(InputError, match="not known here"):
        remedied(grid, "tensorrt", "10.0", SAMPLE)


def test_an_outcome_that_calculates_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remedies, "TOLERANCE", -1.0)
    with pytest.raises(InputError, match="calculates something else"):
        for_tensorrt(UNREAD["Gelu"])


def test_the_command_writes_a_file_and_says_what_it_did(tmp_path: Path) -> None:
    original = model(node("HardSwish", "x", "y"), opset=14, shape=("n", 3, "h", "w"))
    onnx.save(onnx.shape_inference.infer_shapes(original), tmp_path / "net.onnx")
    arguments = ["convert", tmp_path / "net.onnx", "--target", "jetson-tx2-maxq", "--output", tmp_path / "made"]
    refused = CliRunner().invoke(cli, [str(item) for item in arguments])
    assert refused.exit_code == 2
    assert "--size" in refused.stderr
    assert not (tmp_path / "made").exists()
    done = CliRunner().invoke(cli, [*map(str, arguments), "--size", "8x12"])
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[:3] == [
        "input fixed to 3x8x12",
        "1 HardSwish written in simpler operators",
        "opset 14 lowered to 13",
    ]
    made = open_model(tmp_path / "made" / "model.onnx")
    assert (made.height, made.width) == (8, 12)
    assert read_by(onnx.load(made.path), "tensorrt", "8.2.1").unreadable == []


def test_what_cannot_be_calculated_beforehand_is_nothing_to_tell(capfd: pytest.CaptureFixture[str]) -> None:
    """A constant too large for ONNX Runtime stays as it is, and ONNX Runtime's own words are for nobody."""
    endless = model(
        node("Tile", "one often", "large"),
        node("ReduceMax", "large", "most", keepdims=0),
        node("Add", "x most", "y"),
        one=np.ones((1, 2), np.float32),
        often=np.array([1 << 20, 1 << 20]),
    )
    assert "Tile" in {item.op_type for item in slim(endless).graph.node}
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")
