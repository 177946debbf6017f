"""Half precision, on the finished graph."""

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from pipeline.compress.step import ForTarget
from pipeline.records.targets import Precision

if TYPE_CHECKING:
    from pipeline.compress.state import State


class HalfPrecision(ForTarget):
    """Weights and activations in FP16, but for layers that overflow on any of `calibration_samples`.

    They overflow in the FP16 arithmetic of `target`, or else in any that is known here.
    """

    gives: ClassVar[Precision | None] = "fp16"
    excludes: ClassVar[dict[str, str]] = {"quantize": "fp16 and quantize exclude each other"}
    last: ClassVar[str | None] = "fp16 changes the exported graph: it can be the last step only"
    example: ClassVar[dict[str, Any]] = {"calibration_samples": 8}

    calibration_samples: int = Field(default=32, gt=0, description="regions that may overflow no layer in FP16")

    def apply(self, state: "State") -> None:
        """Remember on what to calibrate: the graph is converted when the recipe is done."""
        from pipeline.arithmetic import kinds
        from pipeline.records.targets import load_target

        chosen = [kinds.of(load_target(self.target))] if self.target else kinds.with_fp16()
        state.half = state.regions(self.calibration_samples), chosen
