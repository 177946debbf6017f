"""Prediction of rates and watts: known sizes, errors on unseen models, monotony, refusals, and bad input."""

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper
from pydantic import ValidationError

from pipeline.formats.network_file import load
from pipeline.predict import BoardResult, family_fit, family_power, predict
from pipeline.predict.fit import fit
from pipeline.predict.layers import Layer, layers_of
from pipeline.predict.measurements import LAYERS_FILE, published, write_layer_lists
from pipeline.predict.networks import ARCHITECTURES, published_layers
from pipeline.predict.networks.net import Net
from pipeline.predict.power import fit_power
from pipeline.records.targets import Precision, Target, load_target
from pipeline.system.errors import InputError

# family, precision, worst error that the median over models and any one row may have (per cent)
ERRORS: list[tuple[str, Precision, float, float]] = [
    ("jetson-tx2", "fp16", 6.0, 18.0),
    ("jetson-tx2", "fp32", 6.0, 15.0),
    ("atom-goldmont", "fp32", 4.5, 17.5),
    ("atom-goldmont", "int8", 8.5, 23.5),
]
RUNS: list[tuple[str, Precision]] = [
    ("atom-x5-e3940", "fp32"),
    ("atom-x5-e3940", "int8"),
    ("jetson-tx2-maxp", "fp16"),
    ("jetson-tx2-maxq", "fp32"),
]


def small_net(width: int = 32, size: int = 32, depthwise: bool = True) -> Net:
    net = Net((size, size))
    x = net.conv(net.image, width, 3, 2)
    y = net.conv(net.depthwise(x), width, act=None) if depthwise else net.conv(x, width, 3, act=None)
    net.dense(net.global_pool(net.add(x, y, "Relu")), 10)
    return net


def saved(net: Net, folder: Path, name: str = "net.onnx") -> Path:
    onnx.save(net.model(), folder / name)
    return folder / name


def read(path: Path) -> list[Layer]:
    return layers_of(load(path))


def with_clocks(target: Target, gpu_ghz: float, bandwidth_gb_s: float) -> Target:
    assert target.gpu is not None
    return target.model_copy(
        update={
            "gpu": target.gpu.model_copy(update={"clock_ghz": gpu_ghz}),
            "memory": target.memory.model_copy(update={"bandwidth_gb_s": bandwidth_gb_s}),
        }
    )


@pytest.fixture
def resnet(tmp_path: Path) -> Path:
    return saved(ARCHITECTURES["resnet_50_v1.5"](), tmp_path, "resnet50.onnx")


@pytest.mark.parametrize(
    ("network", "gmacs", "million_weights"),
    [
        ("resnet_50_v1.5", 4.09, 25.5),
        ("resnet_50_caffe", 3.86, 25.5),
        ("mobilenet_v2", 0.301, 3.47),
        ("mobilenet_v1_1.0_224", 0.569, 4.21),
        ("inception_v3", 5.71, 23.8),
        ("inception_v4", 12.25, 42.6),
        ("vgg_16", 15.47, 138.3),
        ("yolo_v3_tiny", 2.78, 8.85),
        ("yolo_v4_608", 64.2, 64.3),
        ("unet_camvid", 130.0, 31.0),
    ],
)
def test_sizes_of_known_networks(network: str, gmacs: float, million_weights: float) -> None:
    layers = published_layers(network)
    assert sum(layer.macs for layer in layers) / 1e9 == pytest.approx(gmacs, rel=0.01)
    assert sum(layer.weights for layer in layers) / 1e6 == pytest.approx(million_weights, rel=0.01)


def test_layer_lists_are_those_of_the_architectures(tmp_path: Path) -> None:
    write_layer_lists({name: published_layers(name) for name in ARCHITECTURES}, tmp_path / "layers.csv")
    assert (tmp_path / "layers.csv").read_text() == LAYERS_FILE.read_text()


@pytest.mark.parametrize(("family", "precision", "median", "worst"), ERRORS)
def test_error_on_models_left_out(family: str, precision: Precision, median: float, worst: float) -> None:
    fitted = family_fit(family, precision)
    assert fitted is not None
    assert fitted.error_percent <= median
    assert max(np.abs(errors).max() for errors in fitted.errors.values()) <= worst


@pytest.mark.parametrize(("family", "precision", "median", "worst"), ERRORS)
def test_fit_does_not_depend_on_the_order_of_rows(
    family: str, precision: Precision, median: float, worst: float
) -> None:
    rows = published(family, precision)
    np.testing.assert_allclose(fit(rows[::-1]).parameters, fit(rows).parameters, rtol=1e-3)


