"""Files that leave sizes open, or calculate them: predicted as the same network with all its sizes in it."""

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import ModelProto, NodeProto, helper, numpy_helper

from pipeline.cli import cli
from pipeline.formats.network_file import load
from pipeline.predict import predict
from pipeline.predict.layers import layers_of
from pipeline.records.targets import load_target
from pipeline.system.errors import InputError
from tests.graphs import model, node, random

JETSON, ATOM = load_target("jetson-tx2-maxq"), load_target("atom-x5-e3940")
SAMPLE = (3, 32, 48)


def ints(*values: int) -> Any:
    return np.array(values, np.int64)


def network(middle: list[NodeProto], shape: Any = ("n", *SAMPLE), opset: int = 17, **constants: Any) -> ModelProto:
    """A convolution, what `middle` makes of its output `c` (8 channels, 16 x 24), and a matrix product of `f`."""
    weights = {"w": random(0, 8, 3, 3, 3), "m": random(1, 8, 5), **constants}
    nodes = [node("Conv", "x w", "c", strides=[2, 2], pads=[1, 1, 1, 1]), *middle, node("MatMul", "f m", "y")]
    return model(nodes, weights, shape, opset)


PLAIN = [node("Reshape", "c flat", "r"), node("Transpose", "r", "f", perm=[0, 2, 1])]
BACK = node("Transpose", "r", "f", perm=[0, 2, 1])
CALCULATED: dict[str, tuple[list[NodeProto], dict[str, Any]]] = {
    "flatten(2) of torch.onnx": (
        [
            node("Shape", "c", "s"),
            node("Slice", "s zero two zero", "head"),
            node("Concat", "head rest", "to", axis=0),
            node("Reshape", "c to", "r"),
            BACK,
        ],
        {"zero": ints(0), "two": ints(2), "rest": ints(-1)},
    ),
    "x.view(x.size(0), x.size(1), -1)": (
        [
            node("Shape", "c", "s"),
            node("Gather", "s n0", "g0"),
            node("Gather", "s n1", "g1"),
            node("Unsqueeze", "g0 zero", "u0"),
            node("Unsqueeze", "g1 zero", "u1"),
            node("Concat", "u0 u1 rest", "to", axis=0),
            node("Reshape", "c to", "r"),
            BACK,
        ],
        {"n0": np.int64(0), "n1": np.int64(1), "zero": ints(0), "rest": ints(-1)},
    ),
    "Shape with a beginning and an end": (
        [
            node("Shape", "c", "head", end=2),
            node("Shape", "c", "tail", start=-2),
            node("ReduceProd", "tail", "area", keepdims=1),
            node("Concat", "head area", "to", axis=0),
            node("Reshape", "c to", "r"),
            BACK,
        ],
        {},
    ),
    "height times width, and a class token": (
        [
            node("Size", "c", "all"),
            node("Shape", "c", "s", end=2),
            node("ReduceProd", "s", "channels", keepdims=0),
            node("Div", "all channels", "area"),
            node("Unsqueeze", "area zero", "areas"),
            node("Concat", "s areas", "to", axis=0),
            node("Reshape", "c to", "r"),
            BACK,
        ],
        {"zero": ints(0)},
    ),
}


@pytest.mark.parametrize("batch", [None, 2])
@pytest.mark.parametrize("name", CALCULATED)
def test_shapes_that_follow_from_the_images_are_worked_out(name: str, batch: int | None, tmp_path: Path) -> None:
    middle, constants = CALCULATED[name]
    shape = (batch or "n", *SAMPLE)
    onnx.save(network(middle, shape, **constants), tmp_path / "calculated.onnx")
    onnx.save(network(PLAIN, shape, flat=ints(0, 8, -1)), tmp_path / "plain.onnx")
    found, plain = (layers_of(load(tmp_path / f"{kind}.onnx")) for kind in ("calculated", "plain"))
    assert [(layer.kind, layer.macs, layer.outputs) for layer in found] == [
        (layer.kind, layer.macs, layer.outputs) for layer in plain
    ]


def test_weights_in_nodes_have_a_shape_however_small(tmp_path: Path) -> None:
    """Paddle2ONNX writes all of them so."""
    stored, written = network(PLAIN, flat=ints(0, 8, -1)), network(PLAIN, flat=ints(0, 8, -1))
    nodes = [helper.make_node("Constant", [], [weight.name], value=weight) for weight in stored.graph.initializer]
    written.graph.node.extend([*nodes, *stored.graph.node])
    del written.graph.node[: len(stored.graph.node)], written.graph.initializer[:]
    costs = []
    for made in (stored, written):
        onnx.save(made, tmp_path / "model.onnx")
        costs.append([(layer.name, layer.macs) for layer in layers_of(load(tmp_path / "model.onnx")) if layer.macs])
    assert costs[0] == costs[1] != []


