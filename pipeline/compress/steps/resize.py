"""Regions of fewer pixels: every layer of a convolutional network gets cheaper, and keeps all its weights.

This is the resolution multiplier of MobileNets (Howard et al. 2017, https://arxiv.org/abs/1704.04861).
"""

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, model_validator

from pipeline.compress.step import ToSpeed
from pipeline.system.errors import Refused

if TYPE_CHECKING:
    from pipeline.compress.state import State

STEP = 16  # pixels that `target` goes down by
SMALLEST = 32  # pixels: networks for photographs halve them five times


class Resize(ToSpeed):
    """Regions of fewer pixels: of `size` x `size`, or of the most at which a target is fast enough.

    With `target`, the size goes down until the prediction for it, in the precision that the recipe ends in, reaches
    `frames_per_s`, by default the target's own objective, within the target's watts.
    """

    goes_before: ClassVar[dict[str, str]] = {
        "prune": "which channels matter depends on the size",
        "quantize": "what was calibrated at another size does not hold",
        "cluster": "from there on the network is a graph of one size",
    }
    once: ClassVar[bool] = True
    example: ClassVar[dict[str, Any]] = {"size": 64}

    size: int | None = Field(default=None, ge=32, description="pixels, width and height")

    @model_validator(mode="after")
    def _one_budget(self) -> "Resize":
        return self.with_one_of("size", "one of `size` (pixels) and `target` (its speed decides)")

    def apply(self, state: "State") -> None:
        """Make the network's specification that of smaller regions.

        With a target, they are the largest at which it meets the target's objective; a network that meets it already
        keeps its size.

        Raises:
            InputError: the size is not below the network's own, none is small enough for the target, nothing can be
                predicted for it, or the network takes one size only.
        """
        from dataclasses import replace

        from pipeline.formats.from_torch import trace
        from pipeline.formats.graph.onnx_graph import graph_of

        spec = state.spec
        if not spec.any_size:
            raise Refused(f"{spec.name} takes regions of {spec.input_size} pixels only: leave `resize` out")
        if self.target is None:
            size = self.size or 0
            if size >= spec.input_size:
                raise Refused(f"{spec.name} takes {spec.input_size} pixels: resize to fewer, not to {size}")
            state.spec = replace(spec, input_size=size)
            return
        objective = self.objective(self.target, state.precision)
        for size in range(spec.input_size, SMALLEST - 1, -STEP):
            smaller = replace(spec, input_size=size)
            graph = graph_of(trace(state.network, smaller), spec.name)
            if objective.is_kept(graph):
                state.spec = smaller
                return
        raise Refused(
            f"{spec.name}: even at {size}x{size} pixels it {objective.shortfall(graph)} in params.yaml, or take a "
            "smaller model"
        )