@pytest.mark.parametrize(("family", "precision", "median", "worst"), ERRORS)
def test_fitted_efficiencies_are_physical(family: str, precision: Precision, median: float, worst: float) -> None:
    fitted = family_fit(family, precision)
    assert fitted is not None
    assert np.all(fitted.parameters > 0)
    assert np.all(fitted.parameters[:4] < 1)


def test_power_error_on_models_left_out() -> None:
    power = family_power("jetson-tx2")
    assert power is not None
    limits: dict[Precision, float] = {"fp16": 11.0, "fp32": 7.0}
    for precision, limit in limits.items():
        error = power.error_percent(precision)
        assert error is not None
        assert error <= limit
        assert max(np.abs(errors).max() for errors in power.errors[precision].values()) <= 30


def test_every_excluded_row_says_why() -> None:
    assert len(published("atom-goldmont", "int8", excluded=True)) == 4
    assert not {row.id for row in published("jetson-tx2", "fp16")} & {"L34", "L62"}


def test_prediction_adds_up(resnet: Path) -> None:
    target = load_target("jetson-tx2-maxp")
    result = predict(resnet, target, "fp16", batch=8)
    assert (result.target, result.precision, result.batch) == ("jetson-tx2-maxp", "fp16", 8)
    total = sum(layer.time_ms for layer in result.layers)
    assert result.inferences_per_s == pytest.approx(8000 / total)
    of_a_frame = predict(resnet, target, "fp16", batch=4)  # the GPU takes longer for it than the cores for the rest
    assert result.frames_per_s == pytest.approx(1000 / of_a_frame.latency_ms)
    assert result.latency_ms == pytest.approx(total, rel=0.05)
    assert sum(layer.macs for layer in result.layers) == pytest.approx(4.09e9, rel=0.01)
    assert len({layer.name for layer in result.layers}) == len(result.layers)
    with pytest.raises(ValidationError):
        result.batch = 1


def test_prediction_of_a_fitted_row_is_near_it(tmp_path: Path) -> None:
    path = saved(ARCHITECTURES["mobilenet_v2"](), tmp_path)
    assert predict(path, load_target("atom-x5-e3940"), "fp32").inferences_per_s == pytest.approx(45.4, rel=0.1)
    maxn = with_clocks(load_target("jetson-tx2-maxp"), 1.3, 59.7)
    path = saved(ARCHITECTURES["googlenet"](), tmp_path)
    result = predict(path, maxn, "fp32", batch=32)
    assert result.inferences_per_s == pytest.approx(154.1, rel=0.1)
    assert result.power_w == pytest.approx(13.77, rel=0.15)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    width=st.integers(1, 64),
    wider=st.integers(0, 64),
    size=st.integers(8, 96),
    larger=st.integers(0, 96),
    batch=st.integers(1, 64),
    more=st.integers(0, 64),
    run=st.sampled_from(RUNS),
    depthwise=st.booleans(),
)
def test_more_work_is_not_faster_and_a_larger_batch_is_not_slower(
    tmp_path: Path,
    width: int,
    wider: int,
    size: int,
    larger: int,
    batch: int,
    more: int,
    run: tuple[str, Precision],
    depthwise: bool,
) -> None:
    target, precision = load_target(run[0]), run[1]
    small = saved(small_net(width, size, depthwise), tmp_path, "small.onnx")
    large = saved(small_net(width + wider, size + larger, depthwise), tmp_path, "large.onnx")
    rate = predict(small, target, precision, batch).inferences_per_s
    assert predict(large, target, precision, batch).inferences_per_s <= rate * (1 + 1e-9)
    assert predict(small, target, precision, batch + more).inferences_per_s >= rate * (1 - 1e-9)


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
@pytest.mark.parametrize("batch", [1, 32])
def test_a_faster_mode_is_faster_and_takes_more_power(resnet: Path, precision: Precision, batch: int) -> None:
    base = load_target("jetson-tx2-maxp")
    results = [
        predict(resnet, with_clocks(base, *clocks), precision, batch)
        for clocks in ((0.85, 42.6), (1.12, 51.2), (1.3, 59.7))
    ]
    rates = [result.inferences_per_s for result in results]
    watts = [result.power_w or 0.0 for result in results]
    assert rates == sorted(rates)
    assert watts == sorted(watts)
    assert watts[0] > 4.15  # idle power in MAXQ


