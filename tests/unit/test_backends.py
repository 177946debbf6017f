"""The runtimes of a device: they run what the re-test runs, on the device that was asked for or not at all."""

import shutil
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import openvino
import pytest

from pipeline.processes.backends import onnxruntime_cpu, openvino_cpu
from pipeline.system import files
from runners.contract import model_input
from runners.contract.model_input import ModelInput
from runners.edge.backends import onnxruntime_session, open_backend, openvino_model
from runners.edge.backends.unusable import Unusable
from tests.graphs import model, node, random

SIZE, MOST = 8, 4
RUNTIMES = ("openvino", "onnxruntime")
CORE = openvino.Core


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One network, exported for both runtimes."""
    root = tmp_path_factory.mktemp("exports")
    nodes = [
        node("Conv", "x w", "a", pads=[1, 1, 1, 1]), node("Relu", "a", "b"),
        node("GlobalAveragePool", "b", "c"), node("Flatten", "c", "d"), node("MatMul", "d m", "y"),
    ]  # fmt: skip
    of = model(nodes, {"w": random(1, 16, 3, 3, 3), "m": random(2, 16, 5)}, ("n", 3, SIZE, SIZE))
    (root / "onnxruntime").mkdir()
    onnx.save(of, root / "onnxruntime" / "model.onnx")
    converted = openvino.convert_model(root / "onnxruntime" / "model.onnx")
    openvino.save_model(converted, root / "openvino" / "model.xml", compress_to_fp16=False)
    wanted = ModelInput(SIZE, (0.5, 0.5, 0.5), (1.0, 1.0, 1.0), list("abcde"))
    for runtime in RUNTIMES:
        files.write_json(root / runtime / model_input.NAME, model_input.as_json(wanted))
    return root


@pytest.fixture
def copied(exports: Path, tmp_path: Path) -> Path:
    shutil.copytree(exports, tmp_path, dirs_exist_ok=True)
    return tmp_path


def refused(folder: Path, words: str, **options: Any) -> None:
    with pytest.raises(Unusable, match=words) as caught:
        open_backend(str(folder), threads=1, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("runtime", RUNTIMES)
class TestRuns:
    def test_what_the_re_test_runs_to_the_bit(self, exports: Path, runtime: str) -> None:
        file, backend = {
            "openvino": ("model.xml", openvino_cpu),
            "onnxruntime": ("model.onnx", onnxruntime_cpu),
        }[runtime]
        job = {"model": str(exports / runtime / file), "shape": [MOST, 3, SIZE, SIZE], "threads": 1}
        on_device, in_cloud = open_backend(str(exports / runtime), threads=1), backend.open_backend(job)
        for count in range(1, MOST + 1):
            batch = random(count, count, 3, SIZE, SIZE)
            found = on_device.infer(batch)
            assert (found.dtype, found.shape) == (np.float32, (count, 5))
            np.testing.assert_array_equal(found, in_cloud.infer(batch))
        on_device.close()

    def test_both_runtimes_say_the_same_and_are_not_disturbed_by_padding(self, exports: Path, runtime: str) -> None:
        batch = random(7, MOST, 3, SIZE, SIZE)
        one, other = open_backend(str(exports / runtime), threads=1), open_backend(str(exports / RUNTIMES[0]))
        np.testing.assert_allclose(one.infer(batch), other.infer(batch), atol=1e-5)
        np.testing.assert_allclose(one.infer(batch[:3]), other.infer(batch)[:3], atol=1e-5)

    @pytest.mark.parametrize("shape", [(5, 3, SIZE, SIZE), (1, 3, SIZE, SIZE + 1), (0, 3, SIZE, SIZE), (3, SIZE, SIZE)])
    def test_what_is_no_batch_is_refused(self, exports: Path, runtime: str, shape: tuple[int, ...]) -> None:
        batch = np.zeros(shape, np.float32)
        with pytest.raises(Unusable, match="wants 1 to 4 regions of 3 x 8 x 8 in float32"):
            open_backend(str(exports / runtime), threads=1).infer(batch)

    def test_it_tells_what_computes(self, exports: Path, runtime: str) -> None:
        facts = open_backend(str(exports / runtime), threads=1).facts()
        assert facts["threads"] == 1
        assert facts["computes"] == {"openvino": ["CPU"], "onnxruntime": ["CPUExecutionProvider"]}[runtime]
        version = {"openvino": openvino.__version__.split("-")[0], "onnxruntime": onnxruntime.__version__}[runtime]
        assert facts["runtime"].split()[-1] == version

    def test_a_runtime_that_is_not_installed(
        self, exports: Path, runtime: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        module = {"openvino": "openvino_model", "onnxruntime": "onnxruntime_session"}[runtime]
        monkeypatch.setitem(sys.modules, runtime, None)
        monkeypatch.delitem(sys.modules, f"runners.edge.backends.{module}")
        refused(exports / runtime, f"is not installed for .*: pip install {runtime}")

    def test_a_folder_of_exports_and_a_number_of_threads_that_is_none(self, exports: Path, runtime: str) -> None:
        refused(exports, f"no exported model; .*; name a folder in it: .*{runtime}")
        with pytest.raises(Unusable, match="-1 threads: give 1 or more"):
            open_backend(str(exports / runtime), threads=-1)

    def test_a_model_for_other_regions(self, copied: Path, runtime: str) -> None:
        description = copied / runtime / model_input.NAME
        description.write_text(description.read_text().replace(": 8,", ": 16,"))
        refused(copied / runtime, "and not regions of 16 pixels")


class TestOpenVino:
    def test_the_device_and_its_precision(self, exports: Path) -> None:
        facts = open_backend(str(exports / "openvino"), threads=1).facts()
        assert facts["device"] == openvino.Core().get_property("CPU", "FULL_DEVICE_NAME").strip()
        assert facts["precision"] == "f32"

    @pytest.mark.parametrize("device", ["AUTO", "HETERO:GPU,CPU", "MULTI:CPU", "BATCH:CPU"])
    def test_what_may_calculate_anywhere_is_not_asked(self, exports: Path, device: str) -> None:
        refused(exports / "openvino", f"{device} may calculate anywhere: ask for CPU or GPU", device=device)

    def test_a_gpu_that_is_not_there(self, exports: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        pretend(monkeypatch, ["CPU"])
        refused(exports / "openvino", "sees no GPU here, only CPU; install intel-opencl-icd", device="GPU")
        pretend(monkeypatch, ["CPU", "GPU.0", "GPU.1"])
        refused(exports / "openvino", r"sees no GPU\.2 here, only CPU, GPU\.0, GPU\.1", device="GPU.2")

    @pytest.mark.parametrize("device", ["GPU", "GPU.1"])
    def test_a_gpu_whose_work_the_cpu_does(self, exports: Path, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
        pretend(monkeypatch, ["CPU", "GPU.0", "GPU.1"])
        refused(exports / "openvino", f"was asked for {device} in f16 and runs on CPU in", device=device)

    @pytest.mark.parametrize(
        ("asked", "runs", "precision", "words"),
        [
            ("GPU.1", "GPU.0", openvino.Type.f16, r"GPU\.1 in f16 and runs on GPU\.0 in f16"),
            ("CPU", "CPU", openvino.Type.bf16, "CPU in f32 and runs on CPU in bf16"),  # as a CPU with AMX could
        ],
    )
    def test_another_gpu_or_precision_than_was_asked_for(
        self, exports: Path, monkeypatch: pytest.MonkeyPatch, asked: str, runs: str, precision: Any, words: str
    ) -> None:
        class Compiled:
            def get_property(self, name: str) -> Any:
                return {"EXECUTION_DEVICES": [runs], "INFERENCE_PRECISION_HINT": precision}[name]

        pretend(monkeypatch, ["CPU", "GPU.0", "GPU.1"])
        monkeypatch.setattr(openvino_model.openvino.Core, "compile_model", lambda *_: Compiled())
        refused(exports / "openvino", f"was asked for {words}", device=asked)


def pretend(monkeypatch: pytest.MonkeyPatch, devices: list[str]) -> None:
    """An OpenVINO that names `devices`, and gives all work to the CPU."""

    class Core(CORE):
        available_devices = devices

        def compile_model(self, of: Any, device: str, asked: Any) -> Any:
            return super().compile_model(of, "CPU", {})

    monkeypatch.setattr(openvino_model.openvino, "Core", Core)


class TestOnnxRuntime:
    @pytest.mark.parametrize("device", ["CUDA", "TENSORRT", "GPU"])
    def test_a_device_that_is_not_there(self, exports: Path, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
        refused(exports / "onnxruntime", f"no device {device}, only CPU; install an onnxruntime-gpu", device=device)

    @pytest.mark.parametrize(
        ("key", "words"),
        [
            (onnxruntime_session.NO_FALLBACK, "does not run it on CUDA: .* fallback to CPU EP has been"),
            ("unknown.to.older.versions", "was asked for CUDAExecutionProvider and runs on CPUExecutionProvider"),
        ],
    )
    def test_a_fall_back_of_all(self, exports: Path, key: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """ONNX Runtime goes on with the CPU when a provider does not load, such as for want of a driver."""
        providers = ["CUDAExecutionProvider", "CPUExecutionProvider"]
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: providers)
        monkeypatch.setattr(onnxruntime_session, "NO_FALLBACK", key)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            refused(exports / "onnxruntime", words, device="CUDA")

    def test_a_fall_back_of_single_layers(self, exports: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A provider that is there and takes no layer leaves them to the CPU, unless that is forbidden."""
        monkeypatch.setitem(onnxruntime_session.PROVIDERS, "CUDA", "AzureExecutionProvider")
        refused(exports / "onnxruntime", "does not run it on CUDA: .* fallback to CPU EP has been", device="CUDA")


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("openvino/model.xml", r"model\.xml: OpenVINO does not take it: is it whole\? \("),
        ("openvino/model.bin", r"model\.xml: OpenVINO does not take it: is it whole\? \("),
        ("openvino/input.json", r"input\.json: does not say how the model wants its images"),
        ("onnxruntime/model.onnx", r"model\.onnx: ONNX Runtime does not run it on CPU: is it whole\? \("),
    ],
)
def test_a_truncated_file(copied: Path, file: str, words: str) -> None:
    path = copied / file
    path.write_bytes(path.read_bytes()[:-20])
    refused(path.parent, words)


def test_a_folder_that_is_no_export(tmp_path: Path) -> None:
    refused(tmp_path, r"no exported model; it has none of model\.xml, recipe\.json, model\.onnx")
    (tmp_path / "model.onnx").write_text("")
    refused(tmp_path, r"input\.json: does not say how the model wants its images")


def test_threads_of_a_re_test_do_not_spin_which_has_its_cores_not_for_itself(exports: Path) -> None:
    path = str(exports / "onnxruntime" / "model.onnx")
    beside = onnxruntime_cpu.open_backend({"model": path, "threads": 2})._session
    alone = onnxruntime_session.OnnxRuntimeSession(path, "CPU", 2)
    said = beside._session.get_session_options().get_session_config_entry(onnxruntime_session.SPINNING)
    assert said == "0"
    with pytest.raises(RuntimeError, match="does not have"):  # it is as ONNX Runtime has it
        alone._session.get_session_options().get_session_config_entry(onnxruntime_session.SPINNING)
