"""What of a network file counts as a layer, of which kind, and in which precision it is timed."""

from pathlib import Path

import onnx
import pytest
from onnx import ModelProto, TensorProto, helper

from pipeline.predict import Prediction, predict
from pipeline.predict.networks.net import Net
from pipeline.records.targets import load_target
from pipeline.system.errors import InputError
from tests.unit.test_predict import read, saved


def test_operators_without_a_cost(tmp_path: Path) -> None:
    net = Net((8, 8))
    net.op("LSTM", [net.image], 3)
    onnx.save(net.model(), tmp_path / "lstm.onnx")
    with pytest.raises(InputError, match="LSTM layers are not predicted"):
        read(tmp_path / "lstm.onnx")
    model = net.model()
    model.graph.node[0].op_type, model.graph.node[0].domain = "Gelu", "com.microsoft"
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    onnx.save(model, tmp_path / "foreign.onnx")
    with pytest.raises(InputError, match=r"com.microsoft.Gelu is no operator of ONNX"):
        read(tmp_path / "foreign.onnx")


def test_a_network_of_views_alone(tmp_path: Path) -> None:
    net = Net((8, 8))
    net.op("Flatten", [net.image], 192)
    onnx.save(net.model(), tmp_path / "flat.onnx")
    with pytest.raises(InputError, match="has no layers that take time"):
        read(tmp_path / "flat.onnx")


def test_weights_made_in_a_circle(tmp_path: Path) -> None:
    model = quantised_pair(only_first=True)
    for source, result in (("b", "back"), ("back", "b")):
        model.graph.node.append(helper.make_node("Transpose", [source], [result], perm=[0, 1, 2, 3]))
    onnx.save(model, tmp_path / "net.onnx")
    assert [layer.fp32 for layer in read(tmp_path / "net.onnx")] == [False, True]


def kinds(net: Net, folder: Path) -> list[str]:
    return [layer.kind for layer in read(saved(net, folder))]


def test_what_the_runtimes_fuse_is_no_layer(tmp_path: Path) -> None:
    net = Net((16, 16))
    x = net.conv(net.image, 8, 3, act="Swish")
    x = net.add(net.conv(net.conv(x, 8, 3, act="Mish"), 8, act=None), x, "Relu")
    net.concat(x, net.depthwise(x))
    layers = read(saved(net, tmp_path))
    assert [layer.kind for layer in layers] == ["spatial", "spatial", "pointwise", "depthwise"]
    assert layers[2].inputs == 2 * 8 * 16 * 16  # its own, and the residual's


def test_what_cannot_be_fused_is_a_layer(tmp_path: Path) -> None:
    net = Net((16, 16))
    x = net.conv(net.image, 8, 3)
    gate = net.conv(net.global_pool(x), 8, act="Sigmoid")
    x = net.op("Mul", [x, gate], 8)
    x = net.op("LRN", [net.conv(x, 8)], 8, size=5)
    assert kinds(net, tmp_path) == ["spatial", "pool", "pointwise", "elementwise", "pointwise", "elementwise"]


def test_grouped_and_transposed_convolutions(tmp_path: Path) -> None:
    net = Net((16, 16))
    x = net.conv(net.conv(net.image, 24, 3, groups=3), 24, 3, groups=4)
    net.up_conv(net.depthwise(x), 12)
    layers = read(saved(net, tmp_path))
    assert [layer.kind for layer in layers] == ["grouped", "grouped", "depthwise", "spatial"]
    assert [layer.macs for layer in layers] == [9 * 24 * 256, 54 * 24 * 256, 9 * 24 * 256, 24 * 12 * 4 * 256]


