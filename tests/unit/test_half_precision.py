"""Conversion to FP16 keeps in FP32 what overflows, and nothing else."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, NodeProto, TensorProto
from onnxruntime.transformers.float16 import convert_float_to_float16

from pipeline.arithmetic import kinds
from pipeline.arithmetic.fp16 import reach
from pipeline.arithmetic.fp16.boundaries import simplified
from pipeline.compress.half_precision import to_half_precision
from pipeline.formats.from_torch import run_onnx
from pipeline.formats.mixed_precision import fp32_layers
from pipeline.system.errors import InputError
from tests.graphs import Array, Arrays, backend, infer, model, node, ones, random

VARIANTS = ("fp32", "fp16")


X = ones(3, 1, 4, 4, value=2.0)


def chain(*factors: float) -> ModelProto:
    """Convolutions 1x1 called c0, c1, ... that multiply by the factors, then a LeakyRelu."""
    weights = {f"w{index}": ones(1, 1, 1, 1, value=factor) for index, factor in enumerate(factors)}
    tensors = ["x", *(f"c{index}" for index in range(len(factors)))]
    nodes = [node("Conv", f"{tensors[i]} w{i}", tensors[i + 1]) for i in range(len(factors))]
    return model([*nodes, node("LeakyRelu", tensors[-1], "y")], weights, ("n", 1, 4, 4))


def plain(of: ModelProto) -> ModelProto:
    copy = ModelProto()
    copy.CopyFrom(of)
    converted: ModelProto = convert_float_to_float16(copy, keep_io_types=True)
    return converted


def in_half(of: ModelProto, x: Array) -> ModelProto:
    """`of` with its tensors in FP16, as it is made for a board whose FP16 is known by its layers' boundaries."""
    return to_half_precision(of, Arrays(x), [kinds.named("fp16-boundaries")])


def overflow(of: ModelProto, accumulate: str, x: Array) -> int:
    engine = backend(of, accumulate)
    engine.infer(x)
    return sum(layer["overflow"] for layer in engine.facts()["layers"])


def assert_good(of: ModelProto, x: Array, atol: float = 0.01) -> ModelProto:
    """`of` in FP16 has no overflow, whatever the sums, and calculates what FP32 does; the answer is the conversion."""
    made = in_half(of, x)
    onnx.checker.check_model(made, full_check=True)
    for accumulate in VARIANTS:
        assert overflow(made, accumulate, x) == 0
        np.testing.assert_allclose(infer(made, accumulate, x), run_onnx(of, x), atol=atol, rtol=0.01)
    return made


def types(of: ModelProto) -> dict[str, int]:
    graph = onnx.shape_inference.infer_shapes(of, strict_mode=True).graph
    return {value.name: value.type.tensor_type.elem_type for value in (*graph.input, *graph.value_info, *graph.output)}


def named(of: ModelProto, name: str) -> NodeProto:
    [found] = [found for found in of.graph.node if found.name == name]
    return found


# --- what is kept ------------------------------------------------------------------------------------------------


def test_nothing_is_kept_where_nothing_overflows() -> None:
    of = chain(3.0, 0.5)
    made = assert_good(of, X)
    assert fp32_layers(made) == []
    assert [found.op_type for found in made.graph.node] == ["Cast", "Conv", "Conv", "LeakyRelu", "Cast"]
    assert {tensor.data_type for tensor in made.graph.initializer} == {TensorProto.FLOAT16}
    for accumulate in VARIANTS:
        assert (infer(made, accumulate, X) == infer(plain(of), accumulate, X)).all()


def test_the_layers_that_write_and_read_what_overflows_are_kept() -> None:
    of = chain(1.0, 5e4, 2e-5, 1.0)
    assert overflow(plain(of), "fp32", X) > 0
    assert np.isinf(infer(plain(of), "fp32", X)).all()
    assert fp32_layers(assert_good(of, X)) == ["c1", "c2"]


