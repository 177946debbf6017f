"""The saturation report as a backend: each batch is analysed, the facts are the layers' reports."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.arithmetic.saturation.analysis import SaturationReport
from pipeline.processes.backends.openvino_cpu import converted, positions


def open_backend(job: dict[str, Any]) -> "Saturation":
    """Load `model` for `shape` inputs."""
    return Saturation(job)


class Saturation:
    """Analyses full batches only: a padded one would count its padding."""

    def __init__(self, job: dict[str, Any]) -> None:
        model = converted(job)
        self._report = SaturationReport(model, positions(model, job.get("output", ())), job.get("floating", ()))

    def infer(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Analyse a full batch (N, ...)."""
        return self._report.add(batch)

    def facts(self) -> dict[str, Any]:
        """One report for each layer that could saturate, in the order of the network, with the constant it stores."""
        layers = zip(self._report.layers(), self._report.stored_as, strict=True)
        return {"layers": [{**layer.model_dump(), "weights": weights} for layer, weights in layers]}
