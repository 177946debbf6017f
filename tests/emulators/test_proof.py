"""What runs in the target's arithmetic need not run on its CPU, and the other way round: the emulated CPU decides."""

import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from pipeline import emulators
from pipeline.arithmetic.kinds import capped_isa
from pipeline.formats.to_openvino import write_openvino
from pipeline.processes import activity
from pipeline.processes.child import Place
from pipeline.processes.failures import Hung, TooSlow
from pipeline.processes.side_by_side import run
from pipeline.records.results import Audit
from pipeline.records.targets import Precision, load_target
from pipeline.retest import audit
from pipeline.retest.emulate import Emulation, emulate
from pipeline.retest.proof import Budget
from tests.graphs import Arrays, random
from tests.quantized_graphs import Quantized

ATOM = load_target("atom-x5-e3940")
INPUT = (3, 16, 16)
CLASSES = 5
Floats = NDArray[np.float32]


Build = Callable[[Path], Path]
Save = Callable[[onnx.ModelProto, Path], Path]


def seeded(count: int) -> Arrays:
    """A few seeded inputs."""
    return Arrays(np.random.default_rng(7).standard_normal((count, *INPUT)).astype(np.float32))


class Network:
    """An ONNX graph from the input x, node by node, with seeded weights."""

    def __init__(self, seed: int = 0) -> None:
        self.noise = np.random.default_rng(seed)
        self.nodes: list[Any] = []
        self.tensors: list[Any] = []

    def weights(self, values: Any) -> str:
        self.tensors.append(numpy_helper.from_array(np.asarray(values), f"t{len(self.tensors)}"))
        return str(self.tensors[-1].name)

    def random(self, *shape: int) -> Floats:
        fan = float(np.prod(shape[1:]))
        return (self.noise.standard_normal(shape) / np.sqrt(fan)).astype(np.float32)

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"{kind}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [f"{name}.out"], name, **attributes))
        return f"{name}.out"

    def convolution(self, source: str, weights: str) -> str:
        return self.add("Relu", self.add("Conv", source, weights, pads=[1, 1, 1, 1], strides=[2, 2]))

    def pooled(self, source: str) -> str:
        return self.add("Flatten", self.add("GlobalAveragePool", source))

    def quantized(self, source: str, scale: float) -> str:
        """`source` through 8 unsigned bits."""
        ends = (self.weights(np.float32(scale)), self.weights(np.uint8(128)))
        return self.add("DequantizeLinear", self.add("QuantizeLinear", source, *ends), *ends)

    def in_8_bits(self, weights: Floats) -> str:
        """Weights with a scale for each output."""
        scale = (np.abs(weights).max(axis=tuple(range(1, weights.ndim))) / 127).astype(np.float32)
        whole = np.rint(weights / scale.reshape(-1, *[1] * (weights.ndim - 1))).astype(np.int8)
        zero = np.zeros(len(scale), np.int8)
        return self.add("DequantizeLinear", *map(self.weights, (whole, scale, zero)), axis=0)

    def save(self, path: Path, answer: str, opset: int = 17, **storage: Any) -> Path:
        graph = helper.make_graph(
            self.nodes,
            "network",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", *INPUT])],
            [helper.make_tensor_value_info(answer, TensorProto.FLOAT, ["n", CLASSES])],
            self.tensors,
        )
        opsets = [helper.make_opsetid("", opset)]
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8 if opset < 19 else 10), path, **storage)
        return path


def normalised(path: Path) -> Path:
    """A layer norm."""
    net, channels = Network(), 20
    x = net.convolution("x", net.weights(net.random(channels, 3, 3, 3)))
    x = net.add("Reshape", x, net.weights(np.array([0, channels, -1])))
    ends = (net.weights(np.ones(channels, np.float32)), net.weights(np.zeros(channels, np.float32)))
    x = net.add("LayerNormalization", net.add("Transpose", x, perm=[0, 2, 1]), *ends, axis=-1)
    x = net.add("ReduceMean", x, axes=[1], keepdims=0)
    return net.save(path, net.add("MatMul", x, net.weights(net.random(channels, CLASSES))))


def over_tokens(net: Network, channels: int) -> str:
    """The places of an image as rows (n, places, channels)."""
    x = net.convolution("x", net.weights(net.random(channels, 3, 3, 3)))
    return net.add("Transpose", net.add("Reshape", x, net.weights(np.array([0, channels, -1]))), perm=[0, 2, 1])