def test_values_stay_fp32_between_layers_kept() -> None:
    of = chain(1.0, 5e4, 3.0, 1.0, 1e-6, 1.0)
    made = assert_good(of, X)
    kept = fp32_layers(made)
    assert kept == ["c1", "c2", "c3", "c4"]
    for writer, reader in pairwise(kept):
        between = named(made, writer).output[0]
        assert named(made, reader).input[0] == between
        assert types(made)[between] == TensorProto.FLOAT
        assert [found.name for found in made.graph.node if between in found.input] == [reader]


def test_a_result_read_by_a_layer_kept_and_by_another_reaches_both() -> None:
    nodes = [
        node("Conv", "x up", "a"),
        node("Conv", "a down", "b"),
        node("Conv", "b up", "c"),
        node("Conv", "c down", "d"),
        node("Concat", "b d", "e", axis=1),
        node("Sigmoid", "e", "y"),
    ]
    weights = {"up": ones(1, 1, 1, 1, value=5e4), "down": ones(1, 1, 1, 1, value=2e-5)}
    made = assert_good(model(nodes, weights, ("n", 1, 4, 4)), X)
    assert fp32_layers(made) == ["a", "b", "c", "d"]


def test_a_weight_beyond_fp16_keeps_its_layer_where_no_value_overflows() -> None:
    x = X * 1e-4
    of = chain(1e5, 0.1)
    assert np.abs(infer(plain(of), "fp32", x) - run_onnx(of, x)).max() > 0.05  # 1e5 became 65504
    assert fp32_layers(assert_good(of, x)) == ["c0"]


def opposite_terms() -> ModelProto:
    """The first half of a sum gives 80,000, the second takes it away; the result is clipped to be small."""
    weights = {"w": np.concatenate([ones(2, 8, 1, 1), -ones(2, 8, 1, 1)], axis=1), "v": ones(1, 2, 1, 1, value=0.5)}
    nodes = [node("Conv", "x w", "c"), node("Relu", "c", "r"), node("Conv", "r v", "d"), node("LeakyRelu", "d", "y")]
    return model(nodes, weights, ("n", 16, 2, 2))


def test_an_overflow_in_the_sums_alone_keeps_the_whole_layer() -> None:
    of, x = opposite_terms(), ones(2, 16, 2, 2, value=10_000.0)
    assert (overflow(plain(of), "fp32", x), overflow(plain(of), "fp16", x) > 0) == (0, True)
    assert np.isinf(infer(plain(of), "fp16", x)).all()
    made = assert_good(of, x)
    assert fp32_layers(made) == ["c", "r"]
    assert types(made)[named(made, "c").output[0]] == TensorProto.FLOAT


def test_a_clip_that_hides_the_overflow_of_its_sum_is_kept_with_it() -> None:
    nodes = [
        node("Conv", "x w", "c"),
        node("Clip", "c low high", "k"),
        node("Conv", "k v", "d"),
        node("Tanh", "d", "y"),
    ]
    weights = {"w": ones(1, 1, 1, 1, value=4e4), "v": ones(1, 1, 1, 1), "low": np.float32(0)[...]}
    of = model(nodes, weights | {"high": np.float32(6)[...]}, ("n", 1, 4, 4))
    assert fp32_layers(assert_good(of, X)) == ["c", "k"]


def test_an_input_beyond_fp16_is_read_in_fp32() -> None:
    made = assert_good(chain(1e-5, 1.0), X * 4e4)
    assert fp32_layers(made) == ["c0"]
    assert named(made, "c0").input[0] == "x"


def test_an_output_beyond_fp16_is_written_in_fp32() -> None:
    weights = {"w": ones(1, 1, 1, 1), "v": ones(1, 1, 1, 1, value=5e4)}
    of = model([node("Conv", "x w", "c"), node("Conv", "c v", "y")], weights, ("n", 1, 4, 4))
    made = assert_good(of, X)
    assert fp32_layers(made) == ["y"]
    assert named(made, "y").output[0] == "y"