def quantised_pair(only_first: bool) -> ModelProto:
    """Two convolutions as QDQ; the second keeps float weights when `only_first`."""
    scale = helper.make_tensor("scale", TensorProto.FLOAT, [], [0.1])
    zero = helper.make_tensor("zero", TensorProto.INT8, [], [0])
    weights = [
        TensorProto(name="a", data_type=TensorProto.INT8, dims=[64, 3, 3, 3]),
        TensorProto(name="b", data_type=TensorProto.FLOAT if only_first else TensorProto.INT8, dims=[64, 64, 3, 3]),
    ]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "scale", "zero"], ["xd"]),
        helper.make_node("DequantizeLinear", ["a", "scale", "zero"], ["ad"]),
        helper.make_node("Conv", ["xd", "ad"], ["h"], name="first"),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("QuantizeLinear", ["r", "scale", "zero"], ["rq"]),
        helper.make_node("DequantizeLinear", ["rq", "scale", "zero"], ["rd"]),
        *([] if only_first else [helper.make_node("DequantizeLinear", ["b", "scale", "zero"], ["bd"])]),
        helper.make_node("Conv", ["rd", "b" if only_first else "bd"], ["y"], name="second"),
    ]
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 64, 64])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "qdq", [image], [result], [scale, zero, *weights])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def test_qdq_layers_are_fused_and_float_ones_timed_as_float(tmp_path: Path) -> None:
    def run(only_first: bool) -> Prediction:
        onnx.save(quantised_pair(only_first), tmp_path / "net.onnx")
        assert [layer.fp32 for layer in read(tmp_path / "net.onnx")] == [False, only_first]
        return predict(tmp_path / "net.onnx", load_target("atom-x5-e3940"), "int8")

    whole, part = run(False), run(True)
    assert [layer.name for layer in whole.layers] == ["first", "second"]
    assert part.layers[0].time_ms == whole.layers[0].time_ms
    assert part.layers[1].time_ms > 1.5 * whole.layers[1].time_ms


def test_layers_that_an_fp16_file_keeps_in_fp32_are_timed_so(tmp_path: Path) -> None:
    def run(second: int) -> Prediction:
        weights = [
            TensorProto(name="a", data_type=TensorProto.FLOAT16, dims=[64, 3, 3, 3]),
            TensorProto(name="b", data_type=second, dims=[64, 64, 3, 3]),
        ]
        nodes = [
            helper.make_node("Conv", ["x", "a"], ["h"], name="first"),
            helper.make_node("Cast", ["h"], ["c"], to=second),
            helper.make_node("Conv", ["c", "b"], ["y"], name="second"),
        ]
        image = helper.make_tensor_value_info("x", TensorProto.FLOAT16, ["n", 3, 64, 64])
        result = helper.make_tensor_value_info("y", second, None)
        graph = helper.make_graph(nodes, "half", [image], [result], weights)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "net.onnx")
        return predict(tmp_path / "net.onnx", load_target("jetson-tx2-maxq"), "fp16")

    whole, part = run(TensorProto.FLOAT16), run(TensorProto.FLOAT)
    assert part.layers[0].time_ms == whole.layers[0].time_ms
    assert part.layers[1].time_ms > 1.3 * whole.layers[1].time_ms


def test_padding_that_the_file_calculates(tmp_path: Path) -> None:
    """As PyTorch's older exporter writes it: the widths come reversed, by a Slice with a negative step."""
    numbers = {"widths": [1, 1, 0, 0], "start": [-1], "end": [-(2**31)], "axis": [0], "step": [-1], "rest": [0] * 4}
    constants = [helper.make_tensor(key, TensorProto.INT64, [len(value)], value) for key, value in numbers.items()]
    constants.append(TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[8, 3, 3, 3]))
    nodes = [
        helper.make_node("Slice", ["widths", "start", "end", "axis", "step"], ["reversed"]),
        helper.make_node("Concat", ["reversed", "reversed"], ["pads"], axis=0),
        helper.make_node("Pad", ["x", "pads"], ["padded"]),
        helper.make_node("Conv", ["padded", "w"], ["y"], name="conv"),
    ]
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 32, 32])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "g", [image], [result], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "net.onnx")
    (layer,) = read(tmp_path / "net.onnx")
    assert layer.outputs == 8 * 32 * 32