def classified(net: Network, tokens: str, channels: int, path: Path) -> Path:
    """The mean of such rows, and a dense layer behind it."""
    x = net.add("ReduceMean", tokens, axes=[1], keepdims=0)
    return net.save(path, net.add("MatMul", x, net.weights(net.random(channels, CLASSES))))


def normalised_in_parts(path: Path) -> Path:
    """A layer norm as exporters wrote it before ONNX had one."""
    net = Network()
    x = over_tokens(net, 40)
    apart = net.add("Sub", x, net.add("ReduceMean", x, axes=[-1]))
    variance = net.add("ReduceMean", net.add("Mul", apart, apart), axes=[-1])
    width = net.add("Sqrt", net.add("Add", variance, net.weights(np.float32(1e-5))))
    x = net.add("Mul", net.add("Div", apart, width), net.weights(np.full(40, 1.5, np.float32)))
    return classified(net, x, 40, path)


def unsigned_dense(path: Path) -> Path:
    """Only the last layer's weights are in 8 bits, and these have a zero point."""
    net = Network()
    x = net.pooled(net.convolution("x", net.weights(net.random(16, 3, 3, 3))))
    weights = net.random(CLASSES, 16)
    scale = np.float32(np.abs(weights).max() / 127)
    stored = np.clip(np.rint(weights / scale) + 128, 0, 255).astype(np.uint8)
    parts = map(net.weights, (stored, scale, np.uint8(128)))
    return net.save(path, net.add("Gemm", x, net.add("DequantizeLinear", *parts), transB=1))


def tokens_weights_only(path: Path) -> Path:
    """A product over tokens with weights in 8 bits, as they are compressed for language."""
    net = Network()
    weights = net.in_8_bits(net.random(16, 16))
    return classified(net, net.add("MatMul", over_tokens(net, 16), weights), 16, path)


def with_prelu(path: Path) -> Path:
    """A dense layer whose outputs each have a slope of their own."""
    net = Network()
    x = net.pooled(net.convolution("x", net.weights(net.random(16, 3, 3, 3))))
    x = net.add("Gemm", x, net.weights(net.random(24, 16)), transB=1)
    x = net.add("PRelu", x, net.weights(np.full(24, 0.25, np.float32)))
    return net.save(path, net.add("Gemm", x, net.weights(net.random(CLASSES, 24)), transB=1))


def prelu_over_tokens(path: Path) -> Path:
    """The same where a product has a row for each place of the image."""
    net = Network()
    x = net.add("MatMul", over_tokens(net, 16), net.weights(net.random(16, 24)))
    return classified(net, net.add("PRelu", x, net.weights(np.full(24, 0.25, np.float32))), 24, path)


def prelu_at_the_end(path: Path) -> Path:
    """The answers themselves have slopes, behind a product and a sum that become one layer."""
    net = Network()
    x = net.pooled(net.convolution("x", net.weights(net.random(16, 3, 3, 3))))
    x = net.add("Add", net.add("MatMul", x, net.weights(net.random(16, CLASSES))), net.weights(net.random(CLASSES)))
    return net.save(path, net.add("PRelu", x, net.weights(np.linspace(0.1, 0.4, CLASSES, dtype=np.float32))))


def prelu_before_a_convolution(path: Path) -> Path:
    """The features become an image of one pixel behind it."""
    net = Network()
    x = net.pooled(net.convolution("x", net.weights(net.random(16, 3, 3, 3))))
    x = net.add("PRelu", net.add("Gemm", x, net.weights(net.random(24, 16)), transB=1), net.weights(net.random(24)))
    x = net.add(
        "Conv", net.add("Unsqueeze", x, net.weights(np.array([2, 3]))), net.weights(net.random(CLASSES, 24, 1, 1))
    )
    return net.save(path, net.add("Flatten", x))


def by_groups(path: Path) -> Path:
    """A normalisation that OpenVINO calculates with AVX2 and later only."""
    net = Network()
    x = net.convolution("x", net.weights(net.random(16, 3, 3, 3)))
    ends = (net.weights(np.ones(16, np.float32)), net.weights(np.zeros(16, np.float32)))
    x = net.pooled(net.add("GroupNormalization", x, *ends, num_groups=4))
    return net.save(path, net.add("Gemm", x, net.weights(net.random(CLASSES, 16)), transB=1), opset=21)


