"""INT8 weights fitted to a saturating target: what they change, what they leave, and that it is worth it."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from pipeline.arithmetic.saturation.analysis import CAP
from pipeline.arithmetic.saturation.kernel import Geometry, accumulate, convolve
from pipeline.compress.target_aware import fit_to_target
from pipeline.formats.qdq import QdqGraph
from tests.graphs import calculated

STEP = 0.05  # of the activations


def models(weights: np.ndarray, groups: int = 1, product: str = "") -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """One layer in floating point, and the same quantized: u8 activations, s8 weights with a scale per channel."""
    first = np.moveaxis(weights, 1, 0) if product == "MatMul" else weights
    scale = np.abs(first.reshape(len(first), -1)).max(1) / 127
    shaped = scale.reshape([-1] + [1] * (first.ndim - 1))
    stored = np.moveaxis(np.rint(first / shaped), 0, 1 if product == "MatMul" else 0).astype(np.int8)
    axis = 1 if product == "MatMul" else 0
    channels = weights.shape[0] if product == "MatMul" else weights.shape[1] * groups
    shape = [4, channels] if product else [4, channels, 5, 5]
    constants = {
        "step": np.array(STEP, np.float32),
        "zero": np.array(0, np.uint8),
        "scale": scale.astype(np.float32),
        "zeros": np.zeros(len(scale), np.int8),
        "stored": stored,
        "bias": np.zeros(len(scale), np.float32),
        "plain": weights.astype(np.float32),
    }
    kind = product or "Conv"
    settings: dict[str, Any] = {"transB": 1} if kind == "Gemm" else {} if product else {"group": groups}
    biases = [] if kind == "MatMul" else ["bias"]
    quantizers = [
        helper.make_node("QuantizeLinear", ["x", "step", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "step", "zero"], ["d"]),
        helper.make_node("DequantizeLinear", ["stored", "scale", "zeros"], ["w"], axis=axis),
    ]

    def model(nodes: list[Any]) -> onnx.ModelProto:
        used = {name for node in nodes for name in node.input}
        tensors = [numpy_helper.from_array(value, name) for name, value in constants.items() if name in used]
        given_input = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
        answer = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * len(shape))
        graph = helper.make_graph(nodes, "graph", [given_input], [answer], tensors)
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
        made.ir_version = 8
        return made

    plain = model([helper.make_node(kind, ["x", "plain", *biases], ["y"], "layer", **settings)])
    quantized = model([*quantizers, helper.make_node(kind, ["d", "w", *biases], ["y"], "layer", **settings)])
    return plain, quantized


def on_target(model: onnx.ModelProto, inputs: np.ndarray) -> np.ndarray:
    """What the saturating kernel makes of a convolution's stored weights."""
    graph = QdqGraph(model)
    stored = graph.stored("layer")
    assert stored is not None
    weights, scale = (graph.constant(name) for name in stored.dequantize.input[:2])
    bias = graph.constant(stored.node.input[2])
    assert weights is not None
    assert scale is not None
    assert bias is not None
    activations = np.clip(np.rint(inputs / STEP), 0, 255).astype(np.int32)
    sums = accumulate(activations, weights.astype(np.int32), Geometry())
    return np.asarray(sums * (scale * STEP)[:, None, None] + bias[:, None, None])


def batches(count: int, *shape: int) -> list[np.ndarray]:
    noise = np.random.default_rng(0)
    return [(noise.uniform(0, 255, (4, *shape)) * STEP).astype(np.float32) for _ in range(count)]


def error(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.sqrt(np.square(found - expected).mean()))


def test_the_target_s_error_falls_below_that_of_half_range_weights() -> None:
    weights = np.random.default_rng(1).standard_normal((16, 32, 1, 1)).astype(np.float32)
    plain, quantized = models(weights)
    fitted, changed = fit_to_target(quantized, plain, batches(3, 32, 5, 5))
    assert 0 < changed <= 16
    unseen = np.random.default_rng(2).uniform(0, 255 * STEP, (8, 32, 5, 5)).astype(np.float32)
    true = convolve(np.rint(unseen / STEP).astype(np.int32), weights, Geometry()) * STEP
    scale = np.abs(weights).max((1, 2, 3), keepdims=True) / 63
    half = np.rint(weights / scale).astype(np.int32)
    half_range = accumulate(np.rint(unseen / STEP).astype(np.int32), half, Geometry()) * scale[:, :, 0] * STEP
    assert error(on_target(fitted, unseen), true) < error(half_range, true)
    assert error(on_target(fitted, unseen), true) < 0.5 * error(on_target(quantized, unseen), true)


