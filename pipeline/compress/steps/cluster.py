"""Weight sharing: each layer's weights take a few values only, for a short download."""

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from pipeline.compress.step import Step

if TYPE_CHECKING:
    from pipeline.compress.state import State


class Cluster(Step):
    """Weight sharing: each layer's weights take at most 2**bits values, so that a download compresses them well.

    Biases are corrected for it on `calibration_samples`.
    """

    once: ClassVar[bool] = True
    example: ClassVar[dict[str, Any]] = {"bits": 5, "calibration_samples": 8}

    bits: int = Field(ge=2, le=8, description="of the index of a shared value")
    calibration_samples: int = Field(default=32, gt=0, description="regions that biases are corrected on")

    def apply(self, state: "State") -> None:
        """Share the weights of the exported graph, which the network is from here on."""
        from pipeline.compress.shared_weights import share_weights

        share_weights(state.as_graph(), self.bits, state.regions(self.calibration_samples))
