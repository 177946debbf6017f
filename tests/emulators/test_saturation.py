"""The NumPy model of the saturating kernel against the kernels themselves, bit for bit."""

from pathlib import Path

import numpy as np
import openvino
import pytest

from pipeline.arithmetic.kinds import capped_isa
from pipeline.arithmetic.saturation.analysis import SaturationReport
from pipeline.arithmetic.saturation.kernel import Geometry, accumulate
from pipeline.arithmetic.saturation.quantized_layers import quantized_layers
from pipeline.processes.side_by_side import run
from pipeline.records.targets import load_target
from tests.quantized import Layer
from tests.quantized_graphs import Quantized

TARGET = load_target("atom-x5-e3940")


def random_layer(groups: int, outputs: int, channels: int, kernel: int, **facts: object) -> Layer:
    weights = np.random.default_rng(0).integers(-127, 128, (groups, outputs, channels, kernel, kernel), np.int32)
    return Layer(weights, **facts)  # type: ignore[arg-type]


CASES = {
    "1x1": random_layer(1, 32, 32, 1),
    "1x1 with a zero point": random_layer(1, 32, 32, 1, zero_point=100),
    "signed activations": random_layer(1, 32, 32, 1, zero_point=128),
    "3x3": random_layer(1, 32, 32, 3, padding=1),
    "3x3 padded with a zero point": random_layer(1, 32, 32, 3, padding=1, zero_point=100),
    "first layer": random_layer(1, 32, 3, 3, stride=2, padding=1, zero_point=128),
    "depthwise": random_layer(32, 1, 1, 3, padding=1, zero_point=3),
    "two groups": random_layer(2, 16, 16, 3, padding=1),
    "eight small groups": random_layer(8, 4, 4, 3, padding=1),
    "channels not divisible by four": random_layer(1, 6, 10, 1),
    "odd channels": random_layer(1, 5, 7, 3, padding=1),
    "matrix product": random_layer(1, 1000, 1280, 1, zero_point=7, product=True),
    "odd matrix product": random_layer(1, 7, 65, 1, product=True),
}


def expected(layer: Layer, activations: np.ndarray) -> np.ndarray:
    """The layer's answer: saturated sums, minus what the zero point contributes, which is calculated without."""
    geometry = Geometry((layer.stride,) * 2, (layer.padding,) * 2, (layer.padding,) * 2)
    channels = layer.weights.shape[2]
    parts = []
    for group, weights in enumerate(layer.weights):
        part = activations[:, group * channels : (group + 1) * channels]
        if len(layer.weights) > 1 and weights.shape[:2] == (1, 1):  # depthwise sums are wide
            weights = np.concatenate([weights, np.zeros_like(weights)], 1)
            part = np.concatenate([part, np.zeros_like(part)], 1)
        shift = layer.zero_point * weights.sum((1, 2, 3), dtype=np.int64)[None, :, None, None]
        parts.append(accumulate(part, weights, geometry, layer.zero_point) - shift)
    return np.concatenate(parts, 1)


@pytest.mark.parametrize("name", CASES)
def test_the_capped_kernels_do_what_the_model_says(name: str, tmp_path: Path) -> None:
    layer = CASES[name]
    size = 1 if layer.product else 8
    groups, _, channels = layer.weights.shape[:3]
    activations = np.random.default_rng(1).integers(0, 256, (4, groups * channels, size, size), np.int32)
    inputs = layer.inputs(activations)
    inputs = inputs.reshape(4, -1) if layer.product else inputs
    path = layer.write(tmp_path / "model.xml", inputs.shape)
    [capped] = run(path, [inputs], 4, inputs.shape, [capped_isa.target_place(TARGET)])
    sums = expected(layer, activations)
    np.testing.assert_array_equal(capped.values / Layer.SCALE, sums.reshape(capped.values.shape))
    assert all(kernel.startswith(("jit_sse42", "jit_gemm")) for kernel in capped.facts["kernels"])


def test_the_report_counts_and_explains_what_the_capped_kernel_loses(tmp_path: Path) -> None:
    layer = CASES["3x3 padded with a zero point"]
    activations = np.random.default_rng(2).integers(0, 256, (4, 32, 8, 8), np.int32)
    inputs = layer.inputs(activations)
    path = layer.write(tmp_path / "model.xml", inputs.shape)
    places = [capped_isa.target_place(TARGET), capped_isa.host_place(TARGET, saturating=False)]
    capped, cloud = run(path, [inputs], 4, inputs.shape, places)
    report = SaturationReport(openvino.Core().read_model(path))
    report.add(inputs)
    [found] = report.layers()
    lost = capped.values - cloud.values
    assert found.name == "layer"
    assert found.share_percent == pytest.approx(100)
    assert found.output_error == pytest.approx(float(np.sqrt(np.square(lost).mean())), rel=1e-5)
    assert 0 < found.channels_hit <= found.channels == 32
    assert 0 < found.saturated < found.pair_sums == 4 * 32 * 16 * 9 * 64


def test_half_range_weights_never_saturate(tmp_path: Path) -> None:
    layer = Layer(CASES["3x3"].weights // 2, padding=1)
    inputs = layer.inputs(np.full((4, 32, 8, 8), 255, np.int32))
    report = SaturationReport(openvino.Core().read_model(layer.write(tmp_path / "model.xml", inputs.shape)))
    report.add(inputs)
    [found] = report.layers()
    assert (found.saturated, found.output_error, found.fix) == (0, 0.0, "none needed")


def test_depthwise_layers_are_known_not_to_saturate(tmp_path: Path) -> None:
    path = CASES["depthwise"].write(tmp_path / "model.xml", (4, 32, 8, 8))
    [layer] = quantized_layers(openvino.Core().read_model(path))
    assert not layer.saturates


def test_one_scale_and_zero_point_may_stand_for_all_weights(tmp_path: Path) -> None:
    graph = Quantized()
    rows = graph.activation(graph.add("Flatten", graph.add("GlobalAveragePool", "x")))
    path = graph.save(tmp_path / "dense.onnx", graph.add("MatMul", rows, graph.weights(8, 5, zero=3, axis=None)))
    [layer] = quantized_layers(openvino.convert_model(path))
    assert layer.weights.values.shape == (1, 5, 8, 1, 1)
    assert layer.weights.scale.shape == layer.weights.zero_point.shape == (1, 1, 1, 1, 1)
    assert layer.weights.zero_point.item() == 3
