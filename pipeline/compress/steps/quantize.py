"""INT8 by post-training quantization, on the exported graph."""

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from pipeline.compress.step import ForTarget
from pipeline.records.targets import Precision

if TYPE_CHECKING:
    from pipeline.compress.state import State


class Quantize(ForTarget):
    """INT8 post-training quantization, fitted to the arithmetic of `target` where one is named."""

    gives: ClassVar[Precision | None] = "int8"
    goes_before: ClassVar[dict[str, str]] = {"cluster": "rounding to 8 bits would undo the sharing"}
    once: ClassVar[bool] = True
    example: ClassVar[dict[str, Any]] = {"calibration_samples": 8}

    preset: Literal["mixed", "performance"] = Field(
        default="mixed", description="`mixed` takes activations as they are, `performance` as symmetric"
    )
    calibration_samples: int = Field(
        default=300, gt=0, description="regions of the train split that ranges are taken from"
    )

    def apply(self, state: "State") -> None:
        """Make the network its quantized graph, which a later re-training trains as the target calculates it."""
        from pipeline.arithmetic import kinds
        from pipeline.compress.calibration import calibrated, fitted
        from pipeline.compress.trainable_graph import TrainableGraph
        from pipeline.formats.from_torch import to_onnx
        from pipeline.records.targets import load_target

        target = load_target(self.target) if self.target else None
        samples = state.regions(self.calibration_samples)
        graph = to_onnx(state.network, state.spec)
        quantized = state.once(lambda: calibrated(graph, samples, self.preset), graph, len(samples), self.preset)
        made = fitted(quantized, graph, samples, target)
        state.network = TrainableGraph(made, saturates=target is not None and kinds.of(target).saturates)
