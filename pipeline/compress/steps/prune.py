"""Structured channel pruning: whole channels go, so that every runtime gets faster without special kernels."""

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, model_validator

from pipeline.compress.step import ToSpeed

if TYPE_CHECKING:
    from pipeline.compress.state import State


class Prune(ToSpeed):
    """Structured channel pruning to a budget: a share of the network's multiply-accumulates, or a target's speed.

    With `target`, channels go until the prediction for it, in the precision that the recipe ends in, reaches
    `frames_per_s`, by default the target's own objective, within the target's watts.
    """

    goes_before: ClassVar[dict[str, str]] = {
        "quantize": "channels are taken out of the floating-point network",
        "cluster": "it would leave values that nothing shares",
    }
    example: ClassVar[dict[str, Any]] = {"macs": 0.8}

    macs: float | None = Field(default=None, gt=0, lt=1, description="share of the multiply-accumulates that stays")

    @model_validator(mode="after")
    def _one_budget(self) -> "Prune":
        return self.with_one_of("macs", "one budget: `macs` (a share) or `target` (its speed)")

    def apply(self, state: "State") -> None:
        """Remove the channels whose loss matters least, until the network just keeps the budget."""
        from pipeline.compress.budget import Budget, MacShare, macs
        from pipeline.compress.channels import cost_graph, remove_channels

        budget: Budget
        if self.target is None:
            budget = MacShare(self.macs or 1.0, macs(cost_graph(state.network, state.spec)))
        else:
            budget = self.objective(self.target, state.precision)
        state.network = remove_channels(state.network, state.spec, state.dataset, budget, state.seed)
