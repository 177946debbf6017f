"""ONNX Runtime on the CPU, as a device runs it; under an emulator with a bare system too, hence NumPy and it only."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.processes.answers import answer
from runners.edge.backends.onnxruntime_session import OnnxRuntimeSession


def open_backend(job: dict[str, Any]) -> "OnnxRuntime":
    """Load the ONNX file `model` with `threads`; it answers the outputs named in `output`, else its first."""
    return OnnxRuntime(job)


class OnnxRuntime:
    """An inference session."""

    def __init__(self, job: dict[str, Any]) -> None:
        # Another emulation of the same model works beside it, on the same cores.
        self._session = OnnxRuntimeSession(job["model"], "CPU", job["threads"], job.get("output", ()), spins=False)

    def infer(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """The outputs asked for (see `answer`) for `batch` (n, ...)."""
        return answer(self._session.run(batch), self._session.rows or len(batch), len(batch))

    def facts(self) -> dict[str, Any]:
        """What really calculates; ONNX Runtime does not tell its kernels."""
        return {**self._session.facts(), "kernels": [], "layers": []}
