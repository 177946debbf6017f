"""Which layers of quantized files OpenVINO calculates in 8 bits under the Atom's cap, and what follows from it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
from click.testing import CliRunner
from onnx import helper

from pipeline.arithmetic.kinds import capped_isa
from pipeline.cli import cli
from pipeline.formats.network_file import load
from pipeline.formats.own_names import OwnNames
from pipeline.predict import predict
from pipeline.predict.layers import layers_of
from pipeline.processes.side_by_side import run
from pipeline.records.targets import load_target
from pipeline.retest.emulate import emulate
from tests.graphs import Arrays, random
from tests.quantized_graphs import Quantized, convolutions

TARGET = load_target("atom-x5-e3940")
SHAPE = (4, 8, 8, 8)
SLOPED = np.linspace(0.02, 0.1, 8)


def all_kinds(graph: Quantized) -> tuple[str, dict[str, str]]:
    """One convolution in each way side by side: the last tensor, and what each convolution is, by its name."""
    x = graph.activation("x")
    plain = graph.convolution(x, graph.weights(8, 8, 3, 3))

    def behind(values: str, *shape: int, group: int = 1, **weights: Any) -> str:
        return graph.convolution(values, graph.weights(*(shape or (8, 8, 3, 3)), **weights), group=group)

    made = {
        "symmetric": plain,
        "one scale": behind(x, axis=None),
        "unsigned weights": behind(x, kind=np.uint8, zero=128),
        "skewed weights": behind(x, kind=np.uint8, zero=120),
        "signed weights with zero points": behind(x, zero=3),
        "weights only": behind("x"),
        "signed activations": behind(graph.activation("x", np.int8, -20)),
        "a scale for each channel": behind(graph.activation("x", scale=SLOPED)),
        "depthwise, a scale for each channel": behind(graph.activation("x", scale=SLOPED), 8, 1, 3, 3, group=8),
        "two groups": behind(x, 8, 4, 3, 3, group=2),
        "normalised": graph.add("Relu", graph.normalised(behind(graph.activation("x", zero=90)))),
        "skewed and normalised": graph.normalised(behind(x, kind=np.uint8, zero=120)),
        "behind a pooling": behind(graph.add("MaxPool", x, kernel_shape=[3, 3], pads=[1] * 4)),
        "behind an average": behind(graph.add("AveragePool", x, kernel_shape=[3, 3], pads=[1] * 4)),
        "behind a sigmoid": behind(graph.add("Sigmoid", x)),
        "behind a sum": behind(graph.add("Add", x, graph.activation(plain))),
        "left out": graph.convolution(plain, graph.constant(random(7, 8, 8, 3, 3))),
        "transposed": graph.add("ConvTranspose", x, graph.weights(8, 8, 3, 3, axis=1), pads=[1] * 4),
    }
    makers = {output: node for node in graph.nodes for output in node.output}
    names = {}
    for kind, output in made.items():
        while makers[output].op_type not in ("Conv", "ConvTranspose"):
            output = makers[output].input[0]
        names[makers[output].name] = kind
    return graph.add("Concat", *made.values(), axis=1), names


EIGHT_BITS = {
    "symmetric", "one scale", "signed activations", "depthwise, a scale for each channel", "two groups", "normalised",
    "behind a pooling", "behind an average",
}  # fmt: skip


@pytest.mark.parametrize("format", ["onnx", "xml"])
def test_the_rule_foretells_the_kernels(format: str, tmp_path: Path) -> None:
    graph = Quantized()
    last, kinds = all_kinds(graph)
    path = graph.save(tmp_path / "all.onnx", last)
    own = OwnNames(path)
    if format == "xml":
        converted = openvino.convert_model(path)
        path = tmp_path / "all.xml"
        openvino.save_model(converted, path, compress_to_fp16=False)
    [ran] = run(path, [random(0, *SHAPE)], 4, SHAPE, [capped_isa.target_place(TARGET)])
    found = {kinds[own.of(layer["name"], layer["weights"])]: layer["in_8_bits"] for layer in ran.facts["ran"]}
    assert {kind for kind, in_8_bits in found.items() if in_8_bits} == EIGHT_BITS
    assert found.keys() == set(kinds.values())
    if format == "onnx":
        foretold = {kinds[layer.name] for layer in layers_of(load(path)) if layer.macs and not layer.fp32}
        assert foretold == EIGHT_BITS
    else:
        assert sum(not layer.fp32 for layer in layers_of(load(path)) if layer.macs) == len(EIGHT_BITS)
        path.with_suffix(".bin").unlink()  # without it, signed weights are taken to be symmetric
        assert sum(not layer.fp32 for layer in layers_of(load(path)) if layer.macs) == len(EIGHT_BITS) + 1


def test_only_layers_in_8_bits_are_analysed_and_by_the_file_s_own_names(tmp_path: Path) -> None:
    graph = Quantized()
    first = graph.add("Relu", graph.normalised(graph.convolution(graph.activation("x"), graph.weights(8, 8, 3, 3))))
    skewed = graph.weights(8, 8, 3, 3, kind=np.uint8, zero=120)
    path = graph.save(tmp_path / "mixed.onnx", graph.convolution(graph.activation(first), skewed))
    names = [node.name for node in graph.nodes if node.op_type == "Conv"]
    found = emulate(path, "int8", Arrays(random(0, 8, *SHAPE[1:])), SHAPE, TARGET, proven=False)
    assert [layer.name for layer in found.layers] == names[:1]
    assert (found.int8_layers, found.float_layers) == (frozenset(names[:1]), frozenset(names[1:]))


def convolved(path: Path, activations: type, opset: int = 13, **weights: Any) -> Path:
    graph = Quantized()
    values = (
        "x" if activations is float else graph.activation("x", activations, 30 if activations is np.uint8 else 3000)
    )
    last = graph.convolution(graph.add("Relu", graph.convolution(values, graph.weights(8, 8, 3, 3, **weights))),
                             graph.weights(8, 8, 3, 3, **weights))  # fmt: skip
    return graph.save(path, last, opset=opset)


def dynamic(path: Path) -> Path:
    """What ONNX Runtime's quantize_dynamic makes: activations get their scale while it runs."""
    graph = Quantized()
    flat = graph.add("Flatten", graph.add("GlobalAveragePool", "x"))
    graph.nodes.append(helper.make_node("DynamicQuantizeLinear", [flat], ["q", "scale", "zero"], "dynamic"))
    weights = graph.constant(np.random.default_rng(0).integers(-127, 128, (8, 5)).astype(np.int8))
    sums = graph.add("MatMulInteger", "q", weights, "zero", graph.constant(np.int8(0)))
    steps = graph.add("Mul", "scale", graph.constant(np.float32(0.01)))
    return graph.save(path, graph.add("Mul", graph.add("Cast", sums, to=1), steps))


