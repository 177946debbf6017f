"""Learning from a teacher's answers as well as from labels (Hinton et al. 2015, https://arxiv.org/abs/1503.02531)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

TEMPERATURE = 2.0


@dataclass(frozen=True)
class Teacher:
    """A trained network, and the share of the loss that its answers make up."""

    network: nn.Module
    share: float

    def loss(self, logits: Tensor, inputs: Tensor) -> Tensor:
        """How far the `logits` (N, classes) for `inputs` are from the teacher's."""
        with torch.no_grad():
            taught = self.network(inputs)
        distance = functional.kl_div(
            functional.log_softmax(logits / TEMPERATURE, 1),
            functional.softmax(taught / TEMPERATURE, 1),
            reduction="batchmean",
        )
        return TEMPERATURE**2 * distance


def at_its_size(network: nn.Module, own: int, given: int) -> nn.Module:
    """A network for regions of `own` pixels, behind a layer that enlarges regions of `given` to them if need be."""
    if own == given:
        return network
    return nn.Sequential(nn.Upsample(size=(own, own), mode="bilinear"), network)
