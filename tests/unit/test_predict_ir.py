"""Prediction from OpenVINO IRs: the same as from the ONNX files they were made of, and one line for a damaged one."""

import contextlib
import copy
import logging
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.formats.network_file import load
from pipeline.predict import predict
from pipeline.predict.layers import Layer, layers_of
from pipeline.records.targets import load_target
from pipeline.system.errors import InputError
from tests.damage import damaged

ATOM = load_target("atom-x5-e3940")
# Width and height of the images: the layers are those of the full size, and the tests a fourth as long.
SIZES = {"lenet-5": 32, "squeezenet-1.1": 64, "mobilenet-v2": 64, "mobilenet-v3-small": 64, "efficientnet-lite0": 64}
QUANTIZED = ["lenet-5", "efficientnet-lite0"]
BIASED = "/WithoutBiases"


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a network with `model.onnx` and the IRs `single.xml` and `half.xml`, made once."""
    import openvino

    import models
    from pipeline.formats.from_torch import to_onnx

    folders: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in folders:
            folders[name] = tmp_path_factory.mktemp(name)
            network = models.build(name, 3, pretrained=False)
            spec = replace(models.spec(name), input_size=SIZES[name])
            onnx.save(to_onnx(network, spec), folders[name] / "model.onnx")
            model = openvino.convert_model(folders[name] / "model.onnx")
            for file, half in (("single.xml", False), ("half.xml", True)):
                openvino.save_model(model, folders[name] / file, compress_to_fp16=half)
        return folders[name]

    return folder


@pytest.fixture(scope="session")
def quantized(exported: Callable[[str], Path]) -> Callable[[str], Path]:
    """The folder of a network with `int8.onnx` and the IRs `int8.xml` (made of it) and `own-int8.xml` (NNCF's own)."""
    import nncf
    import openvino

    nncf.set_log_level(logging.ERROR)

    def folder(name: str) -> Path:
        here = exported(name)
        if not (here / "int8.onnx").exists():
            noise = np.random.default_rng(0).normal(size=(1, 1, 3, SIZES[name], SIZES[name])).astype(np.float32)
            samples = nncf.Dataset(list(noise), lambda value: {"input": value})
            onnx.save(nncf.quantize(onnx.load(here / "model.onnx"), samples, subset_size=1), here / "int8.onnx")
            openvino.save_model(openvino.convert_model(here / "int8.onnx"), here / "int8.xml")
            own = nncf.quantize(openvino.Core().read_model(here / "single.xml"), samples, subset_size=1)
            openvino.save_model(own, here / "own-int8.xml")
        return here

    return folder


def read(path: Path) -> list[Layer]:
    return layers_of(load(path))


def nameless(path: Path) -> list[Layer]:
    return [replace(layer, name="") for layer in read(path)]


@pytest.mark.parametrize("model", SIZES)
def test_an_ir_is_predicted_as_its_onnx_file(exported: Callable[[str], Path], model: str) -> None:
    folder = exported(model)
    expected = predict(folder / "model.onnx", ATOM, "fp32")
    for ir in (folder / "single.xml", folder / "half.xml"):
        assert nameless(ir) == nameless(folder / "model.onnx")
        assert predict(ir, ATOM, "fp32").inferences_per_s == pytest.approx(expected.inferences_per_s)


@pytest.mark.parametrize("model", QUANTIZED)
def test_a_quantized_ir_is_predicted_as_its_qdq_file(quantized: Callable[[str], Path], model: str) -> None:
    folder = quantized(model)
    expected = predict(folder / "int8.onnx", ATOM, "int8")
    for ir in (folder / "int8.xml", folder / "own-int8.xml"):
        assert nameless(ir) == nameless(folder / "int8.onnx")
        assert not any(layer.fp32 for layer in read(ir))
        assert predict(ir, ATOM, "int8").inferences_per_s == pytest.approx(expected.inferences_per_s)


def test_layers_have_their_authors_names(exported: Callable[[str], Path]) -> None:
    folder = exported("squeezenet-1.1")
    names = [layer.name for layer in predict(folder / "single.xml", ATOM, "fp32").layers]
    assert BIASED in (folder / "single.xml").read_text()
    assert names == [layer.name for layer in predict(folder / "model.onnx", ATOM, "fp32").layers]


def test_the_weights_file_is_not_needed(exported: Callable[[str], Path], tmp_path: Path) -> None:
    source = exported("lenet-5") / "single.xml"
    (tmp_path / "net.XML").write_bytes(source.read_bytes())
    assert read(tmp_path / "net.XML") == read(source)


def saved(outputs: list[Any], inputs: list[Any], folder: Path) -> Path:
    import openvino

    openvino.save_model(openvino.Model(outputs, inputs), folder / "net.xml", compress_to_fp16=False)
    return folder / "net.xml"


def weights(*shape: int) -> Any:
    from openvino import opset13 as op

    return op.constant(np.random.default_rng(0).normal(size=shape).astype(np.float32))


@pytest.mark.parametrize("batch", [-1, 1, 4])
def test_sizes_are_for_one_image_whatever_the_batch(tmp_path: Path, batch: int) -> None:
    from openvino import opset13 as op

    image = op.parameter([batch, 3, 34, 34], np.float32)
    path = saved([op.convolution(image, weights(8, 3, 3, 3), [1, 1], [0, 0], [0, 0], [1, 1])], [image], tmp_path)
    (layer,) = read(path)
    assert (layer.macs, layer.weights, layer.inputs, layer.outputs) == (27 * 8 * 1024, 216, 3 * 34 * 34, 8 * 1024)


@pytest.mark.parametrize("batch", [-1, 2])
def test_a_batch_may_go_into_other_dimensions(tmp_path: Path, batch: int) -> None:
    """Windows of a picture are put where the batch was: four times as many rows, not one."""
    from openvino import opset13 as op

    image = op.parameter([batch, 64, 16, 16], np.float32)
    windows = op.reshape(op.transpose(image, op.constant([0, 2, 3, 1])), op.constant([-1, 64, 64]), False)
    windows = op.relu(op.matmul(windows, weights(64, 32), False, False))
    joined = op.concat([op.reshape(windows, op.constant([-1, 32]), False)] * 2, 0)
    path = saved([op.matmul(joined, weights(5, 32), False, True)], [image], tmp_path)
    layers = read(path)
    assert [layer.kind for layer in layers] == ["copy", "gemm", "gemm"]
    assert [layer.macs for layer in layers] == [0, 256 * 64 * 32, 2 * 256 * 32 * 5]


def test_grouped_and_transposed_layers(tmp_path: Path) -> None:
    from openvino import opset13 as op

    image, one, none = op.parameter([-1, 24, 16, 16], np.float32), [1, 1], [0, 0]
    grouped = op.group_convolution(image, weights(4, 6, 6, 3, 3), one, one, one, one)
    depthwise = op.group_convolution(grouped, weights(24, 1, 1, 3, 3), one, one, one, one)
    upwards = op.convolution_backprop_data(depthwise, weights(24, 12, 2, 2), [2, 2], pads_begin=none, pads_end=none)
    flat = op.reshape(upwards, op.constant([0, 12, 1024]), True)
    product = op.matmul(flat, weights(12, 7), True, False)
    layers = read(saved([product], [image], tmp_path))
    assert [layer.kind for layer in layers] == ["grouped", "depthwise", "spatial", "gemm"]
    assert [layer.macs for layer in layers] == [54 * 24 * 256, 9 * 24 * 256, 24 * 12 * 4 * 256, 1024 * 12 * 7]
    assert [layer.weights for layer in layers] == [54 * 24, 9 * 24, 24 * 12 * 4, 12 * 7]


def test_float_layers_of_a_quantized_ir_are_timed_as_float(tmp_path: Path) -> None:
    from openvino import opset13 as op

    def dequantized(*shape: int) -> Any:
        stored = op.constant(np.ones(shape, np.int8))
        zero = op.constant(np.zeros([1] * len(shape), np.float32))
        scaled = op.multiply(op.subtract(op.convert(stored, np.float32), zero), weights(*[1] * len(shape)))
        return op.reshape(scaled, op.constant(list(shape)), False)

    def fake_quantized(value: Any) -> Any:
        return op.fake_quantize(value, np.float32(-1), np.float32(1), np.float32(-1), np.float32(1), 256)

    image, one, none = op.parameter([-1, 8, 16, 16], np.float32), [1, 1], [0, 0]
    found = op.convolution(fake_quantized(image), dequantized(8, 8, 3, 3), one, none, none, one)
    found = op.convolution(fake_quantized(op.relu(found)), fake_quantized(weights(8, 8, 3, 3)), one, none, none, one)
    found = op.group_convolution(fake_quantized(found), dequantized(8, 1, 1, 3, 3), one, none, none, one)
    found = op.convolution(found, weights(8, 8, 3, 3), one, none, none, one)
    path = saved([found], [image], tmp_path)
    assert [layer.fp32 for layer in read(path)] == [False, False, False, True]


def test_layers_may_stand_in_any_order(exported: Callable[[str], Path], tmp_path: Path) -> None:
    source = exported("lenet-5") / "single.xml"
    tree = ElementTree.parse(source)
    layers = tree.getroot().find("layers")
    assert layers is not None
    layers[:] = list(reversed(layers))
    tree.write(tmp_path / "net.xml")
    assert read(tmp_path / "net.xml") == read(source)


def test_operators_without_a_cost(tmp_path: Path) -> None:
    from openvino import opset13 as op

    image = op.parameter([1, 8, 16], np.float32)
    attention = op.scaled_dot_product_attention(image, image, image)
    attention.set_friendly_name("heads")
    path = saved([attention], [image], tmp_path)
    with pytest.raises(InputError, match=r"'ScaledDotProductAttention' layers are not predicted \(layer 'heads'\)"):
        read(path)


@pytest.mark.parametrize("shape", ["[?,3,?,?]", "[?,?,32,32]", "..."])
def test_only_the_batch_may_be_open(tmp_path: Path, shape: str) -> None:
    import openvino
    from openvino import opset13 as op

    image = op.parameter(openvino.PartialShape(shape), np.float32)
    with pytest.raises(InputError, match="only the batch may be open"):
        read(saved([op.relu(image)], [image], tmp_path))


def test_what_does_not_follow_from_the_shapes_is_refused(tmp_path: Path) -> None:
    from openvino import opset13 as op

    image = op.parameter([-1, 3, 16, 16], np.float32)
    where = op.non_zero(op.relu(image))
    found = op.gather(op.reshape(image, op.constant([-1, 16]), False), op.squeeze(where, op.constant([])), 0)
    with pytest.raises(InputError, match="'NonZero' layers are not predicted"):
        read(saved([found], [image], tmp_path))
    sizes = op.shape_of(image)
    found = op.relu(op.reshape(image, op.concat([op.constant([-1]), op.gather(sizes, [0], 0)], 0), False))
    with pytest.raises(InputError, match=r"the shape of '.*' is not fixed"):
        read(saved([found], [image], tmp_path))


NET = """<net name="n" version="11"><layers>
<layer id="0" name="image" type="Parameter"><data shape="?,3,8,8" element_type="f32"/>
<output><port id="0" precision="FP32"><dim>-1</dim><dim>3</dim><dim>8</dim><dim>8</dim></port></output></layer>
<layer id="1" name="w" type="Const"><data element_type="f32" shape="4, 3, 1, 1" offset="0" size="48"/>
<output><port id="0" precision="FP32"><dim>4</dim><dim>3</dim><dim>1</dim><dim>1</dim></port></output></layer>
<layer id="2" name="conv" type="Convolution"><input><port id="0"/><port id="1"/></input>
<output><port id="2" precision="FP32"><dim>-1</dim><dim>4</dim><dim>8</dim><dim>8</dim></port></output></layer>
<layer id="3" name="relu" type="ReLU"><input><port id="0"/></input>
<output><port id="1" precision="FP32"><dim>-1</dim><dim>4</dim><dim>8</dim><dim>8</dim></port></output></layer>
<layer id="4" name="out" type="Result"><input><port id="0"/></input></layer>
</layers><edges>
<edge from-layer="0" from-port="0" to-layer="2" to-port="0"/>
<edge from-layer="1" from-port="0" to-layer="2" to-port="1"/>
<edge from-layer="2" from-port="2" to-layer="3" to-port="0"/>
<edge from-layer="3" from-port="1" to-layer="4" to-port="0"/>
</edges></net>"""
LAST_EDGE = '<edge from-layer="3" from-port="1" to-layer="4" to-port="0"/>'


def test_the_smallest_ir(tmp_path: Path) -> None:
    (tmp_path / "net.xml").write_text(NET)
    assert read(tmp_path / "net.xml") == [Layer("conv", "pointwise", 3 * 256, 12, 192, 256, 3, 4)]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (NET[700:], "", r"not an OpenVINO IR \("),
        ('version="11"', 'version="7"', "no OpenVINO IR of version 10 or later"),
        ("<net ", "<!DOCTYPE net><net ", "has a DOCTYPE"),
        ('<port id="0"/><port id="1"/>', '<port id="0"/>', "the layer 'conv' has no weights"),
        (LAST_EDGE, "", "input 0 of the layer 'out' is not connected"),
        (LAST_EDGE, LAST_EDGE * 2, "two edges lead to port 0 of layer 4"),
        ('from-layer="3"', 'from-layer="9"', "an edge begins at port 1 of layer 9, which is not there"),
        ('from-port="1"', 'from-port="7"', "an edge begins at port 7 of layer 3, which is not there"),
        ('from-layer="0"', 'from-layer="x"', "its edge elements need a number as their from-layer, not 'x'"),
        ('from-layer="0" from-port="0"', 'from-layer="3" from-port="1"', "connected in a circle"),
        ('id="3"', 'id="2"', "two layers have the id 2"),
        (' id="4"', "", "its layer elements need a number as their id, not ''"),
        ('type="ReLU"', 'type="Wavelet\n"', r"'Wavelet(\\n| )' layers are not predicted \(layer 'relu'\)"),
        ('type="Convolution"><input><port id="0"/>', 'type="GroupConvolution"><input>', "has no weights in groups"),
        ('<port id="2" precision', "<port precision", "its port elements need a number as their id, not ''"),
        ('<output><port id="1"', '<data><port id="1"', r"not an OpenVINO IR \(mismatched tag"),
        ("<dim>3</dim><dim>8</dim>", "<dim>3</dim><dim>-1</dim>", "only the batch may be open"),
        (
            "<dim>4</dim><dim>8</dim><dim>8</dim>",
            "<dim>4</dim><dim>-1</dim><dim>8</dim>",
            "the shape of 'conv .* not",
        ),
        ("<dim>4</dim><dim>8</dim>", "<dim>4</dim><dim>0</dim>", "nothing is left of 'conv "),
        ("<dim>4</dim><dim>8</dim>", "<dim>999999999999</dim><dim>999</dim>", "'conv .* is larger than any device"),
        ("<dim>4</dim>", f"<dim>{'9' * 5000}</dim>", "the layer 'w' has a dimension '9{40}'"),
        ("<dim>4</dim>", "<dim>four</dim>", "the layer 'w' has a dimension 'four'"),
        ("<dim>4</dim>", "<dim>1</dim>" * 50, "the layer 'w' has 53 dimensions"),
        ('type="Convolution"', 'type="Result"', "has no layers that take time"),
        ("<edges>", "<edges>" + LAST_EDGE * 90_000, "more than any network here has"),
    ],
)
def test_damage_gives_one_clear_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in NET
    (tmp_path / "net.xml").write_text(NET.replace(old, new))
    with pytest.raises(InputError, match=message) as error:
        read(tmp_path / "net.xml")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < len(str(tmp_path)) + 300


