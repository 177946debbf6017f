"""Structured channel pruning: whole channels go, so that every runtime gets faster without special kernels."""

import copy

import numpy as np
import torch
import torch_pruning
from torch import nn
from torch.nn import functional

from models import ModelSpec
from pipeline.config import Prune
from pipeline.dataset import Dataset
from pipeline.errors import InputError
from runners.edge.regions import normalise

ROUND_TO = 8  # channels that a kernel of the targets takes at once (SSE: eight 16-bit sums; Pascal FP16: four pairs)
MOST = 0.8  # no layer loses more of its channels than this: an empty layer cannot be re-trained
SEARCH_STEPS = 8  # halvings of the interval in which the pruning ratio is looked for
BATCHES, BATCH = 8, 16  # regions of the train split that the channels' importance is estimated on


def apply(network: nn.Module, spec: ModelSpec, dataset: Dataset, step: Prune, seed: int) -> nn.Module:
    """Remove the channels whose loss matters least, until at most `step.macs` of the multiply-accumulates are left.

    Importance is the first-order Taylor expansion of the loss (Molchanov et al. 2019) over groups of channels that
    only go together (DepGraph, Fang et al. 2023). Every layer loses the same share, so that none is starved.

    Raises:
        InputError: the budget cannot be met.
    """
    example = torch.zeros(1, 3, spec.input_size, spec.input_size)
    whole, _ = torch_pruning.utils.count_ops_and_params(network, example)
    _add_gradients(network, spec, dataset, seed)
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


def _add_gradients(network: nn.Module, spec: ModelSpec, dataset: Dataset, seed: int) -> None:
    """Give every parameter its gradient of the loss, summed over a few batches."""
    images, labels = dataset.load("train", spec.input_size)
    chosen = np.random.default_rng(seed).permutation(len(images))[: BATCHES * BATCH]
    network.eval()
    for batch in np.array_split(chosen, -(-len(chosen) // BATCH)):
        inputs = torch.from_numpy(normalise(images[batch], spec.mean, spec.std))
        loss = functional.cross_entropy(network(inputs), torch.from_numpy(labels[batch]))
        loss.backward()  # type: ignore[no-untyped-call]


def _without_channels(network: nn.Module, example: torch.Tensor, ratio: float) -> nn.Module:
    """A copy of the network without `ratio` of each layer's channels, those that matter least."""
    pruned = copy.deepcopy(network)
    for copied, original in zip(pruned.parameters(), network.parameters(), strict=True):
        copied.grad = original.grad  # deepcopy leaves it behind
    head = [module for module in pruned.modules() if isinstance(module, nn.Linear | nn.Conv2d)][-1]
    torch_pruning.pruner.BasePruner(
        pruned,
        example,
        importance=torch_pruning.importance.GroupTaylorImportance(),
        pruning_ratio=ratio,
        max_pruning_ratio=MOST,
        round_to=ROUND_TO,
        ignored_layers=[head],
    ).step()
    pruned.zero_grad(set_to_none=True)
    return pruned