def test_the_bias_takes_out_what_is_lost_on_average() -> None:
    """Weights of one sign lose on every sample; a small step that saturates a little is only worth it with the bias."""
    weights = np.abs(np.random.default_rng(1).standard_normal((16, 32, 1, 1))).astype(np.float32)
    plain, quantized = models(weights)
    fitted, _ = fit_to_target(quantized, plain, batches(3, 32, 5, 5))
    unseen = np.random.default_rng(2).uniform(0, 255 * STEP, (8, 32, 5, 5)).astype(np.float32)
    true = convolve(np.rint(unseen / STEP).astype(np.int32), weights, Geometry()) * STEP
    graph = QdqGraph(fitted)
    stored = graph.stored("layer")
    assert stored is not None
    found = on_target(fitted, unseen)
    bias = graph.constant(stored.node.input[2])
    assert bias is not None
    assert error(found, true) < 0.9 * error(found - bias[:, None, None], true)


def test_weights_that_cannot_saturate_are_left_alone() -> None:
    weights = np.zeros((4, 8, 1, 1), np.float32)
    weights[:, ::2] = np.random.default_rng(0).standard_normal((4, 4, 1, 1))  # no two neighbours
    plain, quantized = models(weights)
    fitted, changed = fit_to_target(quantized, plain, batches(2, 8, 5, 5))
    assert changed == 0
    inputs = batches(1, 8, 5, 5)[0]
    np.testing.assert_array_equal(calculated(fitted, inputs), calculated(quantized, inputs))


@settings(max_examples=12, deadline=None)
@given(outputs=st.integers(1, 9), channels=st.integers(1, 7), kernel=st.sampled_from([1, 3]), seed=st.integers(0, 99))
def test_odd_shapes_keep_their_answers(outputs: int, channels: int, kernel: int, seed: int) -> None:
    weights = np.random.default_rng(seed).standard_normal((outputs, channels, kernel, kernel)).astype(np.float32)
    check(*models(weights), batches(1, channels, 5, 5))


@pytest.mark.parametrize(("groups", "shape"), [(8, (8, 1, 3, 3)), (2, (6, 5, 3, 3)), (3, (9, 2, 1, 1))])
def test_grouped_and_depthwise_layers(groups: int, shape: tuple[int, ...]) -> None:
    weights = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    check(*models(weights, groups), batches(1, shape[1] * groups, 5, 5))


@pytest.mark.parametrize(("product", "shape"), [("Gemm", (7, 33)), ("MatMul", (33, 7))])
def test_matrix_products(product: str, shape: tuple[int, int]) -> None:
    weights = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    check(*models(weights, product=product), batches(1, 33))


def check(plain: onnx.ModelProto, quantized: onnx.ModelProto, inputs: list[np.ndarray]) -> None:
    """Fitted weights are valid and stay close to the original where nothing saturates; nothing unused stays behind."""
    before = quantized.SerializeToString(deterministic=True)
    fitted, _ = fit_to_target(quantized, plain, inputs)
    assert quantized.SerializeToString(deterministic=True) == before
    onnx.checker.check_model(fitted, full_check=True)
    used = {name for node in fitted.graph.node for name in node.input}
    assert {tensor.name for tensor in fitted.graph.initializer} <= used
    again = onnx.load_model_from_string(fitted.SerializeToString())
    np.testing.assert_array_equal(calculated(again, inputs[0]), calculated(fitted, inputs[0]))


def test_a_model_saved_and_loaded_answers_the_same_in_openvino(tmp_path: Path) -> None:
    import openvino

    weights = np.random.default_rng(0).standard_normal((6, 10, 3, 3)).astype(np.float32)
    plain, quantized = models(weights)
    data = batches(1, 10, 5, 5)
    fitted, _ = fit_to_target(quantized, plain, data)
    onnx.save(fitted, tmp_path / "model.onnx")
    converted = openvino.convert_model(tmp_path / "model.onnx")
    openvino.save_model(converted, tmp_path / "model.xml", compress_to_fp16=False)
    direct, loaded = (
        openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(data[0])[0]
        for model in (converted, tmp_path / "model.xml")
    )
    np.testing.assert_array_equal(direct, loaded)


KERNELS = """
import types
import numpy as np, openvino
from openvino import opset13 as ops
from pipeline.arithmetic.saturation import analysis

class Shown(openvino.Core):
    def compile_model(self, *asked):
        compiled = super().compile_model(*asked)
        for op in compiled.get_runtime_model().get_ops():
            print(op.get_rt_info()["primitiveType"].astype(str))
        return compiled

x = ops.parameter([4, 3, 8, 8], np.float32)
before = ops.convolution(x, np.ones((16, 3, 3, 3), np.float32), [1, 1], [0, 0], [0, 0], [1, 1])
layer = types.SimpleNamespace(op=ops.relu(before))
openvino.Core = Shown
analysis.LayerInputs(openvino.Model([layer.op], [x]), [layer])
"""


def test_a_user_s_own_cap_does_not_reach_the_analysis() -> None:
    """Half of a cap: OpenVINO knows what the CPU has, and asks for kernels of it that oneDNN then refuses to make."""

    def kernels(**cap: str) -> str:
        environment = {**{name: value for name, value in os.environ.items() if name != CAP}, **cap}
        return subprocess.run(
            [sys.executable, "-c", KERNELS], env=environment, check=True, stdout=subprocess.PIPE, text=True
        ).stdout

    assert "_f32" in kernels()
    assert kernels(**{CAP: "SSE41"}) == kernels()
