"""The trained FP32 parent: read from its weights, and asked for its answers."""

from pathlib import Path

from safetensors.torch import load_file
from torch import nn

import models
from pipeline.system.errors import BadModel, Missing


def load_parent(weights: Path, name: str, classes: int, width: float) -> nn.Module:
    """The trained FP32 network of the model called `name`, in evaluation mode.

    Raises:
        InputError: its weights are missing or do not fit the model.
    """
    if not weights.exists():
        raise Missing(f"{weights} not found: run `dvc repro train@{name}`")
    network = models.build(name, classes, width, pretrained=False)
    try:
        network.load_state_dict(load_file(weights))
    except Exception as error:  # safetensors raises its own type for a damaged file, torch a RuntimeError
        raise BadModel(f"{weights}: {str(error).splitlines()[0]}") from error
    return network.eval()


def freeze(network: nn.Module, share: float) -> None:
    """Keep the first `share` of the network's feature blocks as they are: their gradients are not calculated."""
    blocks = list(network.features)  # type: ignore[arg-type]
    for block in blocks[: int(share * len(blocks))]:
        block.requires_grad_(False)