def quotient(divisor: float) -> ModelProto:
    """Of two numbers that FP16 makes zero."""
    factors = {"w": 1e-3, "small": 1e-3, "divisor": divisor, "one": 1.0}
    nodes = [node("Conv", "x w", "a"), node("Conv", "a w", "b")]
    nodes += [node("Conv", "b small", "c"), node("Conv", "b divisor", "d"), node("Div", "c d", "q")]
    nodes += [node("Conv", "q one", "e"), node("Conv", "e one", "f"), node("LeakyRelu", "f", "y")]
    weights = {name: ones(1, 1, 1, 1, value=value) for name, value in factors.items()}
    return model(nodes, weights, ("n", 1, 4, 4))


def test_what_shows_in_the_emulation_alone_is_kept() -> None:
    of = quotient(2e-3)
    assert overflow(plain(of), "fp32", X) > 0
    assert fp32_layers(assert_good(of, X)) == ["c", "d", "q", "e"]


def test_a_network_without_finite_answers_is_refused() -> None:
    with pytest.raises(InputError, match="not numbers"):
        in_half(quotient(0.0), X * 0)


def test_a_margin_is_left_for_data_that_is_no_sample() -> None:
    of = chain(1.0, 1.5e4, 5e-5, 1.0)
    made = in_half(of, X)
    assert overflow(plain(of), "fp32", X) == 0
    assert fp32_layers(made) == ["c1", "c2"]
    assert overflow(made, "fp32", X * 3) == 0 < overflow(plain(of), "fp32", X * 3)


def test_a_network_of_which_nothing_fits_is_refused() -> None:
    with pytest.raises(InputError, match="every layer overflows FP16"):
        in_half(model([node("Conv", "x w", "y")], {"w": ones(1, 1, 1, 1, value=1e6)}, ("n", 1, 4, 4)), X)


# --- names, batches, what else a graph may have -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "same"])
def test_nodes_without_a_name_of_their_own_get_one(name: str) -> None:
    of = chain(1.0, 5e4, 2e-5, 1.0)
    for found in of.graph.node:
        found.name = name
    before = of.SerializeToString(deterministic=True)
    made = in_half(of, X)
    assert fp32_layers(made) == ["Conv_1", "Conv_2"]
    assert overflow(made, "fp32", X) == 0
    assert of.SerializeToString(deterministic=True) == before


def test_a_name_that_is_made_up_is_nobody_elses() -> None:
    of = chain(1.0, 5e4, 2e-5, 1.0)
    of.graph.node[1].name, of.graph.node[3].name = "", "Conv_1"
    assert fp32_layers(assert_good(of, X)) == ["Conv_1_", "c2"]


def test_the_last_batch_of_a_fixed_size_may_be_short() -> None:
    of = chain(1.0, 5e4, 2e-5, 1.0)
    of.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2
    loud = np.concatenate([X[:2] * 1e-5, X[:1]])
    assert fp32_layers(in_half(of, loud)) == ["c1", "c2"]


def test_casts_of_the_network_itself_stay() -> None:
    """A cast to whole numbers and back cuts off what is behind the point."""
    nodes = [node("Conv", "x up", "a"), node("Cast", "a", "i", to=TensorProto.INT64)]
    nodes += [node("Cast", "i", "f", to=TensorProto.FLOAT), node("Conv", "f down", "b"), node("Sigmoid", "b", "y")]
    weights = {"up": ones(1, 1, 1, 1, value=1.5), "down": ones(1, 1, 1, 1, value=0.5)}
    x = X * 0.9
    made = assert_good(model(nodes, weights, ("n", 1, 4, 4)), x)
    assert fp32_layers(made) == []
    weights["up"], weights["down"] = weights["up"] * 1e5, weights["down"] * 1e-5
    assert fp32_layers(assert_good(model(nodes, weights, ("n", 1, 4, 4)), x)) == ["a", "b"]


def test_an_fp32_graph_has_no_layers_kept() -> None:
    assert fp32_layers(chain(1.0, 2.0)) == []


# --- any shape ---------------------------------------------------------------------------------------------------