@pytest.mark.parametrize("kind", ["listed as inputs", "sparse"])
def test_weights_have_a_shape_however_they_are_stored(kind: str, tmp_path: Path) -> None:
    """Files of the format's version 3 list their weights as inputs."""
    plain, stored = network(PLAIN, flat=ints(0, 8, -1)), network(PLAIN, flat=ints(0, 8, -1))
    if kind == "sparse":
        weight = stored.graph.initializer.pop(0)
        values = numpy_helper.from_array(np.ones(1, np.float32), weight.name)
        sparse = helper.make_sparse_tensor(values, numpy_helper.from_array(np.array([3]), "at"), weight.dims)
        stored.graph.sparse_initializer.append(sparse)
    else:
        stored.ir_version = 3
        for weight in stored.graph.initializer:
            stored.graph.input.append(helper.make_tensor_value_info(weight.name, weight.data_type, weight.dims))
    costs = []
    for made in (plain, stored):
        onnx.save(made, tmp_path / "model.onnx")
        costs.append([(layer.name, layer.macs) for layer in layers_of(load(tmp_path / "model.onnx")) if layer.macs])
    assert costs[0] == costs[1] != []


def test_an_open_size_is_that_of_the_run_and_is_asked_for_else(tmp_path: Path) -> None:
    middle, constants = CALCULATED["flatten(2) of torch.onnx"]
    for kind, shape in (("open", ("n", 3, "h", "w")), ("fixed", ("n", *SAMPLE))):
        onnx.save(onnx.shape_inference.infer_shapes(network(middle, shape, **constants)), tmp_path / f"{kind}.onnx")
    fixed = predict(tmp_path / "fixed.onnx", JETSON, "fp16")
    assert predict(tmp_path / "open.onnx", JETSON, "fp16", sample_shape=SAMPLE) == fixed
    assert predict(tmp_path / "open.onnx", JETSON, "fp16", sample_shape=(3, 64, 96)).inferences_per_s < (
        fixed.inferences_per_s
    )
    arguments = ["predict", str(tmp_path / "open.onnx"), "--target", JETSON.name, "--precision", "fp16"]
    refused = CliRunner().invoke(cli, arguments)
    assert (refused.exit_code, "say the image's size with --size" in refused.stderr) == (2, True)
    done = CliRunner().invoke(cli, [*arguments, "--size", "32x48"])
    assert f"{fixed.inferences_per_s:.0f} regions/s" in done.output


def test_an_image_with_its_channels_last_is_closed_in_its_own_order(tmp_path: Path) -> None:
    first = node("Transpose", "x", "t", perm=[0, 3, 1, 2])
    model = network(PLAIN, ("n", "h", "w", 3), flat=ints(0, 8, -1))
    model.graph.node[0].input[0] = "t"
    model.graph.node.insert(0, first)
    onnx.save(onnx.shape_inference.infer_shapes(model), tmp_path / "last.onnx")
    arguments = ["predict", str(tmp_path / "last.onnx"), "--target", JETSON.name, "--size", "32x48"]
    assert CliRunner().invoke(cli, arguments).exit_code == 0


def test_an_ir_is_resized_by_openvino(tmp_path: Path) -> None:
    import openvino

    middle, constants = CALCULATED["flatten(2) of torch.onnx"]
    for kind, shape in (("open", ("n", 3, "h", "w")), ("fixed", (1, *SAMPLE))):
        onnx.save(network(middle, shape, **constants), tmp_path / f"{kind}.onnx")
        openvino.save_model(openvino.convert_model(tmp_path / f"{kind}.onnx"), tmp_path / f"{kind}.xml")
    fixed = predict(tmp_path / "fixed.xml", ATOM, "fp32")
    found = predict(tmp_path / "open.xml", ATOM, "fp32", sample_shape=SAMPLE)
    assert found.inferences_per_s == pytest.approx(fixed.inferences_per_s)
    with pytest.raises(InputError, match="--size"):
        predict(tmp_path / "open.xml", ATOM, "fp32")
    (tmp_path / "open.bin").write_bytes(b"")
    with pytest.raises(InputError, match="OpenVINO does not fix its size to 1x3x32x48"):
        predict(tmp_path / "open.xml", ATOM, "fp32", sample_shape=SAMPLE)


@pytest.mark.parametrize(
    ("op", "inputs"),
    [("ConstantOfShape", "huge"), ("Expand", "one huge"), ("Tile", "one huge"), ("Range", "start end step")],
)
def test_a_few_numbers_cannot_ask_for_gigabytes(op: str, inputs: str, tmp_path: Path) -> None:
    numbers = {"start": np.int64(0), "end": np.int64(1 << 40), "step": np.int64(1)}
    large = [node(op, inputs, "big"), node("Neg", "big", "bigger"), *PLAIN]
    model = network(large, flat=ints(0, 8, -1), huge=ints(1 << 40), one=ints(1), **numbers)
    onnx.save(model, tmp_path / "bomb.onnx")
    assert layers_of(load(tmp_path / "bomb.onnx"))


@pytest.mark.parametrize("damaged", [helper.make_node("Constant", [], ["k"]), helper.make_node("Shape", ["c"], [])])
def test_nodes_that_lack_their_parts_end_in_layers_or_in_one_line(damaged: NodeProto, tmp_path: Path) -> None:
    onnx.save(network([damaged, *PLAIN], flat=ints(0, 8, -1)), tmp_path / "damaged.onnx")
    with contextlib.suppress(InputError):
        assert layers_of(load(tmp_path / "damaged.onnx"))


def test_what_depends_on_the_images_values_is_named(tmp_path: Path) -> None:
    middle = [node("NonZero", "c", "i"), node("Cast", "i", "r", to=1), node("Reshape", "r flat", "f")]
    onnx.save(network(middle, flat=ints(-1, 8)), tmp_path / "values.onnx")
    with pytest.raises(InputError, match="does not follow from the image's size"):
        layers_of(load(tmp_path / "values.onnx"))
