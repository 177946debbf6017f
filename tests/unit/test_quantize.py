"""INT8 quantization of networks that NNCF's finer ways cannot take, or not at all."""

import errno
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnxruntime.capi import onnxruntime_pybind11_state as state
from torch import Tensor, nn

import models
from pipeline.compress import any_file
from pipeline.compress.any_file import compress_file
from pipeline.compress.calibration import quantize
from pipeline.data.own import random_samples
from pipeline.formats.from_torch import to_onnx
from pipeline.formats.model_file import open_model
from pipeline.formats.runtimes import opset_of
from pipeline.formats.to_openvino import write_openvino
from pipeline.records.targets import load_target
from pipeline.system.errors import BadModel, InputError
from tests.graphs import Arrays, model, node, random


def noise(size: int) -> Arrays:
    """Random images as samples."""
    return Arrays(np.random.default_rng(0).normal(size=(4, 3, size, size)).astype(np.float32))


class Dead(nn.Module):
    """A network with a layer that says all but the same whatever it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 3, 30)
        nn.init.normal_(self.first.weight, std=1e-8)
        nn.init.constant_(self.first.bias, 1.0)  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> Tensor:
        answer: Tensor = self.last(torch.relu(self.first(images))).flatten(1)
        return answer


def quantized_layers(model: onnx.ModelProto) -> int:
    return sum(node.op_type == "QuantizeLinear" for node in model.graph.node)


def test_a_branched_network_is_quantized_and_its_user_told_how(capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    spec = models.spec("squeezenet-1.1")
    network = models.build(spec.name, 3, 1.0, pretrained=False).eval()
    assert quantized_layers(quantize(to_onnx(network, spec), noise(spec.input_size), None)) >= 26
    assert "its defaults may cost accuracy" in capsys.readouterr().err


def test_a_network_with_a_dead_layer_is_quantized() -> None:
    torch.manual_seed(0)
    spec = models.spec("lenet-5")
    made = quantize(to_onnx(Dead().eval(), spec), noise(spec.input_size), None)
    assert quantized_layers(made) >= 2


RAISED = {
    "a sentence": (ValueError("too\nmany bins"), "network (too many bins); simplify"),
    "a node's name": (KeyError("Conv_2"), "network; simplify"),
    "nothing": (RuntimeError(), "network; simplify"),
    "a code": (
        state.InvalidGraph("[ONNXRuntimeError] : 10 : INVALID_GRAPH : This is an invalid model."),
        "network (This is an invalid model); simplify",
    ),
    "an argument": (state.InvalidArgument("[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : bad"), "network; simplify"),
    "an operator": (state.NotImplemented("NotImplementedError: no kernel for it"), "network (no kernel for it); simp"),
    "a run": (state.RuntimeException("the node failed at run time"), "network (the node failed at run time); simp"),
}


@pytest.mark.parametrize("name", RAISED)
def test_whatever_nncf_raises_the_coarser_way_is_tried_and_then_one_plain_line_said(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither a bare name of a node nor that of a class says anything to who does not know the library."""
    raised, expected = RAISED[name]
    tried = []

    def refuse(*_: object, fast_bias_correction: bool, **__: object) -> None:
        tried.append(fast_bias_correction)
        raise raised

    monkeypatch.setattr("nncf.quantize", refuse)
    spec = models.spec("lenet-5")
    with pytest.raises(InputError) as refused:
        quantize(to_onnx(Dead().eval(), spec), noise(spec.input_size), None)
    assert tried == [False, True]
    assert "its defaults may cost accuracy" in capsys.readouterr().err
    assert expected in str(refused.value)


def test_a_full_disk_is_not_put_down_to_the_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("nncf.quantize", full)
    onnx.save(model([node("Conv", "x w", "y")], {"w": random(0, 4, 3, 3, 3)}, (1, 3, 8, 8)), tmp_path / "net.onnx")
    opened, atom = open_model(tmp_path / "net.onnx"), load_target("atom-x5-e3940")
    monkeypatch.setattr(any_file, "done_apart", here)
    with pytest.raises(OSError, match="No space left"):
        compress_file(opened, "int8", atom, random_samples(opened.sample_shape, 4), tmp_path / "int8")


def test_an_ir_for_which_there_is_no_room_is_not_put_down_to_the_network(tmp_path: Path) -> None:
    onnx.save(model([node("Conv", "x w", "y")], {"w": random(0, 4, 3, 3, 3)}, (1, 3, 8, 8)), tmp_path / "net.onnx")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError, match="No space left"):
            write_openvino(tmp_path / "net.onnx", tmp_path / "openvino")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_openvino_cannot_convert_is_one_line(tmp_path: Path) -> None:
    """Its converter raises kinds of its own."""
    unknown = model([node("Magic", "x", "y", domain="my.own")], {}, (1, 3, 8, 8))
    unknown.opset_import.append(onnx.helper.make_opsetid("my.own", 1))
    onnx.save(unknown, tmp_path / "net.onnx")
    with pytest.raises(BadModel, match=r"net\.onnx: OpenVINO cannot convert it: .*Magic") as refused:
        write_openvino(tmp_path / "net.onnx", tmp_path / "openvino")
    assert "\n" not in str(refused.value)


@contextmanager
def here(_: Path, work: Callable[..., None], *arguments: object, **__: object) -> Iterator[None]:
    """Work in this process, where it can be made to fail."""
    work(Path(), *arguments)
    yield


def test_a_residual_around_a_depthwise_layer_is_quantized_the_coarser_way(capsys: pytest.CaptureFixture[str]) -> None:
    """NNCF looks there for a node by a name that it has taken away, and raises the bare name."""
    shapes = {"stem": (16, 3, 3, 3), "second": (16, 16, 3, 3), "deep": (16, 1, 3, 3), "last": (16, 16, 3, 3)}
    weights = {name: random(seed, *shape) for seed, (name, shape) in enumerate(shapes.items())}
    weights |= {f"{name}_bias": random(9, 16) for name in shapes}
    nodes = [
        node("Conv", "x stem stem_bias", "a", pads=[1] * 4),
        node("Relu", "a", "b"),
        node("Conv", "b second second_bias", "c", pads=[1] * 4),
        node("Relu", "c", "d"),
        node("Conv", "d deep deep_bias", "e", pads=[1] * 4, group=16),
        node("Relu", "e", "f"),
        node("Add", "d f", "g"),
        node("Conv", "g last last_bias", "y", pads=[1] * 4),
    ]
    made = quantize(model(nodes, weights, ("N", 3, 16, 16)), noise(16), None)
    assert quantized_layers(made) >= 3
    assert "its defaults may cost accuracy" in capsys.readouterr().err


def test_a_new_file_is_written_in_an_opset_whose_quantizers_the_target_has(tmp_path: Path) -> None:
    """ONNX Runtime 1.23 runs all of a network in opset 23 but the QuantizeLinear that compression adds."""
    network = model([node("Conv", "x w", "a"), node("Relu", "a", "y")], {"w": random(0, 4, 3, 3, 3)}, (1, 3, 8, 8), 23)
    network.ir_version = 10
    onnx.save(network, tmp_path / "net.onnx")
    opened = open_model(tmp_path / "net.onnx")
    samples = random_samples(opened.sample_shape, 4)
    made = onnx.load(compress_file(opened, "int8", load_target("tegra-parker-a57"), samples, tmp_path / "int8"))
    assert quantized_layers(made) > 0
    assert opset_of(made) == 22
