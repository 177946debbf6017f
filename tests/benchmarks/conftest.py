"""What the benchmarks share. They print ratios taken in one run, never seconds to be held against a limit."""

from pathlib import Path

import nncf
import numpy as np
import onnx
import openvino
import pytest

import models
from pipeline.formats.from_torch import to_onnx

SIZE = 224


@pytest.fixture(scope="session")
def int8_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """EfficientNet-Lite0 in INT8 by plain NNCF, as an IR; calibrated on noise, since only its speed matters here."""
    spec = models.spec("efficientnet-lite0")
    graph = to_onnx(models.build("efficientnet-lite0", 1000), spec)
    inputs = [np.random.default_rng(seed).standard_normal((1, 3, SIZE, SIZE), np.float32) for seed in range(8)]
    quantized = nncf.quantize(graph, nncf.Dataset(inputs, lambda value: {"input": value}), subset_size=8)
    folder = tmp_path_factory.mktemp("int8")
    onnx.save(quantized, folder / "model.onnx")
    openvino.save_model(openvino.convert_model(folder / "model.onnx"), folder / "model.xml", compress_to_fp16=False)
    return folder / "model.xml"