def weights_only(path: Path) -> Path:
    """8-bit weights, activations in floating point."""
    net = Network()
    x = net.pooled(net.convolution("x", net.in_8_bits(net.random(16, 3, 3, 3))))
    return net.save(path, net.add("Gemm", x, net.in_8_bits(net.random(CLASSES, 16)), transB=1))


def with_a_float_end(path: Path) -> Path:
    """8 bits but for the last layer, which adds up so many floats that their order shows."""
    net = Network()
    x = net.quantized("x", 0.03)
    x = net.quantized(net.convolution(x, net.in_8_bits(net.random(32, 3, 3, 3))), 0.02)
    x = net.quantized(net.convolution(x, net.in_8_bits(net.random(64, 32, 3, 3))), 0.02)
    x = net.add("Flatten", x)
    return net.save(path, net.add("Gemm", x, net.weights(net.random(CLASSES, 64 * 16)), transB=1))


def with_a_float_start(path: Path) -> Path:
    """The first layer reads the picture in floats, as many leave it; all behind it has 8 bits."""
    net = Network()
    x = net.quantized(net.convolution("x", net.weights(net.random(32, 3, 3, 3))), 0.02)
    x = net.quantized(net.convolution(x, net.in_8_bits(net.random(64, 32, 3, 3))), 0.02)
    return net.save(
        path, net.add("Gemm", net.quantized(net.pooled(x), 0.01), net.in_8_bits(net.random(CLASSES, 64)), transB=1)
    )


def with_float_attention(path: Path) -> Path:
    """Scores between tokens are not quantized; the layers around them are."""
    net = Network()
    x = net.quantized(net.convolution(net.quantized("x", 0.03), net.in_8_bits(net.random(16, 3, 3, 3))), 0.02)
    x = net.add("Transpose", net.add("Reshape", x, net.weights(np.array([0, 16, -1]))), perm=[0, 2, 1])
    scores = net.add("Softmax", net.add("MatMul", x, net.add("Transpose", x, perm=[0, 2, 1])), axis=-1)
    x = net.add("ReduceMean", net.add("MatMul", scores, x), axes=[1], keepdims=0)
    return net.save(path, net.add("Gemm", net.quantized(x, 0.01), net.in_8_bits(net.random(CLASSES, 16)), transB=1))


def with_a_float_branch(path: Path) -> Path:
    """Two ways through the network, one of them in floats, meet before the last layer."""
    net = Network()
    x = net.quantized("x", 0.03)
    first = net.pooled(net.quantized(net.convolution(x, net.in_8_bits(net.random(32, 3, 3, 3))), 0.02))
    second = net.pooled(net.convolution("x", net.weights(net.random(32, 3, 5, 5))))
    x = net.add("Concat", first, second, axis=1)
    return net.save(path, net.add("Gemm", x, net.weights(net.random(CLASSES, 64)), transB=1))


@pytest.fixture(autouse=True)
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Audits are made anew; the emulators stay where they are installed."""
    monkeypatch.setattr(audit, "cache", SimpleNamespace(folder=lambda name: tmp_path))


def found(model: Path, precision: Precision = "fp32", samples: int = 6, budget: Budget | None = None) -> Emulation:
    return emulate(model, precision, seeded(samples), (2, *INPUT), ATOM, budget=budget)


@pytest.fixture
def crashing_cap(unruly: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The capped run alone crashes, as a layer norm makes it on a CPU with AVX-512."""
    settings = {"at": "load", "what": "segfaults", "mark": str(tmp_path / "mark")}
    place = replace(capped_isa.target_place(ATOM), backend="tests.unruly", settings=settings)
    monkeypatch.setattr(capped_isa, "target_place", lambda target: place)


