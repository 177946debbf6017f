"""INT8 quantization of networks that NNCF's finer ways cannot take, or not at all."""

from collections.abc import Iterator

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import models
from pipeline.compress.calibration import quantize
from pipeline.formats.from_torch import to_onnx
from pipeline.system.errors import InputError


class Noise:
    """Random images as samples."""

    def __init__(self, size: int) -> None:
        self.images = np.random.default_rng(0).normal(size=(4, 3, size, size)).astype(np.float32)

    def __len__(self) -> int:
        return len(self.images)

    def batches(self, size: int) -> Iterator[NDArray[np.float32]]:
        for start in range(0, len(self.images), size):
            yield self.images[start : start + size]


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
    assert quantized_layers(quantize(to_onnx(network, spec), Noise(spec.input_size), None)) >= 26
    assert "its defaults may cost accuracy" in capsys.readouterr().err


def test_a_network_with_a_dead_layer_is_quantized() -> None:
    torch.manual_seed(0)
    spec = models.spec("lenet-5")
    made = quantize(to_onnx(Dead().eval(), spec), Noise(spec.input_size), None)
    assert quantized_layers(made) >= 2


def test_what_cannot_be_quantized_at_all_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ValueError("too\nmany bins")

    monkeypatch.setattr("nncf.quantize", refuse)
    spec = models.spec("lenet-5")
    with pytest.raises(InputError, match="cannot quantize the model: too many bins"):
        quantize(to_onnx(Dead().eval(), spec), Noise(spec.input_size), None)
