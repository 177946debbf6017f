"""An exported graph that is trained on: it calculates what the device does, learns, and is saved as it was trained."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from models import spec
from pipeline.arithmetic.saturation import kernel
from pipeline.compress import saturating_sums, shared_weights
from pipeline.compress.saturating_sums import Input, excess
from pipeline.compress.shared_weights import share_weights
from pipeline.compress.trainable_graph import GraphLayer, TrainableGraph
from pipeline.formats.from_torch import to_onnx
from pipeline.system.errors import InputError
from pipeline.train.checkpoint import Checkpoints
from pipeline.train.settings import Training
from tests.graphs import Arrays
from tests.unit.test_target_aware import STEP, models


def shapes(draw: Any) -> tuple[tuple[int, ...], int, str]:
    """Weights (O, C, kh, kw) or (C, O), groups, and the kind of product: what networks have, and odd sizes."""
    product = draw(st.sampled_from(["", "", "", "Gemm", "MatMul"]))
    if product:
        return (draw(st.integers(1, 9)), draw(st.integers(1, 9))), 1, product
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    channels = draw(st.integers(1, 5))
    size = draw(st.sampled_from([1, 3]))
    depthwise = groups > 1 and draw(st.booleans())
    outputs = groups if depthwise else groups * draw(st.integers(1, 5))
    return (outputs, 1 if depthwise else channels, size, size), groups, ""


layers = st.composite(lambda draw: shapes(draw))()


def inputs(model: onnx.ModelProto, seed: int) -> np.ndarray:
    shape = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    return np.random.default_rng(seed).uniform(0, 256 * STEP, shape).astype(np.float32)


def run_onnx(model: onnx.ModelProto, images: np.ndarray) -> np.ndarray:
    """The model node by node in floating point: optimised, its 8-bit sums would saturate on some machines."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    answer: np.ndarray = session.run(None, {session.get_inputs()[0].name: images})[0]
    return answer