@pytest.mark.usefixtures("crashing_cap")
def test_what_crashes_under_the_cap_alone_is_calculated_on_the_emulated_cpu(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    emulation = found(normalised(tmp_path / "norm.onnx"))
    assert (emulation.grade, emulation.audit, emulation.not_measured) == ("exact", None, {})
    assert emulation.peak_memory_mib is None  # it would be QEMU's
    assert (bool(emulation.float_layers), emulation.int8_layers) == (True, frozenset()), "its kernels are the target's"
    np.testing.assert_allclose(emulation.target, emulation.host, rtol=0, atol=1e-5)
    assert "atom-x5-e3940 in QEMU: 6 samples take about" in capsys.readouterr().err


@pytest.mark.nightly
@pytest.mark.parametrize("network", [normalised, unsigned_dense, normalised_in_parts, tokens_weights_only])
def test_what_fails_under_the_cap_of_some_machines_has_its_answers_on_all(network: Build, tmp_path: Path) -> None:
    """With AVX-512 the capped run of these crashes or finds no kernel; with AVX2 it runs, and is audited."""
    precision: Precision = "fp32" if network in (normalised, normalised_in_parts) else "int8"
    emulation = found(network(tmp_path / "net.onnx"), precision, samples=2)
    assert (emulation.grade, emulation.not_measured) == ("exact", {})
    np.testing.assert_allclose(emulation.target, emulation.host, rtol=0, atol=1e-5)


@pytest.mark.nightly
@pytest.mark.usefixtures("crashing_cap")
def test_what_does_not_fit_the_time_is_not_measured_and_says_how_long_it_would_take(tmp_path: Path) -> None:
    model = normalised(tmp_path / "norm.onnx")
    emulation = found(model, samples=50_000, budget=Budget(40.0, "give more"))
    assert (emulation.grade, emulation.target) == ("not_measured", None)
    reason = emulation.not_measured["accuracy.target"]
    assert reason.startswith("the runtime crashed (signal 11) in the target's arithmetic on this machine; ")
    assert "the replay of 50000 samples on the emulated CPU (denverton) would take about " in reason
    assert reason.endswith("; give more")


def test_what_crashes_on_the_emulated_cpu_alone_fails(tmp_path: Path) -> None:
    emulation = found(with_prelu(tmp_path / "prelu.onnx"))
    assert (emulation.grade, emulation.target) == ("fails", None)
    assert emulation.not_measured == {"accuracy.target": "crashes on the emulated atom-x5-e3940 (illegal instruction)"}


@pytest.mark.parametrize(
    ("format", "grade"), [("onnx", "exact"), pytest.param("xml", "fails", marks=pytest.mark.nightly)]
)
def test_a_file_is_read_as_a_device_reads_it(format: str, grade: str, tmp_path: Path) -> None:
    """Where an ONNX file is quantized, the slopes behind a product become one layer with it in an IR alone."""
    graph = Quantized()
    flat = graph.add("Flatten", graph.add("GlobalAveragePool", "x"))
    product = graph.add("Gemm", graph.activation(flat), graph.weights(24, 8), transB=1)
    sloped = graph.add("PRelu", graph.activation(product), graph.constant(np.full(24, 0.25, np.float32)))
    path = graph.save(
        tmp_path / "net.onnx", graph.add("Gemm", graph.activation(sloped), graph.weights(5, 24), transB=1)
    )
    if format == "xml":
        write_openvino(path, tmp_path / "ir")
        path = tmp_path / "ir" / "model.xml"
    samples = Arrays(random(0, 4, 8, 8, 8))
    assert emulate(path, "int8", samples, (2, 8, 8, 8), ATOM).grade == grade


@pytest.mark.nightly
@pytest.mark.parametrize("network", [prelu_over_tokens, prelu_at_the_end, prelu_before_a_convolution])
def test_wherever_the_layer_stands_it_crashes_and_fails(network: Build, tmp_path: Path) -> None:
    emulation = found(network(tmp_path / "net.onnx"), samples=2)
    assert (emulation.grade, emulation.target) == ("fails", None)
    assert emulation.not_measured == {"accuracy.target": "crashes on the emulated atom-x5-e3940 (illegal instruction)"}


@pytest.mark.usefixtures("unruly")
@pytest.mark.parametrize(
    ("what", "grade", "words"),
    [
        ("illegal", "fails", r"crashes on the emulated atom-x5-e3940 \(illegal instruction\)"),
        ("refuses", "fails", "the runtime refuses it on the emulated atom-x5-e3940: cannot make that kernel"),
        (
            "killed",
            "not_measured",
            r"was killed, most likely since the memory ran out \(signal 9\) on the emulated CPU",
        ),
        ("memory", "not_measured", "not enough memory on the emulated CPU"),
        ("leaves", "not_measured", "ended without an answer on the emulated CPU"),
        ("hangs", "not_measured", "the replay of 2 samples on the emulated CPU .* did not end within .*; give more"),
    ],
)
def test_no_end_of_the_replay_is_a_pass(
    what: str, grade: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This machine stands for the emulated CPU, with a runtime that ends so."""
    monkeypatch.setattr(emulators, "launcher", lambda name: [sys.executable])
    monkeypatch.setattr(emulators, "qemu_version", lambda name: "none")
    settings = {"at": "batch", "what": what, "mark": str(tmp_path / "mark")}
    place = replace(capped_isa.audit_place(ATOM), backend="tests.unruly", settings=settings)
    monkeypatch.setattr(capped_isa, "audit_place", lambda target: place)
    emulation = found(with_prelu(tmp_path / "net.onnx"), samples=2, budget=Budget(1.5, "give more"))
    assert emulation.grade == grade
    assert emulation.target is None
    assert re.search(words, emulation.not_measured["accuracy.target"])


@pytest.mark.usefixtures("unruly")
@pytest.mark.parametrize("at", ["load", "batch"])
def test_a_runtime_that_calculates_for_ever_here_is_stopped(
    at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activity, "SAMPLE_S", 0.3)
    monkeypatch.setattr("pipeline.retest.emulate.START_S", 1.0)
    settings = {"at": at, "what": "spins", "mark": str(tmp_path / "mark")}
    place = replace(capped_isa.host_place(ATOM), backend="tests.unruly", settings=settings)
    monkeypatch.setattr(capped_isa, "host_place", lambda target: place)
    with pytest.raises(
        Hung, match=r"stopped working \(\d s of CPU used, many times what it should take\) on this machine"
    ):
        found(with_prelu(tmp_path / "net.onnx"), samples=2, budget=Budget(10.0, "give more"))


@pytest.mark.nightly
def test_what_the_runtime_itself_refuses_on_the_emulated_cpu_fails(tmp_path: Path) -> None:
    emulation = found(by_groups(tmp_path / "net.onnx"))
    assert (emulation.grade, emulation.target) == ("fails", None)
    assert "the runtime refuses it on the emulated atom-x5-e3940: " in emulation.not_measured["accuracy.target"]
    assert "GroupNormalization" in emulation.not_measured["accuracy.target"]


def test_weights_in_8_bits_alone_are_held_to_what_floats_can_keep(tmp_path: Path) -> None:
    """Some machines' cap refuses them, and nothing is quantized that an analysis of layers could look at."""
    emulation = found(weights_only(tmp_path / "weights.onnx"), "int8")
    assert emulation.grade == "exact"
    assert emulation.layers == []
    np.testing.assert_allclose(emulation.target, emulation.host, rtol=0, atol=1e-5)


@pytest.mark.nightly
def test_a_float_layer_behind_quantized_ones_keeps_the_audit_from_nothing(tmp_path: Path) -> None:
    emulation = found(with_a_float_end(tmp_path / "mixed.onnx"), "int8")
    assert emulation.grade == "exact"
    assert emulation.audit is not None
    assert emulation.audit.agrees
    assert emulation.audit.tolerance == audit.FP32_TOLERANCE
    assert emulation.audit.largest_difference is not None
    assert 0 < emulation.audit.largest_difference < audit.FP32_TOLERANCE


@pytest.mark.nightly
@pytest.mark.parametrize("network", [with_a_float_start, with_float_attention, with_a_float_branch])
def test_wherever_the_float_layers_stand_there_is_an_answer(network: Build, tmp_path: Path) -> None:
    """A quantizer behind floats may round the other way on the emulated CPU: then that one's answers count."""
    emulation = found(network(tmp_path / "net.onnx"), "int8")
    assert emulation.grade == "exact"
    assert emulation.not_measured == {}
    assert emulation.float_layers
    assert emulation.int8_layers


# ---- without an emulator: this machine stands for the emulated CPU


def replayed(model: Path) -> Audit:
    here = Place("here", capped_isa.BACKEND, 1)
    values = seeded(2).inputs
    nothing = np.zeros((2, CLASSES), np.float32)
    return audit.audit(
        model, (2, *INPUT), here, here, Audit(emulator="none", samples=0, tolerance=0), "int8", values, nothing
    )


def test_no_time_left_for_the_layers_is_no_disagreement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, inputs = with_a_float_end(tmp_path / "mixed.onnx"), seeded(2).inputs
    here, record = Place("here", capped_isa.BACKEND, 1), Audit(emulator="none", samples=0, tolerance=0)
    [same] = run(model, [inputs], 2, (2, *INPUT), [here])

    def no_time(*_: object) -> None:
        raise TooSlow(model, 1.0, "here")

    def held_against(outputs: np.ndarray) -> Audit:
        return audit.audit(model, (2, *INPUT), here, here, record, "int8", inputs, outputs, 60.0)

    monkeypatch.setattr(audit, "_layers_apart", no_time)
    with pytest.raises(TooSlow) as error:
        held_against(same.values * np.float32(1 + 1e-6))
    assert error.value.limit_s == 60.0
    assert not held_against(same.values + 1).agrees


def test_weights_beside_the_file_that_are_trained_again_are_other_weights(tmp_path: Path) -> None:
    answers = []
    for seed in (1, 2, 1):
        net = Network(seed)
        x = net.pooled(net.convolution("x", net.weights(net.random(16, 3, 3, 3))))
        answer = net.add("Gemm", x, net.weights(net.random(CLASSES, 16)), transB=1)
        (tmp_path / "weights").unlink(missing_ok=True)
        storage = {"save_as_external_data": True, "location": "weights", "size_threshold": 0}
        answers.append(replayed(net.save(tmp_path / "model.onnx", answer, **storage)).largest_difference)
    assert answers[0] == answers[2] != answers[1]
    assert len(list(tmp_path.glob("*.npy"))) == 2


def one_file(model: onnx.ModelProto, folder: Path) -> Path:
    onnx.save(model, folder / "model.onnx", save_as_external_data=True, location="deep/weights.bin", size_threshold=0)
    return folder / "model.onnx"


def a_file_each(model: onnx.ModelProto, folder: Path) -> Path:
    onnx.save(model, folder / "model.onnx", save_as_external_data=True, all_tensors_to_one_file=False, size_threshold=0)
    return folder / "model.onnx"


def an_ir(model: onnx.ModelProto, folder: Path) -> Path:
    import openvino

    onnx.save(model, folder / "plain.onnx")
    path = folder / "model.xml"
    graph = path.read_bytes() if path.exists() else None
    openvino.save_model(openvino.Core().read_model(folder / "plain.onnx"), path)
    if graph:  # which numbers its layers otherwise each time, and says nothing else
        path.write_bytes(graph)
    return path


@pytest.mark.parametrize("save", [one_file, a_file_each, an_ir])
def test_however_weights_lie_beside_the_graph_they_are_part_of_it(save: Save, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    graphs, answers = [], []
    for seed in (1, 2):
        net = Network(seed)
        x = net.pooled(net.convolution("x", net.weights(net.random(16, 3, 3, 3))))
        plain = net.save(tmp_path / "plain.onnx", net.add("Gemm", x, net.weights(net.random(CLASSES, 16)), transB=1))
        for old in {*tmp_path.glob("t[0-9]*"), *tmp_path.glob("deep/*")}:
            old.unlink()
        path = save(onnx.load(plain), tmp_path)
        graphs.append(path.read_bytes())
        answers.append(replayed(path).largest_difference)
    assert graphs[0] == graphs[1]
    assert answers[0] != answers[1]


def test_an_analysis_of_layers_that_fails_costs_the_layers_alone(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(capped_isa, "ANALYSIS", "pipeline.no_such_analysis")
    emulation = emulate(with_a_float_end(tmp_path / "mixed.onnx"), "int8", seeded(2), (2, *INPUT), ATOM, proven=False)
    assert emulation.layers == []
    assert "in the analysis of layers on this machine" in emulation.not_measured["layers"]
    assert emulation.target is not None


def test_memory_that_the_target_does_not_have_is_a_failure_of_the_model(tmp_path: Path) -> None:
    limited = ATOM.emulation.model_copy(update={"memory_limit_mib": 64})
    small = ATOM.model_copy(update={"emulation": limited})
    emulation = emulate(with_prelu(tmp_path / "any.onnx"), "fp32", seeded(2), (2, *INPUT), small, proven=False)
    assert (emulation.grade, emulation.target) == ("fails", None)
    assert emulation.not_measured == {"accuracy.target": "needs more than the target's 64 MiB of memory"}


@pytest.mark.usefixtures("crashing_cap")
def test_without_the_proof_a_capped_run_that_fails_is_not_measured(tmp_path: Path) -> None:
    model = normalised(tmp_path / "norm.onnx")
    emulation = emulate(model, "fp32", seeded(2), (2, *INPUT), ATOM, proven=False)
    assert emulation.grade == "not_measured"
    assert "signal 11" in emulation.not_measured["accuracy.target"]