@pytest.mark.parametrize("name", ["none.xml", "folder.xml"])
def test_no_file(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.xml").mkdir()
    with pytest.raises(InputError, match="no such file"):
        read(tmp_path / name)


def answer(path: Path) -> None:
    with contextlib.suppress(InputError):
        rate = predict(path, ATOM, "int8").inferences_per_s
        assert math.isfinite(rate)
        assert rate > 0


FUZZ = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FUZZ
@given(data=damaged(NET.encode()))
def test_damaged_bytes_give_an_answer_or_an_input_error(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "net.xml").write_bytes(data)
    answer(tmp_path / "net.xml")


VALUES = ["", "0", "1", "2", "3", "4", "7", "-1", "999999999999", "true", "I8", "ReLU", "Const", "Parameter", "Reshape"]
VALUES += ["Result", "Concat", "Multiply", "MatMul", "Convert", "FakeQuantize", "GroupConvolution", "LSTMSequence"]


@FUZZ
@given(choices=st.data())
def test_false_contents_give_an_answer_or_an_input_error(
    quantized: Callable[[str], Path], tmp_path: Path, choices: st.DataObject
) -> None:
    root = ElementTree.fromstring((quantized("lenet-5") / "int8.xml").read_text())
    elements = list(root.iter())
    for _ in range(choices.draw(st.integers(1, 4))):
        element = choices.draw(st.sampled_from(elements))
        accident = choices.draw(st.sampled_from(["attribute", "text", "children", "twice"]))
        value = choices.draw(st.sampled_from(VALUES))
        if accident == "attribute" and element.attrib:
            element.set(choices.draw(st.sampled_from(sorted(element.attrib))), value)
        elif accident == "text":
            element.text = value
        elif accident == "children":
            element[:] = []
        elif len(element):
            element.append(copy.deepcopy(element[0]))
    ElementTree.ElementTree(root).write(tmp_path / "net.xml")
    answer(tmp_path / "net.xml")