@st.composite
def networks(draw: Callable[[Any], Any]) -> tuple[ModelProto, Array]:
    """Convolutions of odd shapes, the middle ones with values beyond FP16 between them, and inputs."""
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    depthwise = draw(st.booleans())
    channels = groups * draw(st.sampled_from([1, 3, 5]))
    kernel = draw(st.sampled_from([1, 3]))
    size = draw(st.integers(1, 7))
    seed = draw(st.integers(0, 2**32 - 9))
    loud = 10.0 ** draw(st.integers(0, 7))
    relu = draw(st.booleans())
    wide = channels if depthwise else groups
    weights = {
        "a": random(seed, channels, 3, 1, 1),
        "b": random(seed + 1, channels, channels // wide, kernel, kernel) * np.float32(loud),
        "c": random(seed + 2, channels, channels // groups, 1, 1) * np.float32(0.3 / loud),
        "d": random(seed + 3, channels),
        "e": random(seed + 4, channels, 4, scale=0.3),
    }
    nodes = [
        node("Conv", "x a d", "p"),
        node("Conv", "p b", "q", group=wide, pads=[kernel // 2] * 4),
        node("Relu" if relu else "LeakyRelu", "q", "r"),
        node("Conv", "r c", "s", group=groups),
        node("Add", "s p", "t"),
        node("GlobalAveragePool", "t", "u"),
        node("Flatten", "u", "v"),
        node("Gemm", "v e", "y"),
    ]
    return model(nodes, weights, ("n", 3, size, size)), random(seed + 5, draw(st.integers(1, 5)), 3, size, size)


@settings(max_examples=25)
@given(networks())
def test_a_network_of_any_shape_keeps_its_answers(network: tuple[ModelProto, Array]) -> None:
    of, x = network
    made = in_half(of, x)
    expected = run_onnx(of, x)
    for accumulate in VARIANTS:
        assert overflow(made, accumulate, x) == 0
        assert np.abs(infer(made, accumulate, x) - expected).max() <= 0.03 * np.abs(expected).max() + 0.03


# --- how large sums get ------------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(
    channels=st.integers(1, 9),
    groups=st.sampled_from([1, 2, 3]),
    kernel=st.sampled_from([1, 3]),
    seed=st.integers(0, 2**32 - 4),
    op=st.sampled_from(["Conv", "Gemm"]),
)
def test_the_bound_of_a_sum_is_reached_by_one_order_and_exceeded_by_none(
    channels: int, groups: int, kernel: int, seed: int, op: str
) -> None:
    generator = np.random.default_rng(seed)
    if op == "Gemm":
        x, w = random(seed, 2, 7 * channels), random(seed + 1, 7 * channels, 3)
        of = model([node("Gemm", "x w", "y", alpha=-0.5)], {"w": w}, ("n", 7 * channels))
        terms = x.astype(np.float64)[:, :, None] * w
        terms = np.moveaxis(terms, 1, 0)
    else:
        x = random(seed, 2, channels * groups, kernel, kernel)
        w = random(seed + 1, 2 * groups, channels, kernel, kernel)
        of = model([node("Conv", "x w", "y", group=groups)], {"w": w}, ("n", *x.shape[1:]))
        parts = x.reshape(2, groups, 1, -1) * w.reshape(1, groups, 2, -1).astype(np.float64)
        terms = np.moveaxis(parts, -1, 0)
    [bound] = reach.measure(simplified(of), [x]).sums.values()
    reached = np.maximum(np.where(terms > 0, terms, 0).sum(0), np.where(terms < 0, -terms, 0).sum(0)).max()
    assert bound == pytest.approx(reached, rel=1e-4)
    for _ in range(5):
        order = generator.permutation(len(terms))
        assert np.abs(np.cumsum(terms[order], 0)).max() <= bound * (1 + 1e-5)


def test_values_are_the_largest_of_all_batches() -> None:
    found = reach.measure(simplified(chain(3.0, -2.0)), [X, -2 * X, X])
    assert found.values == pytest.approx({"x": 4, "c0": 12, "c1": 24, "y": 24})
    assert found.sums == pytest.approx({"c0": 12, "c1": 24})