def test_narrower_numbers_are_faster(resnet: Path) -> None:
    def rate(name: str, precision: Precision) -> float:
        return predict(resnet, load_target(name), precision).inferences_per_s

    assert rate("atom-x5-e3940", "int8") > 1.8 * rate("atom-x5-e3940", "fp32")
    assert rate("jetson-tx2-maxq", "fp16") > 1.4 * rate("jetson-tx2-maxq", "fp32")


def test_power_of_the_atom_is_a_bound_and_says_so(resnet: Path) -> None:
    result = predict(resnet, load_target("atom-x5-e3940"), "int8")
    assert (result.power_w, result.power_basis, result.power_error_percent) == (9.5, "tdp upper bound", None)
    measured = predict(resnet, load_target("jetson-tx2-maxq"), "fp16")
    assert measured.power_basis == "fitted to measured power"
    assert measured.power_error_percent is not None


def test_what_the_errors_do_not_cover_is_noted(resnet: Path, tmp_path: Path) -> None:
    assert predict(resnet, load_target("atom-x5-e3940"), "int8").notes == ()
    (unmeasured,) = predict(resnet, load_target("atom-x5-e3930"), "int8").notes
    assert "never measured on atom-x5-e3930" in unmeasured
    mobilenet = saved(ARCHITECTURES["mobilenet_v2"](), tmp_path)
    (slow_kernels,) = predict(mobilenet, load_target("jetson-tx2-maxp"), "fp16").notes
    assert "depthwise" in slow_kernels


def test_our_own_results_move_the_prediction(tmp_path: Path) -> None:
    first, second = (saved(small_net(width, 64), tmp_path, f"{width}.onnx") for width in (64, 96))
    target = load_target("atom-x5-e3940")
    before = predict(second, target, "int8")
    slow = [
        BoardResult(
            model=path,
            target=target.name,
            precision="int8",
            inferences_per_s=predict(path, target, "int8").inferences_per_s / 1.5,
        )
        for path in (first, second)
    ]
    after = predict(second, target, "int8", measurements=slow)
    assert after.inferences_per_s < 0.95 * before.inferences_per_s
    assert predict(second, target, "fp32", measurements=slow).inferences_per_s == pytest.approx(
        predict(second, target, "fp32").inferences_per_s
    )


def test_an_unmeasured_target_needs_our_own_results(tmp_path: Path) -> None:
    paths = [saved(small_net(width, 64), tmp_path, f"{width}.onnx") for width in (32, 64)]
    target = load_target("tegra-parker-a57")
    results = [
        BoardResult(model=path, target=target.name, precision="fp32", inferences_per_s=rate)
        for path, rate in zip(paths, (900, 400), strict=True)
    ]
    for given_results in ([], results[:1]):
        with pytest.raises(InputError, match="no published measurements for tegra-parker-a57 at fp32; only a board"):
            predict(paths[0], target, "fp32", measurements=given_results)
    result = predict(paths[0], target, "fp32", measurements=results)
    assert result.inferences_per_s == pytest.approx(900, rel=0.3)
    assert (result.power_w, result.power_basis) == (None, "not predicted")


@pytest.mark.parametrize(
    ("name", "precision", "batch", "message"),
    [
        ("atom-x5-e3940", "fp16", 1, "atom-x5-e3940 refuses fp16"),
        ("jetson-tx2-maxp", "int8", 1, "jetson-tx2-maxp refuses int8"),
        ("atom-x5-e3940", "int8", 0, "batch must be at least 1"),
    ],
)
def test_refusals(resnet: Path, name: str, precision: Precision, batch: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        predict(resnet, load_target(name), precision, batch)


def test_bad_files_give_one_clear_line(resnet: Path, tmp_path: Path) -> None:
    whole = resnet.read_bytes()
    (tmp_path / "short.onnx").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.onnx").write_text("not a network\n" * 100)
    (tmp_path / "empty.onnx").touch()
    for name, message in {
        "none.onnx": "no such file",
        ".": "no such file",
        "short.onnx": "not an ONNX file",
        "text.onnx": "not an ONNX file",
        "empty.onnx": "not an ONNX file",
    }.items():
        with pytest.raises(InputError, match=message) as error:
            predict(tmp_path / name, load_target("atom-x5-e3940"), "int8")
        assert "\n" not in str(error.value)


def convolution(shape: list[int | str], weight: TensorProto | None = None) -> ModelProto:
    weight = weight or TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[8, 3, 3, 3])
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    node = helper.make_node("Conv", ["x", "w"], ["y"], name="conv")
    return helper.make_model(helper.make_graph([node], "g", [image], [result], [weight]))


