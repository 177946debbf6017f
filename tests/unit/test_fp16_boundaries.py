"""FP16 emulation of Tegra Parker's GPU, against NumPy's float16."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from pipeline.arithmetic import kinds
from pipeline.arithmetic.fp16.boundaries import rewrite
from pipeline.compress.half_precision import to_half_precision
from pipeline.processes.child import Place
from pipeline.processes.side_by_side import run
from pipeline.system.errors import BadModel, InputError
from tests.graphs import Arrays, backend, calculated, half, infer, model, node, ones, random

Array = NDArray[Any]
VARIANTS = ("fp32", "fp16")


# --- models and what they should calculate -----------------------------------------------------------------------


def ops(of: ModelProto) -> list[str]:
    return [layer.op for layer in rewrite(of).layers]


@dataclass(frozen=True)
class Conv:
    """A convolution (with what may follow it in its layer) on a random image, and what it sums."""

    images: int
    groups: int
    inputs: int  # channels of one group
    outputs: int  # channels of one group
    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads: tuple[int, int, int, int]  # top, left, bottom, right
    size: tuple[int, int]
    bias: bool
    activation: str
    seed: int

    @property
    def x(self) -> Array:
        return random(self.seed, self.images, self.groups * self.inputs, *self.size)

    @property
    def weights(self) -> dict[str, Array]:
        channels = self.groups * self.outputs
        found = {"w": random(self.seed + 1, channels, self.inputs, *self.kernel)}
        return found | ({"b": random(self.seed + 2, channels)} if self.bias else {})

    def model(self) -> ModelProto:
        attributes = {"group": self.groups, "pads": self.pads, "strides": self.strides, "dilations": self.dilations}
        conv = node("Conv", "x " + " ".join(self.weights), "c" if self.activation else "y", **attributes)
        clip = {"low": np.float32(0), "high": np.float32(6)}
        follow = {
            "": [],
            "Relu": [node("Relu", "c", "y")],
            "Clip": [node("Clip", "c low high", "y")],
        }[self.activation]
        extra = {name: np.array(value) for name, value in clip.items()} if self.activation == "Clip" else {}
        return model([conv, *follow], {**self.weights, **extra}, ("n", *self.x.shape[1:]))

    def steps(self) -> list[Array]:
        """The products of every output, (images, channels, height, width), float64, in the order of the weights."""
        top, left, bottom, right = self.pads
        x = np.pad(half(self.x).astype(np.float64), ((0, 0), (0, 0), (top, bottom), (left, right)))
        w = half(self.weights["w"]).astype(np.float64)
        (kh, kw), (sh, sw), (dh, dw) = self.kernel, self.strides, self.dilations
        height = (x.shape[2] - (kh - 1) * dh - 1) // sh + 1
        width = (x.shape[3] - (kw - 1) * dw - 1) // sw + 1
        first = np.arange(len(w)) // self.outputs * self.inputs  # input channel at which an output's group starts
        return [
            x[:, first + c, i * dh : i * dh + height * sh : sh, j * dw : j * dw + width * sw : sw][
                :, :, :height, :width
            ]
            * w[None, :, c, i, j, None, None]
            for c in range(self.inputs)
            for i in range(kh)
            for j in range(kw)
        ]

    def finish(self, total: Array) -> Array:
        """The bias and activation applied to FP32 or wider sums."""
        if self.bias:
            total = total + half(self.weights["b"]).astype(np.float64)[:, None, None]
        return np.clip(total, *{"": (None, np.inf), "Relu": (0, np.inf), "Clip": (0, 6)}[self.activation])


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_pads_given_by_name_are_those_of_onnx_runtime(data: st.DataObject) -> None:
    """With one channel and a kernel of ones, FP16 sums of small whole numbers are exact, whatever their order."""
    pair = st.tuples(st.integers(1, 4), st.integers(1, 4))
    kernel, strides = data.draw(pair), data.draw(pair)
    mode = data.draw(st.sampled_from(["SAME_UPPER", "SAME_LOWER", "VALID"]))
    # ONNX Runtime takes no dilations together with SAME_*.
    dilations = (1, 1) if mode != "VALID" else data.draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    size = data.draw(st.tuples(st.integers(7, 15), st.integers(7, 15)))
    unread = [(n - 1) % s + 1 - k for n, s, k in zip(size, strides, kernel, strict=True)]  # pixels of the last stride
    attributes: dict[str, Any] = {"auto_pad": mode, "strides": strides, "dilations": dilations}
    conv = model([node("Conv", "x w", "y", **attributes)], {"w": ones(2, 1, *kernel)}, ("n", 1, *size))
    x = np.random.default_rng(data.draw(st.integers(0, 99))).integers(-9, 9, (2, 1, *size)).astype(np.float32)
    expected = calculated(conv, x)
    for accumulate in VARIANTS:
        if accumulate == "fp16" and mode != "VALID" and max(unread) > 1:  # ONNX Runtime itself sums in FP32
            with pytest.raises(BadModel, match="runtimes understand differently"):
                infer(conv, accumulate, x)
        else:
            assert np.array_equal(infer(conv, accumulate, x), expected)


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_transposed_convolutions_are_those_of_onnx_runtime(data: st.DataObject) -> None:
    """FP16 sums of small whole numbers are exact, whatever their order."""

    def pair(low: int, high: int) -> tuple[int, int]:
        return data.draw(st.tuples(st.integers(low, high), st.integers(low, high)))

    groups, inputs, outputs = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)))
    kernel, strides, size = pair(1, 4), pair(1, 3), pair(2, 6)
    attributes: dict[str, Any] = {"group": groups, "strides": strides, "dilations": pair(1, 2)}
    match data.draw(st.sampled_from(["", "pads", "SAME_UPPER", "SAME_LOWER", "VALID", "output_shape"])):
        case "pads":
            attributes["pads"] = [*pair(0, 1), *pair(0, 1)]
        case "output_shape":
            reach = [(k - 1) * d + 1 for k, d in zip(kernel, attributes["dilations"], strict=True)]
            whole = [(n - 1) * s + r for n, s, r in zip(size, strides, reach, strict=True)]
            attributes["output_shape"] = [max(1, n + by) for n, by in zip(whole, pair(-2, 1), strict=True)]
        case "SAME_UPPER" | "SAME_LOWER" | "VALID" as mode:
            attributes["auto_pad"] = mode
    if "output_shape" not in attributes and data.draw(st.booleans()):
        attributes["output_padding"] = [data.draw(st.integers(0, stride - 1)) for stride in strides]
    noise = np.random.default_rng(data.draw(st.integers(0, 99)))
    w, b, x = (
        noise.integers(-3, 4, shape).astype(np.float32)
        for shape in ((groups * inputs, outputs, *kernel), (groups * outputs,), (2, groups * inputs, *size))
    )
    up = model([node("ConvTranspose", "x w b", "y", **attributes)], {"w": w, "b": b}, ("n", *x.shape[1:]))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(up.SerializeToString(), options, providers=["CPUExecutionProvider"])
        [expected] = session.run(None, {"x": x})
    except Exception:  # nothing is left of the output, which ONNX Runtime refuses
        assume(False)
    assert np.array_equal(infer(up, "fp16", x), expected)


def test_transposed_sums_are_running_sums_in_fp16() -> None:
    x, w = random(0, 2, 70, 5, 5), random(1, 70, 8, 2, 2)
    made = model([node("ConvTranspose", "x w", "y", strides=[2, 2])], {"w": w}, ("n", 70, 5, 5))
    steps = [half(x)[:, None, c, :, :, None, None].astype(np.float64) * half(w)[c, :, None, None] for c in range(70)]
    # A window of two pixels two apart: each output has one term a channel. From (n, o, y, x, dy, dx) to images.
    total, exact = (
        values.transpose(0, 1, 2, 4, 3, 5).reshape(2, 8, 10, 10) for values in (sequential(steps), np.sum(steps, 0))
    )
    assert (infer(made, "fp16", x) == total).all()
    magnitude = np.sum(np.abs(steps), 0).transpose(0, 1, 2, 4, 3, 5).reshape(2, 8, 10, 10)
    assert_rounded_once(infer(made, "fp32", x), exact, magnitude)


@pytest.mark.parametrize(("left", "right"), [((30,), (2, 30, 4)), ((2, 5, 30), (30,)), ((2, 30), (30,))])
def test_a_matrix_product_with_a_vector(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    a, b = random(0, *left), random(1, *right)
    swapped = len(left) == 1
    made = model([node("MatMul", "w x" if swapped else "x w", "y")], {"w": a if swapped else b}, ())
    made.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", TensorProto.FLOAT, right if swapped else left))
    rows, columns = np.atleast_2d(a), b[:, None] if b.ndim == 1 else b
    steps = [half(rows)[..., k, None].astype(np.float64) * half(columns)[..., k, None, :] for k in range(30)]
    expected = sequential(steps).reshape(np.matmul(a, b).shape)
    assert np.array_equal(infer(made, "fp16", b if swapped else a), expected)


def test_what_the_emulation_does_not_know_is_its_own_limit_and_not_said_by_a_runtime(tmp_path: Path) -> None:
    conv = model(
        [node("Conv", "x w", "y", auto_pad="SAME_UPPER", strides=[4, 4])], {"w": ones(2, 3, 1, 1)}, (2, 3, 8, 8)
    )
    onnx.save(conv, tmp_path / "net.onnx")
    place = Place("FP16", "pipeline.arithmetic.fp16.engine", 1, settings={"accumulate": "fp16"})
    with pytest.raises(InputError) as refused:
        run(tmp_path / "net.onnx", [ones(2, 3, 8, 8)], 2, (2, 3, 8, 8), [place])
    assert "which runtimes understand differently" in str(refused.value)
    assert "InputError" not in str(refused.value)
    assert "runtime refused" not in str(refused.value)


@st.composite
def convolutions(draw: Callable[[Any], Any]) -> Conv:
    two = st.tuples(st.integers(1, 2), st.integers(1, 2))
    return Conv(
        images=draw(st.integers(1, 3)),
        groups=draw(st.sampled_from([1, 1, 2, 5])),
        inputs=draw(st.integers(1, 9)),
        outputs=draw(st.integers(1, 9)),
        kernel=draw(st.sampled_from([(1, 1), (3, 3), (1, 3), (2, 5)])),
        strides=draw(two),
        dilations=draw(two),
        pads=draw(st.tuples(*[st.integers(0, 2)] * 4)),
        size=draw(st.tuples(st.integers(9, 21), st.integers(9, 21))),
        bias=draw(st.booleans()),
        activation=draw(st.sampled_from(["", "Relu", "Clip"])),
        seed=draw(st.integers(0, 2**32 - 4)),
    )


def assert_rounded_once(found: Array, exact: Array, magnitude: Array) -> None:
    """`found` is `exact` in FP16, up to where FP32 sums (of terms that add up to `magnitude`) tip a tie.

    At most one unit in the last place, next to zero the error of the FP32 sum, and nearly all are equal.
    """
    expected = half(exact).astype(np.float64)
    allowed = np.spacing(np.maximum(np.abs(half(exact)), half(np.abs(found)))).astype(np.float64)
    assert (np.abs(found - expected) <= np.maximum(allowed, magnitude * 2.0**-20)).all()
    assert (found != expected).mean() <= 0.02 + 1 / expected.size
    assert (half(found).astype(np.float32) == found).all()


def sequential(steps: list[Array]) -> Array:
    """A running sum in FP16 of exact products, each addition in FP32 before it is rounded."""
    total = np.zeros(steps[0].shape, np.float16)
    for step in steps:
        total = (total.astype(np.float32) + step.astype(np.float32)).astype(np.float16)
    return total


# --- rounding ----------------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(convolutions())
def test_a_convolution_rounds_once_at_its_boundary(conv: Conv) -> None:
    steps = conv.steps()
    found = infer(conv.model(), "fp32", conv.x)
    assert_rounded_once(found, conv.finish(np.sum(steps, 0)), np.sum(np.abs(steps), 0))


@settings(max_examples=40)
@given(convolutions())
def test_accumulated_sums_are_numpys_float16_running_sums(conv: Conv) -> None:
    total = sequential(conv.steps())
    if conv.bias:
        total = total + half(conv.weights["b"])[:, None, None]
    low, high = {"": (None, np.inf), "Relu": (0, np.inf), "Clip": (0, 6)}[conv.activation]
    assert (infer(conv.model(), "fp16", conv.x) == np.clip(total, low, high)).all()


def test_a_fused_multiply_add_would_differ_in_few_accumulated_sums() -> None:
    conv = Conv(2, 1, 16, 32, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), (24, 24), False, "", 0)
    total = np.zeros((2, 32, 24, 24), np.float16)
    for step in conv.steps():
        total = (total.astype(np.float64) + step).astype(np.float16)  # rounds once, as HFMA2 does
    found = infer(conv.model(), "fp16", conv.x)
    assert 0 < (found != total).mean() < 0.01


@settings(max_examples=20)
@given(
    rows=st.integers(1, 5),
    inputs=st.integers(1, 70),
    outputs=st.integers(1, 40),
    transposed=st.booleans(),
    alpha=st.sampled_from([1.0, 0.5]),
    seed=st.integers(0, 2**32 - 4),
)
def test_a_fully_connected_layer(
    rows: int, inputs: int, outputs: int, transposed: bool, alpha: float, seed: int
) -> None:
    x, w, b = random(seed, rows, inputs), random(seed + 1, inputs, outputs), random(seed + 2, outputs)
    gemm = node("Gemm", "x w b", "g", transB=int(transposed), alpha=alpha)
    made = model([gemm, node("Relu", "g", "y")], {"w": w.T.copy() if transposed else w, "b": b}, ("n", inputs))
    assert ops(made) == ["Cast", "Gemm+Relu"]
    steps = [half(x)[:, k, None].astype(np.float64) * half(w)[k].astype(np.float64) for k in range(inputs)]
    exact = np.maximum(alpha * np.sum(steps, 0) + half(b).astype(np.float64), 0)
    assert_rounded_once(infer(made, "fp32", x), exact, np.sum(np.abs(steps), 0) + np.abs(b))
    total = (sequential(steps) * np.float16(alpha)) + half(b)
    assert (infer(made, "fp16", x) == np.maximum(total, 0)).all()


def test_a_matrix_product_of_two_activations() -> None:
    made = model([node("Transpose", "x", "t", perm=[0, 2, 1]), node("MatMul", "x t", "y")], {}, ("n", 5, 30))
    x = random(0, 2, 5, 30)
    steps = [half(x)[:, :, None, k].astype(np.float64) * half(x)[:, None, :, k] for k in range(30)]
    assert_rounded_once(infer(made, "fp32", x), np.sum(steps, 0), np.sum(np.abs(steps), 0))
    assert (infer(made, "fp16", x) == sequential(steps)).all()


@settings(max_examples=10)
@given(st.sampled_from(["Add", "Min", "Max"]), st.booleans(), st.integers(0, 2**32 - 4))
def test_a_residual_joins_its_convolution_before_the_rounding(op: str, relu: bool, seed: int) -> None:
    conv = Conv(2, 1, 6, 6, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), (9, 9), False, "", seed)
    nodes = [node("Conv", "x w", "c", pads=conv.pads), node(op, "x c", "r" if relu else "y")]
    made = model([*nodes, *([node("Relu", "r", "y")] if relu else [])], conv.weights, conv.x.shape)
    assert ops(made) == ["Cast", f"Conv+{op}+Relu" if relu else f"Conv+{op}"]
    join = {"Add": np.add, "Min": np.minimum, "Max": np.maximum}[op]
    bottom = 0.0 if relu else -np.inf
    x = half(conv.x).astype(np.float64)
    exact = np.maximum(join(np.sum(conv.steps(), 0), x), bottom)
    assert_rounded_once(infer(made, "fp32", conv.x), exact, np.sum(np.abs(conv.steps()), 0) + np.abs(x))
    total = np.maximum(half(join(sequential(conv.steps()).astype(np.float64), x)), bottom)
    assert (infer(made, "fp16", conv.x) == total).all()


@pytest.mark.parametrize("accumulate", VARIANTS)
def test_a_pointwise_layer_rounds_what_it_reads_and_writes(accumulate: str) -> None:
    nodes = [node("Conv", "x w", "c"), node("Sigmoid", "c", "s"), node("Mul", "c s", "y")]
    made = model(nodes, {"w": random(1, 4, 1, 1, 1)}, ("n", 1, 30, 30))
    assert ops(made) == ["Cast", "Conv", "Sigmoid+Mul"]
    x = random(0, 2, 1, 30, 30)
    c = half(half(x).astype(np.float64) * half(random(1, 4, 1, 1, 1)).reshape(4, 1, 1)).astype(np.float64)
    assert_rounded_once(infer(made, accumulate, x), c / (1 + np.exp(-c)), np.abs(c))


def test_long_sums_lose_more_in_fp16_than_at_boundaries() -> None:
    for scale, positive in ((1.0, False), (0.02, True)):
        x, w = random(0, 4, 3000), random(1, 3000, 50, scale=scale)
        x, w = (np.abs(x), np.abs(w)) if positive else (x, w)
        made = model([node("Gemm", "x w", "y")], {"w": w}, ("n", 3000))
        exact = x.astype(np.float64) @ w
        at_boundaries, accumulated = (np.square(infer(made, kind, x) - exact).mean() for kind in VARIANTS)
        assert accumulated > 10 * at_boundaries


# --- boundaries --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("accumulate", VARIANTS)
@pytest.mark.parametrize("between", ["", "Relu", "MaxPool", "Identity"])
def test_onnx_runtime_does_not_carry_fp32_across_a_boundary(accumulate: str, between: str) -> None:
    """1 + 2^-12 is no FP16 number: a second layer that looks for the 2^-12 must not find it."""
    nodes = [node("Conv", "x w1 b1", "c")]
    if between:
        attributes = {"kernel_shape": [1, 1]} if between == "MaxPool" else {}
        nodes.append(node(between, "c", "p", **attributes))
    nodes.append(node("Conv", f"{'p' if between else 'c'} w2 b2", "y"))
    weights = {"w1": ones(1, 1, 1, 1), "b1": ones(1, value=2.0**-12), "w2": ones(1, 1, 1, 1, value=4096.0)}
    made = model(nodes, weights | {"b2": ones(1, value=-4096.0)}, ("n", 1, 1, 1))
    assert infer(made, accumulate, ones(1, 1, 1, 1)) == 0
    assert infer(made, accumulate, ones(1, 1, 1, 1, value=1 + 2.0**-12)) == 0  # the input is rounded, too
    assert calculated(made, ones(1, 1, 1, 1)) == 1


def residual_network() -> ModelProto:
    """Convolutions of all kinds, a residual, squeeze and excitation, pooling, a concatenation and a classifier."""
    nodes = [
        node("Conv", "x w1 b1", "c1", pads=[1] * 4),
        node("BatchNormalization", "c1 scale shift mean var", "n1"),
        node("Relu", "n1", "r1"),
        node("Conv", "r1 w2", "c2", pads=[1] * 4, group=8),
        node("LeakyRelu", "c2", "l2"),
        node("Conv", "l2 w3", "c3"),
        node("Add", "r1 c3", "a3"),
        node("Relu", "a3", "r3"),
        node("GlobalAveragePool", "r3", "p3"),
        node("Conv", "p3 w3", "c4"),
        node("HardSigmoid", "c4", "h4"),
        node("Mul", "r3 h4", "m4"),
        node("MaxPool", "m4", "p5", kernel_shape=[2, 2], strides=[2, 2]),
        node("AveragePool", "m4", "q5", kernel_shape=[2, 2], strides=[2, 2]),
        node("Concat", "p5 q5", "k5", axis=1),
        node("Flatten", "k5", "f5"),
        node("Gemm", "f5 w6 b6", "g6"),
        node("Softmax", "g6", "y"),
    ]
    weights = {
        "w1": random(1, 8, 3, 3, 3),
        "b1": random(2, 8),
        "scale": random(3, 8),
        "shift": random(4, 8),
        "mean": random(5, 8),
        "var": np.abs(random(6, 8)) + 1,
        "w2": random(7, 8, 1, 3, 3),
        "w3": random(8, 8, 8, 1, 1),
        "w6": random(9, 256, 10, scale=0.1),
        "b6": random(10, 10),
    }
    return model(nodes, weights, ("n", 3, 8, 8))


def test_nodes_become_layers_as_tensorrt_fuses_them() -> None:
    layers = rewrite(residual_network()).layers
    assert [(layer.name, layer.op) for layer in layers] == [
        ("x", "Cast"),
        ("c1", "Conv+Relu"),
        ("c2", "Conv"),
        ("l2", "LeakyRelu"),
        ("c3", "Conv+Add+Relu"),
        ("p3", "GlobalAveragePool"),
        ("c4", "Conv"),
        ("h4", "HardSigmoid"),
        ("m4", "Mul"),
        ("q5", "AveragePool"),
        ("g6", "Gemm"),
        ("y", "Softmax"),
    ]


def test_two_convolutions_that_meet_in_a_sum_are_two_layers_and_the_later_one_has_the_sum() -> None:
    nodes = [node("Conv", "x v", "a"), node("Conv", "x w", "b"), node("Add", "a b", "s"), node("Relu", "s", "y")]
    weights = {"v": random(0, 2, 2, 1, 1), "w": random(1, 2, 2, 1, 1)}
    assert ops(model(nodes, weights, ("n", 2, 5, 5))) == ["Cast", "Conv", "Conv+Add+Relu"]


def test_a_result_that_is_read_twice_ends_its_layer() -> None:
    nodes = [node("Conv", "x w", "a"), node("Relu", "a", "r"), node("Concat", "a r", "y", axis=1)]
    assert ops(model(nodes, {"w": random(0, 2, 2, 1, 1)}, ("n", 2, 5, 5))) == ["Cast", "Conv", "Relu"]


def test_adjacent_pointwise_operations_of_one_shape_are_one_layer() -> None:
    nodes = [node("Conv", "x w", "c"), node("LeakyRelu", "c", "l"), node("Add", "l x", "y")]
    assert ops(model(nodes, {"w": random(0, 2, 2, 1, 1)}, ("n", 2, 5, 5))) == ["Cast", "Conv", "LeakyRelu+Add"]


def test_a_batch_normalisation_of_its_own_is_fused_with_its_activation() -> None:
    nodes = [node("BatchNormalization", "x s b m v", "n"), node("Relu", "n", "y")]
    weights = {"s": random(0, 2), "b": random(1, 2), "m": random(2, 2), "v": np.abs(random(3, 2))}
    assert ops(model(nodes, weights, ("n", 2, 5, 5))) == ["Cast", "BatchNormalization+Relu"]


def test_onnx_runtimes_optimizer_keeps_every_boundary(tmp_path: Path) -> None:
    rewritten = rewrite(residual_network())
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(rewritten.model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    nodes = onnx.load(tmp_path / "optimized.onnx").graph.node
    halved = {n.output[0] for n in nodes if n.op_type == "Cast" and n.attribute[0].i == TensorProto.FLOAT16}
    assert len(halved) == len(rewritten.layers)
    assert {n.op_type for n in nodes if halved & set(n.input)} == {"Cast"}


@pytest.mark.parametrize("accumulate", VARIANTS)
def test_every_value_between_layers_is_an_fp16_number(accumulate: str) -> None:
    found = infer(residual_network(), accumulate, random(0, 2, 3, 8, 8))
    assert found.shape == (2, 10)
    assert (half(found) == found).all()


def test_rewriting_leaves_the_model_as_it_is() -> None:
    made = residual_network()
    before = made.SerializeToString(deterministic=True)
    rewrite(made)
    assert made.SerializeToString(deterministic=True) == before


# --- models that are FP16 already --------------------------------------------------------------------------------


@pytest.mark.parametrize("accumulate", VARIANTS)
def test_a_model_converted_to_fp16_calculates_the_same(accumulate: str) -> None:
    nodes = [n for n in residual_network().graph.node if n.op_type != "BatchNormalization"]
    nodes[1].input[0] = "c1"
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in residual_network().graph.initializer}
    made = model(nodes, {name: weights[name] for name in ("w1", "b1", "w2", "w3", "w6", "b6")}, ("n", 3, 8, 8))
    x = random(0, 2, 3, 8, 8)
    expected = infer(made, accumulate, x)
    converted = to_half_precision(made, Arrays(x), [kinds.named("fp16-boundaries")])
    assert (infer(converted, accumulate, x) == expected).all()
    assert ops(converted) == ops(made)


# --- counts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("accumulate", "flushed"), [("fp32", 2), ("fp16", 0)])  # a sum in FP16 flushes on its way
def test_a_layer_counts_what_does_not_fit_in_all_its_batches(accumulate: str, flushed: int) -> None:
    made = model([node("Conv", "x w", "y")], {"w": ones(1, 1, 1, 1, value=2.0**-10)}, ("n", 1, 1, 4))
    engine = backend(made, accumulate)
    for sign in (1, -1):
        engine.infer(sign * np.array([[[[2.0**-10, 2.0**-16, 1.0, 0.0]]]], np.float32))
    assert engine.facts()["kernels"] == []
    assert engine.facts()["layers"][1] == {
        "name": "y",
        "op": "Conv",
        "elements": 8,
        "overflow": 0,
        "subnormal": 2,
        "flushed": flushed,
        "max_abs": 2.0**-10,
    }


@pytest.mark.parametrize(("accumulate", "overflow"), [("fp32", 0), ("fp16", 4)])
def test_a_clip_hides_an_overflow_only_where_the_sum_is_wide(accumulate: str, overflow: int) -> None:
    nodes = [node("Conv", "x w", "c"), node("Clip", "c low high", "y")]
    weights = {"w": ones(1, 1, 1, 1, value=400.0), "low": np.float32(0)[...], "high": np.float32(6)[...]}
    engine = backend(model(nodes, weights, ("n", 1, 2, 2)), accumulate)
    assert (engine.infer(ones(1, 1, 2, 2, value=400.0)) == 6).all()
    assert engine.facts()["layers"][1]["overflow"] == overflow


# --- what cannot be emulated -------------------------------------------------------------------------------------


def with_branches() -> ModelProto:
    then = helper.make_graph([node("Relu", "x", "t")], "t", [], [helper.make_tensor_value_info("t", 1, None)])
    other = helper.make_graph([node("Neg", "x", "e")], "e", [], [helper.make_tensor_value_info("e", 1, None)])
    choose = node("If", "flag", "y", then_branch=then, else_branch=other)
    return model([choose], {"flag": np.array(True)}, ("n", 4))


def of_doubles() -> ModelProto:
    nodes = [node("Cast", "x", "d", to=TensorProto.DOUBLE), node("Exp", "d", "e"), node("Cast", "e", "y", to=1)]
    return model(nodes, {}, ("n", 4))


def quantised() -> ModelProto:
    nodes = [node("QuantizeLinear", "x s z", "q"), node("DequantizeLinear", "q s z", "y")]
    return model(nodes, {"s": np.array(0.1, np.float32), "z": np.array(0, np.int8)}, ("n", 4))


def foreign() -> ModelProto:
    made = model([node("Relu", "x", "y")], {}, ("n", 4))
    made.graph.node[0].domain = "com.microsoft"
    made.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return made


def with_sums_of_its_own() -> ModelProto:
    return model([node("Einsum", "x w", "y", equation="nchw,hk->nk")], {"w": random(0, 4, 2)}, (1, 2, 4, 4))


def contradictory() -> ModelProto:
    return model([node("Flatten", "x", "f"), node("MatMul", "f w", "y")], {"w": random(0, 5, 2)}, (1, 2, 4, 4))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (with_branches, "operator If holds a graph"),
        (of_doubles, "is DOUBLE"),
        (quantised, "is quantised"),
        (foreign, "com.microsoft.Relu is not one of ONNX"),
        (with_sums_of_its_own, "no FP16 sums of the operator Einsum"),
        (contradictory, "cannot be simplified: "),
    ],
)
def test_a_model_that_cannot_be_rewritten_is_refused_in_one_line(make: Callable[[], ModelProto], reason: str) -> None:
    with pytest.raises(InputError, match=reason) as refusal:
        rewrite(make())
    assert "\n" not in str(refusal.value)


def test_a_short_batch_of_a_model_with_a_fixed_one_is_padded() -> None:
    made = model([node("Conv", "x w", "y")], {"w": random(0, 2, 2, 1, 1)}, (4, 2, 5, 5))
    assert infer(made, "fp32", random(1, 3, 2, 5, 5)).shape == (3, 2, 5, 5)


def test_a_model_with_two_inputs_is_refused() -> None:
    made = model([node("Relu", "x", "y")], {}, ("n", 4))
    made.graph.node[0].CopyFrom(node("Add", "x z", "y"))
    made.graph.input.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, ("n", 4)))
    with pytest.raises(InputError, match="2 inputs"):
        backend(made, "fp32")
