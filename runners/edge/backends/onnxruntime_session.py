"""ONNX Runtime: an inference session on one device. NumPy and ONNX Runtime only.

The re-test runs this very class (pipeline/processes/backends/onnxruntime_cpu.py), under an emulator too.
"""

import os
from typing import Any, Dict, List, Sequence

import numpy as np
import onnxruntime

from runners.edge.backends.batch import check, padded
from runners.edge.backends.unusable import Unusable, in_one_line

PROVIDERS = {"CPU": "CPUExecutionProvider", "CUDA": "CUDAExecutionProvider", "TENSORRT": "TensorrtExecutionProvider"}
# What networks take beside float32, which all are fed from, and beside pixels.
WIDTHS = {"tensor(float16)": np.float16, "tensor(double)": np.float64}
SPINNING = "session.intra_op.allow_spinning"  # whether threads wait for each other busily
NO_FALLBACK = "session.disable_cpu_ep_fallback"  # known since ONNX Runtime 1.16


class OnnxRuntimeSession:
    """An ONNX file loaded for `device`: CPU, CUDA or TENSORRT. `outputs` are those asked for, else its first.

    `shape` is what it declares of its input, and `rows` its batch size where that is fixed. Where others work on
    the same cores, its threads should not spin.

    Raises:
        Unusable: there is no such device, or ONNX Runtime would calculate elsewhere, which it does without a word.
        Exception: of ONNX Runtime's own kinds, if it does not take the file.
    """

    def __init__(self, path: str, device: str, threads: int, outputs: Sequence[str] = (), spins: bool = True) -> None:
        provider = PROVIDERS.get(device)
        available = onnxruntime.get_available_providers()
        if provider not in available:
            known = ", ".join(name for name, value in PROVIDERS.items() if value in available)
            fix = "install an onnxruntime-gpu that fits this system's CUDA, or ask for one of these"
            raise Unusable("this ONNX Runtime has no device {}, only {}; {}".format(device, known, fix))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        if not spins:
            options.add_session_config_entry(SPINNING, "0")
        if device != "CPU":
            options.add_session_config_entry(NO_FALLBACK, "1")
        session = onnxruntime.InferenceSession(path, options, providers=[provider])
        computes = session.get_providers()
        if computes[:1] != [provider]:
            raise Unusable("ONNX Runtime was asked for {} and runs on {}".format(provider, ", ".join(computes)))
        self._session, self._device = session, device
        source = session.get_inputs()[0]
        self._input, self.shape, self._type = source.name, source.shape, WIDTHS.get(source.type)
        self.rows = source.shape[0] if isinstance(source.shape[0], int) else None
        self._outputs = list(outputs) or [session.get_outputs()[0].name]

    def run(self, batch: Any) -> List[Any]:
        """The outputs asked for; a network of fixed batch size answers for padding behind `batch` (n, ...) too."""
        inputs = padded(batch, self.rows or len(batch))
        if self._type is not None:
            inputs = inputs.astype(self._type)
        return list(self._session.run(self._outputs, {self._input: inputs}))

    def facts(self) -> Dict[str, Any]:
        """The runtime and the device that really calculates; it does not tell its kernels."""
        return {
            "runtime": "ONNX Runtime {}".format(onnxruntime.__version__),
            "device": self._device,
            "computes": self._session.get_providers(),
            "threads": self._session.get_session_options().intra_op_num_threads,
        }


class Backend:
    """The file `model.onnx` in a folder, for up to `most` regions of `size` pixels."""

    at_once = 1

    def __init__(self, folder: str, size: int, device: str, threads: int, most: int, _cache: str) -> None:
        path = os.path.join(folder, "model.onnx")
        self._most, self._size, device = most, size, device or "CPU"
        try:
            self._session = OnnxRuntimeSession(path, device, threads)
        except Unusable:
            raise
        except Exception as error:  # its classes have no common base but this
            said = in_one_line(error)
            raise Unusable(
                "{}: ONNX Runtime does not run it on {}: is it whole? ({})".format(path, device, said)
            ) from error
        declared = self._session.shape
        fits = [not isinstance(one, int) or one == wanted for one, wanted in zip(declared[1:], (3, size, size))]
        if len(declared) != 4 or not all(fits):
            raise Unusable("{}: wants {} and not regions of {} pixels".format(path, declared, size))

    def infer(self, batch: Any) -> Any:
        """The first output (n, values) in float32 for `batch` (n, 3, size, size), n at most `most`."""
        check(batch, self._most, self._size)
        [answers] = self._session.run(batch)
        return np.asarray(answers, np.float32).reshape(len(answers), -1)[: len(batch)]

    def facts(self) -> Dict[str, Any]:
        """The runtime and the device that really calculates."""
        return self._session.facts()

    def close(self) -> None:
        """Let go of the network and its memory."""
        del self._session
