"""Tegra Parker's own cores: ONNX Runtime for aarch64, executed by QEMU."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pipeline.records.targets import load_target
from pipeline.retest.emulate import emulate
from tests.graphs import Arrays

A57 = load_target("tegra-parker-a57")
SHAPE = (4, 2, 1, 1)


EXTREMES = Arrays(np.full((8, *SHAPE[1:]), 255, np.float32))  # whose products overflow 16 bits two by two


def quantized(path: Path) -> Path:
    """y = 127 * x0 + 127 * x1 on 8-bit values: true sums, unless the runtime saturates them."""
    tensors = [
        numpy_helper.from_array(np.array(1, np.float32), "one"),
        numpy_helper.from_array(np.array(0, np.uint8), "zero"),
        numpy_helper.from_array(np.array(0, np.int8), "weights_zero"),
        numpy_helper.from_array(np.full((2, 2, 1, 1), 127, np.int8), "weights"),
    ]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "one", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "one", "zero"], ["d"]),
        helper.make_node("DequantizeLinear", ["weights", "one", "weights_zero"], ["w"]),
        helper.make_node("Conv", ["d", "w"], ["y"]),
    ]
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2, 1, 1])
    answer = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2, 1, 1])
    graph = helper.make_graph(nodes, "graph", [given], [answer], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, path)
    return path


def test_every_sample_is_calculated_by_the_target_s_instructions(tmp_path: Path) -> None:
    found = emulate(quantized(tmp_path / "model.onnx"), "int8", EXTREMES, SHAPE, A57)
    assert found.grade == "exact"
    assert found.target is not None
    np.testing.assert_array_equal(found.target, np.full((8, 2, 1, 1), 2 * 127 * 255))