@pytest.mark.parametrize("size", [(9, 12), (8, 7)])
@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER", "VALID"])
def test_pads_given_by_name_are_those_of_the_onnx_file(mode: str, size: tuple[int, int]) -> None:
    weights = np.random.default_rng(0).normal(size=(4, 3, 3, 2)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], auto_pad=mode, strides=[2, 1]),
        helper.make_node("MaxPool", ["a"], ["y"], auto_pad=mode, kernel_shape=[2, 3], strides=[1, 2]),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "padded",
        [value("x", TensorProto.FLOAT, [2, 3, *size])],
        [value("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    images = inputs(model, 0)
    found = TrainableGraph(model)(torch.from_numpy(images)).detach()
    np.testing.assert_allclose(found, run_onnx(model, images), rtol=1e-5, atol=1e-4)


@settings(max_examples=40)
@given(layers, st.integers(0, 1000))
def test_a_graph_calculates_trained_or_not_what_its_onnx_file_does(layer: Any, seed: int) -> None:
    shape, groups, product = layer
    weights = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    for model in models(weights, groups, product):
        images = inputs(model, seed)
        network = TrainableGraph(model)
        np.testing.assert_allclose(
            network(torch.from_numpy(images)).detach(), run_onnx(model, images), rtol=1e-5, atol=2e-3
        )
        kept = network.to_onnx()
        np.testing.assert_array_equal(run_onnx(kept, images), run_onnx(model, images))  # bit for bit
        optimizer = torch.optim.SGD(network.parameters(), 0.01)
        network(torch.from_numpy(images)).square().mean().backward()
        optimizer.step()
        after = network(torch.from_numpy(images)).detach().numpy()
        np.testing.assert_allclose(after, run_onnx(network.to_onnx(), images), rtol=1e-5, atol=2e-3)


@settings(max_examples=40)
@given(layers, st.integers(0, 1000))
def test_sums_saturate_as_in_the_kernel(layer: Any, seed: int) -> None:
    shape, groups, product = layer
    if product:
        return
    noise = np.random.default_rng(seed)
    zero_point, stride, pad = int(noise.integers(0, 200)), int(noise.integers(1, 3)), int(noise.integers(0, 2))
    weights = noise.integers(-128, 128, shape).astype(np.int32)
    activations = noise.integers(0, 256, (2, shape[1] * groups, 5, 5)).astype(np.int32)
    geometry = kernel.Geometry((stride, stride), (pad, pad), (pad, pad))
    parts = [
        kernel.excess(part, own, geometry, zero_point).sums
        for part, own in zip(np.split(activations, groups, 1), np.split(weights, groups), strict=True)
    ]
    values = torch.from_numpy((activations - zero_point).astype(np.float32) * 0.25)
    found = excess(
        values,
        torch.from_numpy(weights.astype(np.float32)),
        Input(0.25, zero_point),
        groups,
        (stride, stride),
        ((pad, pad), (pad, pad)),
    )
    np.testing.assert_array_equal(found, np.concatenate(parts, 1))


@pytest.mark.parametrize("chunk", [1, 50, saturating_sums.CHUNK])
def test_gradients_are_those_of_clipped_pairs(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    """Against PyTorch's own gradients of clamp, with all pairs held at once; in parts of any size."""
    monkeypatch.setattr(saturating_sums, "CHUNK", chunk)
    random = torch.Generator().manual_seed(0)
    values = torch.randint(0, 256, (2, 6, 5, 5), generator=random).float().requires_grad_()
    weights = torch.randint(-128, 128, (7, 6, 1, 1), generator=random).float().requires_grad_()
    upstream = torch.rand(2, 7, 5, 5, generator=random)

    products = (values[:, None] * weights[None, :, :, :, 0, None]).unflatten(2, (3, 2)).sum(3)
    expected = (products.clamp(kernel.LOWEST, kernel.HIGHEST) - products).sum(2)
    wanted = torch.autograd.grad((expected * upstream).sum(), (values, weights))
    assert (products > kernel.HIGHEST).sum() > chunk or chunk == saturating_sums.CHUNK

    found = excess(values, weights, Input(1.0, 0))
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(torch.autograd.grad((found * upstream).sum(), (values, weights)), wanted)


def test_training_under_saturation_recovers_what_training_without_it_does_not_see() -> None:
    noise = np.random.default_rng(3)
    weights = np.abs(noise.normal(size=(6, 8, 1, 1))).astype(np.float32)  # all of one sign: sums run high
    plain, quantized = models(weights)
    images = inputs(quantized, 1)
    images[:, ::2] = images[:, 1::2]  # neighbours that are large together
    wanted = torch.from_numpy(run_onnx(plain, images))

    def error(saturates_in_training: bool) -> float:
        network = TrainableGraph(quantized, saturates_in_training)
        optimizer = torch.optim.Adam(network.parameters(), 0.01)
        for _ in range(200):
            loss = (network(torch.from_numpy(images)) - wanted).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        on_target = TrainableGraph(network.to_onnx(), saturates=True)
        return float((on_target(torch.from_numpy(images)).detach() - wanted).square().mean())

    assert error(True) < 0.6 * error(False)


def test_a_training_goes_on_only_where_threads_and_saturation_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "samples.csv").touch()
    dataset: Any = SimpleNamespace(folder=tmp_path)
    wanted = Training(epochs=1, batch=2, learning_rate=0.1, samples_per_epoch=2)
    _, quantized = models(np.random.default_rng(0).normal(size=(2, 2, 1, 1)).astype(np.float32))

    def key(saturates: bool = False, threads: int = 1) -> str:
        torch.set_num_threads(threads)
        network = TrainableGraph(quantized, saturates)
        return Checkpoints(tmp_path, "").key(wanted, 1, spec("lenet-5"), dataset, network)

    before = torch.get_num_threads()
    try:
        assert key() == key()
        assert len({key(), key(saturates=True), key(threads=2)}) == 3
    finally:
        torch.set_num_threads(before)


@settings(max_examples=25)
@given(layers, st.integers(2, 6), st.booleans(), st.integers(0, 1000))
def test_shared_weights_stay_shared_when_trained_and_saved(layer: Any, bits: int, quantize: bool, seed: int) -> None:
    shape, groups, product = layer
    weights = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    model = models(np.tile(weights, (17, *[1] * (len(shape) - 1))) if groups == 1 else weights, groups, product)[
        quantize
    ]
    images = torch.from_numpy(inputs(model, seed))
    network = share_weights(TrainableGraph(model), bits, Arrays(images.numpy()))
    before = network(images).detach().numpy()
    np.testing.assert_allclose(before, run_onnx(network.to_onnx(), images.numpy()), rtol=1e-5, atol=2e-3)
    optimizer = torch.optim.SGD(network.parameters(), 0.01)
    network(images).square().mean().backward()
    optimizer.step()
    saved = network.to_onnx()
    np.testing.assert_allclose(network(images).detach(), run_onnx(saved, images.numpy()), rtol=1e-5, atol=2e-3)
    [stored] = [item for item in saved.graph.initializer if len(item.dims) == len(shape)]
    values = numpy_helper.to_array(stored)
    depthwise = groups > 1 and shape[1] == 1
    if values.size >= 16 << bits and not depthwise:
        assert len(np.unique(values)) <= 1 << bits
    else:
        assert isinstance(network.layers["0" if not quantize else "3"], GraphLayer)
        assert "codebook" not in str(dict(network.named_parameters()))


def test_more_values_cost_less() -> None:
    weights = np.random.default_rng(0).normal(size=(64, 64, 1, 1)).astype(np.float32)
    plain, quantized = models(weights)
    for model in (plain, quantized):
        images = torch.from_numpy(inputs(model, 0))
        whole = TrainableGraph(model)(images)
        errors = [
            float((shared(model, bits, images)(images) - whole).square().mean().detach()) for bits in (3, 4, 5, 6)
        ]
        assert errors == sorted(errors, reverse=True)
        assert errors[0] > 10 * errors[-1]


def shared(model: onnx.ModelProto, bits: int, images: torch.Tensor) -> TrainableGraph:
    return share_weights(TrainableGraph(model), bits, Arrays(images.numpy()))


def test_sharing_leaves_every_channel_its_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    network = nn.Sequential(*layers, nn.Linear(64, 40)).eval()
    model = to_onnx(network, replace(spec("lenet-5"), input_size=12))
    images, unseen = torch.rand(16, 3, 12, 12), torch.rand(16, 3, 12, 12)
    whole = TrainableGraph(model)
    corrected = shared(model, 2, images)
    assert all(len(layer.weight.unique()) == 4 for layer in corrected.layers.values())  # type: ignore[union-attr, operator]
    torch.testing.assert_close(corrected(images).mean(0), whole(images).mean(0), rtol=0, atol=1e-5)
    monkeypatch.setattr(shared_weights, "_correct_biases", lambda *_: None)
    plain = shared(model, 2, images)
    off = [(network(unseen) - whole(unseen)).square().mean() for network in (corrected, plain)]
    assert off[0] < 0.5 * off[1]


def test_an_operator_that_cannot_be_trained_is_named() -> None:
    node = helper.make_node("Erf", ["x"], ["y"], "gelu")
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3]) for name in "xy"]
    model = helper.make_model(helper.make_graph([node], "graph", ends[:1], ends[1:]))
    with pytest.raises(InputError, match=r"Erf \(gelu\)"):
        TrainableGraph(model)
