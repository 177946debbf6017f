"""Re-training with distillation: the network learns from the labels and from its FP32 parent's answers."""

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from pipeline.compress.step import Step
from pipeline.train.settings import Training

if TYPE_CHECKING:
    from pipeline.compress.state import State


class Retrain(Training, Step):
    """Re-training with distillation from the FP32 parent; `distill` is the share of the loss that it makes up.

    What earlier steps made of the network stays: after `quantize` it is trained in the target's 8-bit arithmetic, after
    `cluster` the shared values are trained and who shares them is kept.
    """

    example: ClassVar[dict[str, Any]] = {
        "epochs": 1,
        "batch": 8,
        "learning_rate": 0.001,
        "samples_per_epoch": 24,
        "distill": 0.5,
    }

    distill: float = Field(ge=0, le=1, description="share of the loss that comes from the parent's answers")

    def apply(self, state: "State") -> None:
        """Train the network, whatever it is by now; the parent sees the same regions at its own size."""
        from pipeline.train.distillation import Teacher, at_its_size
        from pipeline.train.loop import fit

        parent = at_its_size(state.parent(), state.parent_spec.input_size, state.spec.input_size)
        teacher = Teacher(parent, self.distill)
        state.network, state.curves = fit(
            state.network, state.spec, state.dataset, self, state.seed, state.checkpoints, teacher
        )
