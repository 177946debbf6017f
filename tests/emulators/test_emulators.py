"""The emulators themselves: the CPU that programs see in them, and small models whose answers are known exactly."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino
import pytest
from onnx import helper, numpy_helper
from openvino import opset13

from pipeline import emulators
from pipeline.system.errors import InputError

TIME_LIMIT_S = 300

FEATURES = """
import json
from numpy._core._multiarray_umath import __cpu_features__
print(json.dumps(__cpu_features__))
"""
OPENVINO = """
import json, sys, numpy, openvino
model, inputs, outputs, threads = sys.argv[1:]
core = openvino.Core()
compiled = core.compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": int(threads)})
numpy.save(outputs, compiled(numpy.load(inputs))[0])
print(json.dumps(core.get_property("CPU", "FULL_DEVICE_NAME")))
"""
ONNXRUNTIME = """
import json, platform, sys, numpy, onnxruntime
model, inputs, outputs, threads = sys.argv[1:]
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(threads)
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
numpy.save(outputs, session.run(None, {"input": numpy.load(inputs)})[0])
print(json.dumps([platform.machine(), numpy.__version__, onnxruntime.__version__]))
"""


def run(name: str, script: str, *arguments: object) -> Any:
    """What `script` prints in the emulator, as JSON. An emulator that is missing fails: no audit would be made."""
    try:
        launcher = emulators.launcher(name)
    except InputError as error:
        pytest.fail(f"{error} (or `make emulators`)")
    # The aarch64 Python must not look at the packages of this one.
    done = subprocess.run(
        [*launcher, "-c", script, *map(str, arguments)],
        capture_output=True, text=True, timeout=TIME_LIMIT_S, env={**os.environ, "PYTHONPATH": "/nowhere"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class TestDenverton:
    def test_has_sse42_but_neither_avx_nor_vnni(self) -> None:
        features = run("denverton", FEATURES)
        assert not [name for name, there in features.items() if there and name.startswith(("AVX", "FMA", "F16C"))]
        assert features["X86_V2"]
        assert not features["X86_V3"]

    @pytest.mark.parametrize("threads", [pytest.param(1, marks=pytest.mark.nightly), 4])
    def test_openvino_runs_a_model_in_it(self, tmp_path: Path, threads: int) -> None:
        rng = np.random.default_rng(0)
        # Whole numbers are added up exactly, in whatever order.
        weights = rng.integers(-8, 8, (16, 8, 3, 3)).astype(np.float32)
        inputs = rng.integers(-8, 8, (1, 8, 12, 12)).astype(np.float32)
        parameter = opset13.parameter(inputs.shape, np.float32)
        convolution = opset13.convolution(parameter, weights, [1, 1], [0, 0], [0, 0], [1, 1])
        openvino.save_model(openvino.Model([convolution], [parameter]), tmp_path / "model.xml", compress_to_fp16=False)
        np.save(tmp_path / "inputs.npy", inputs)
        places = [tmp_path / name for name in ("model.xml", "inputs.npy", "outputs.npy")]
        assert "Denverton" in run("denverton", OPENVINO, *places, threads)
        windows = np.lib.stride_tricks.sliding_window_view(inputs, (3, 3), axis=(2, 3))
        expected = np.einsum("nchwij,ocij->nohw", windows, weights)
        np.testing.assert_array_equal(np.load(places[2]), expected)


class TestCortexA57:
    def test_has_neon_but_no_dot_product_and_no_half_precision(self) -> None:
        features = run("cortex-a57", FEATURES)
        assert features["ASIMD"]
        assert not [name for name in ("ASIMDDP", "ASIMDHP", "SVE") if features[name]]

    @pytest.mark.parametrize("threads", [pytest.param(1, marks=pytest.mark.nightly), 4])
    def test_onnx_runtime_multiplies_8_bit_numbers_exactly(self, tmp_path: Path, threads: int) -> None:
        rng = np.random.default_rng(0)
        weights = rng.integers(-128, 128, (64, 48)).astype(np.int8)
        weights[:, 0] = 127  # with inputs of 255 more than 16 bits hold
        inputs = rng.integers(0, 256, (5, 64)).astype(np.uint8)
        inputs[0] = 255
        node = helper.make_node("MatMulInteger", ["input", "weights"], ["output"])
        graph = helper.make_graph(
            [node],
            "product",
            [helper.make_tensor_value_info("input", onnx.TensorProto.UINT8, inputs.shape)],
            [helper.make_tensor_value_info("output", onnx.TensorProto.INT32, (5, 48))],
            [numpy_helper.from_array(weights, "weights")],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        onnx.save(model, tmp_path / "model.onnx")
        np.save(tmp_path / "inputs.npy", inputs)
        places = [tmp_path / name for name in ("model.onnx", "inputs.npy", "outputs.npy")]
        machine, _, version = run("cortex-a57", ONNXRUNTIME, *places, threads)
        assert (machine, version) == ("aarch64", emulators.runtime_version())
        expected = inputs.astype(np.int32) @ weights.astype(np.int32)
        np.testing.assert_array_equal(np.load(places[2]), expected)
