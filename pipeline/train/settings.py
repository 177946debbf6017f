"""How a network is fitted."""

from pydantic import BaseModel, ConfigDict, Field


class Training(BaseModel):
    """How a network is fitted. One epoch sees at most `samples_per_epoch` regions, drawn anew each time."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = Field(gt=0, description="all of which it takes")
    batch: int = Field(gt=1, description="regions a step")
    learning_rate: float = Field(gt=0, description="the highest of the schedule")
    samples_per_epoch: int = Field(gt=1, description="regions that an epoch draws, every class equally likely")


class FineTune(Training):
    """Training of the FP32 parent from pretrained weights; the first `freeze` share of its blocks stays as it is."""

    freeze: float = Field(ge=0, lt=1, description="share of the blocks that keep their weights")