@pytest.mark.parametrize(("kind", "values"), [(64, b"\0"), (TensorProto.INT8, b"\0\0\0")])
def test_a_zero_point_of_no_type_or_too_many_values_is_one_line(kind: int, values: bytes, tmp_path: Path) -> None:
    file = convolution([1, 3, 32, 32], TensorProto(name="w8", data_type=TensorProto.INT8, dims=[8, 3, 3, 3]))
    scale = helper.make_tensor("s", TensorProto.FLOAT, [], [1.0])
    file.graph.initializer.extend([scale, TensorProto(name="z", data_type=kind, dims=[1], raw_data=values)])
    file.graph.node.insert(0, helper.make_node("DequantizeLinear", ["w8", "s", "z"], ["w"]))
    onnx.save(file, tmp_path / "net.onnx")
    with pytest.raises(InputError, match=r"net\.onnx: a value in it is damaged"):
        predict(tmp_path / "net.onnx", load_target("atom-x5-e3940"), "int8")


@pytest.mark.parametrize("shape", [[1, 3, "height", "width"], ["n", "c", 32, 32], [1, 3, 0, 32]])
def test_only_the_batch_may_be_open(tmp_path: Path, shape: list[int | str]) -> None:
    onnx.save(convolution(shape), tmp_path / "net.onnx")
    with pytest.raises(InputError, match="only the batch may be open"):
        read(tmp_path / "net.onnx")


@pytest.mark.parametrize("batch", ["n", 1, 4])
def test_sizes_are_for_one_image_whatever_the_batch(tmp_path: Path, batch: int | str) -> None:
    onnx.save(convolution([batch, 3, 34, 34]), tmp_path / "net.onnx")
    (layer,) = read(tmp_path / "net.onnx")
    assert (layer.macs, layer.weights, layer.inputs, layer.outputs) == (27 * 8 * 1024, 216, 3 * 34 * 34, 8 * 1024)


def test_weights_in_another_file(tmp_path: Path) -> None:
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[8, 3, 3, 3], data_location=TensorProto.EXTERNAL)
    weight.external_data.add(key="location", value="weights.bin")
    onnx.save(convolution([1, 3, 34, 34], weight), tmp_path / "net.onnx")
    with pytest.raises(InputError, match=r"its weights file 'weights\.bin' is missing"):
        read(tmp_path / "net.onnx")
    (tmp_path / "weights.bin").write_bytes(bytes(864))
    assert read(tmp_path / "net.onnx")[0].weights == 216


def test_shapes_that_do_not_fit(tmp_path: Path) -> None:
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[8, 3, 64, 64])
    onnx.save(convolution([1, 3, 32, 32], weight), tmp_path / "net.onnx")
    with pytest.raises(InputError, match="nothing is left of 'y'; the image is too small"):
        read(tmp_path / "net.onnx")
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[8, 3, 3])
    onnx.save(convolution([1, 3, 32, 32], weight), tmp_path / "net.onnx")
    with pytest.raises(InputError, match=r"net\.onnx: ") as error:
        read(tmp_path / "net.onnx")
    assert "\n" not in str(error.value)


def test_needs_no_torch_and_little_time(resnet: Path) -> None:
    code = "import sys, pipeline.predict; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    family_fit.cache_clear()
    family_power.cache_clear()
    begin = time.process_time()  # a busy machine lets it wait
    predict(resnet, load_target("jetson-tx2-maxp"), "fp16")
    assert time.process_time() - begin < 1.5


def test_idle_power_is_the_median_of_what_was_measured_at_a_clock() -> None:
    rows = [row for row in (*published("jetson-tx2", "fp32"), *published("jetson-tx2", "fp16")) if row.idle_w]
    again = [replace(row, idle_w=row.idle_w + more) for row in rows if row.idle_w for more in (0.0, 0.1, 9.0)]
    once, thrice = (fit_power(found, [row.rate for row in found]) for found in (rows, again))
    assert once is not None
    assert thrice is not None
    assert thrice.model.idle_ghz == once.model.idle_ghz
    assert thrice.model.idle_w == pytest.approx([watts + 0.1 for watts in once.model.idle_w])
