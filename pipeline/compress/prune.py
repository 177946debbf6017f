"""Structured channel pruning: whole channels go, so that every runtime gets faster without special kernels."""

import copy

import torch
import torch_pruning
from torch import nn

from models import ModelSpec
from pipeline.config import Prune
from pipeline.errors import InputError

ROUND_TO = 8  # channels that a kernel of the targets takes at once (SSE: eight 16-bit sums; Pascal FP16: four pairs)
MOST = 0.8  # no layer loses more of its channels than this: an empty layer cannot be re-trained
SEARCH_STEPS = 8  # halvings of the interval in which the pruning ratio is looked for


def apply(network: nn.Module, spec: ModelSpec, step: Prune) -> nn.Module:
    """Remove the channels of least group L2 norm (DepGraph, Fang et al. 2023); at most `step.macs` of the MACs stay.

    Raises:
        InputError: the budget cannot be met.
    """
    example = torch.zeros(1, 3, spec.input_size, spec.input_size)
    whole, _ = torch_pruning.utils.count_ops_and_params(network, example)
    too_little, enough = 0.0, 1.0
    within_budget = None
    for _ in range(SEARCH_STEPS):
        ratio = (too_little + enough) / 2
        pruned = _without_channels(network, example, ratio)
        left, _ = torch_pruning.utils.count_ops_and_params(pruned, example)
        if left > step.macs * whole:
            too_little = ratio
        else:
            enough, within_budget = ratio, pruned
    if within_budget is None:
        raise InputError(f"{spec.name} cannot be pruned to {step.macs:.0%} of its MACs; raise `macs` in params.yaml")
    return within_budget


def _without_channels(network: nn.Module, example: torch.Tensor, ratio: float) -> nn.Module:
    """A copy of the network without `ratio` of all its channels, wherever they matter least."""
    pruned = copy.deepcopy(network)
    head = [module for module in pruned.modules() if isinstance(module, nn.Linear | nn.Conv2d)][-1]
    torch_pruning.pruner.BasePruner(
        pruned,
        example,
        importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
        pruning_ratio=ratio,
        max_pruning_ratio=MOST,
        global_pruning=True,
        round_to=ROUND_TO,
        ignored_layers=[head],
    ).step()
    return pruned