FILES = {
    "unsigned weights with zero points": lambda path: convolved(path, np.uint8, kind=np.uint8, zero=120),
    "weights only": lambda path: convolved(path, float),
    "16-bit activations": lambda path: convolved(path, np.uint16, opset=21),
    "dynamic": dynamic,
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.nightly if index > 1 else ()) for index, name in enumerate(FILES)]
)
def test_an_int8_file_that_runs_in_fp32_is_told_so(name: str, tmp_path: Path) -> None:
    path = FILES[name](tmp_path / "model.onnx")
    arguments = [str(path), "--target", TARGET.name, "--json", str(tmp_path / "check.json")]
    result = CliRunner().invoke(cli, ["check", *arguments], catch_exceptions=False)
    assert result.exit_code in (0, 1, 3), result.output
    found = json.loads((tmp_path / "check.json").read_text())
    count = len(found["float_layers"])
    told = f"OpenVINO runs its {count} layers in FP32 here: quantize their weights symmetrically (QInt8)"
    assert told in found["advice"]
    assert sum(layer["saturated"] for layer in found["layers"]) == 0
    if name != "dynamic":  # whose operators are not predicted
        assert found["prediction"]["precision"] == "fp32"
        assert count == 2


def test_such_a_file_is_predicted_as_fast_as_in_fp32(tmp_path: Path) -> None:
    skewed = convolutions(tmp_path / "skewed.onnx", 64, kind=np.uint8, zero=120)
    symmetric = convolutions(tmp_path / "symmetric.onnx", 64)
    slow, fast = (predict(path, TARGET, "int8") for path in (skewed, symmetric))
    assert (slow.precision, fast.precision) == ("fp32", "int8")
    assert slow.inferences_per_s == predict(symmetric, TARGET, "fp32").inferences_per_s < fast.inferences_per_s
    assert "of its 3 layers with weights openvino calculates 3 in FP32" in slow.notes
    names = [layer.name for layer in layers_of(load(symmetric)) if layer.macs]
    seen = predict(symmetric, TARGET, "int8", floating=names[:1])
    assert fast.latency_ms < seen.latency_ms < slow.latency_ms
    assert f"of its 3 layers with weights openvino calculates 1 in FP32: {names[0]}" in seen.notes
