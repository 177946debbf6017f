"""ONNX Runtime on the CPU; under an emulator with a bare system too, hence NumPy and ONNX Runtime only."""

from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from pipeline.boards.answers import answer


def open_backend(job: dict[str, Any]) -> "OnnxRuntime":
    """Load the ONNX file `model` with `threads`; it answers the outputs named in `output`, else its first."""
    return OnnxRuntime(job)


class OnnxRuntime:
    """An inference session."""

    def __init__(self, job: dict[str, Any]) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = job["threads"]
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(job["model"], options, providers=["CPUExecutionProvider"])
        source = self._session.get_inputs()[0]
        self._input = source.name
        self._outputs = job.get("output") or [self._session.get_outputs()[0].name]
        self._batch = source.shape[0] if isinstance(source.shape[0], int) else None

    def infer(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """The outputs asked for (see `answer`) for `batch` (n, ...); a model of fixed batch size gets it padded."""
        size = self._batch or len(batch)
        padded = np.zeros((size, *batch.shape[1:]), np.float32)
        padded[: len(batch)] = batch
        return answer(self._session.run(self._outputs, {self._input: padded}), size, len(batch))

    def facts(self) -> dict[str, Any]:
        """The runtime's version; it does not tell its kernels."""
        return {"kernels": [], "device": f"ONNX Runtime {onnxruntime.__version__}", "layers": []}
