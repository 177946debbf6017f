"""Structured channel pruning: whole channels go, so that every runtime gets faster without special kernels."""

import copy

import numpy as np
import torch
import torch_pruning
from torch import nn
from torch.nn import functional
from tqdm import tqdm

from models import ModelSpec
from models.blocks import divisible
from pipeline.compress.budget import Budget
from pipeline.data.dataset import Dataset
from pipeline.formats.from_torch import trace
from pipeline.formats.graph.graph import Graph
from pipeline.formats.graph.onnx_graph import graph_of
from pipeline.system.errors import Refused
from runners.edge.loop.regions import normalise

# Channels of a layer are left in multiples of this, on every target. Timings are of a server's CPU under
# ONEDNN_MAX_CPU_ISA=SSE41, which has Goldmont's kernels but not its pipeline; nothing was timed on a board.
# - Goldmont FP32: with other numbers OpenVINO leaves the SSE4.1 kernels for GEMM (jit_sse42_f32 and jit_gemm_f32 in
#   its profile), which took several times as long.
# - Goldmont INT8: kernels take 4 (oneDNN, jit_uni_x8s8s32x_conv_kernel.cpp: `oc_block`, `ch_block`), but 72 depthwise
#   channels took a quarter less time than 68. Multiples of 16 gained another tenth there and nothing elsewhere, too
#   little for the narrow layers that they would halve.
# - Parker FP16: not timed. HFMA2 needs pairs (TensorRT's format kCHW2), which any multiple of 8 is made of.
ROUND_TO = 8
MOST = 0.8  # of a layer's channels go at most: an empty layer cannot be re-trained
SEARCH_STEPS = 7  # halvings of the interval in which the pruning ratio is looked for: to 0.6 % of the channels
BATCHES, BATCH = 8, 16  # regions of the train split that the channels' importance is estimated on


def remove_channels(network: nn.Module, spec: ModelSpec, dataset: Dataset, budget: Budget, seed: int) -> nn.Module:
    """Remove the channels whose loss matters least, until the network just keeps the budget.

    A network that keeps it already comes back as it is.

    Importance is the first-order Taylor expansion of the loss (Molchanov et al. 2019) over groups of channels that
    only go together (DepGraph, Fang et al. 2023). Every layer loses the same share, so that none is starved, up to
    rounding to `ROUND_TO` channels; a layer of no more than that keeps all.

    Raises:
        InputError: the budget cannot be met, nothing can be predicted for the target, or channels that depend on each
            other are joined in a way that torch-pruning does not follow.
    """
    if budget.is_kept(cost_graph(network, spec)):
        return network
    _add_gradients(network, spec, dataset, seed)
    best = _without_channels(network, spec, MOST)
    smallest = cost_graph(best, spec)
    if not budget.is_kept(smallest):
        raise Refused(
            f"{spec.name}: even pruned as far as it goes it {budget.shortfall(smallest)} in params.yaml, "
            "or take a smaller model"
        )
    too_little, enough = 0.0, MOST
    for _ in tqdm(range(SEARCH_STEPS), f"{spec.name} prune", disable=None):
        ratio = (too_little + enough) / 2
        pruned = _without_channels(network, spec, ratio)
        if budget.is_kept(cost_graph(pruned, spec)):
            enough, best = ratio, pruned
        else:
            too_little = ratio
    return best


def cost_graph(network: nn.Module, spec: ModelSpec) -> Graph:
    """The network as a budget reads it; InputError where layers do not fit each other any more."""
    try:
        return graph_of(trace(network, spec), spec.name)
    except RuntimeError as error:
        raise Refused(f"{spec.name} cannot be pruned: {str(error).splitlines()[0]}") from error


def _add_gradients(network: nn.Module, spec: ModelSpec, dataset: Dataset, seed: int) -> None:
    """Give every parameter its gradient of the loss, summed over a few batches."""
    images, labels = dataset.load("train", spec.input_size)
    chosen = np.random.default_rng(seed).permutation(len(images))[: BATCHES * BATCH]
    network.eval()
    network.zero_grad(set_to_none=True)
    batches = np.array_split(chosen, -(-len(chosen) // BATCH))
    for batch in tqdm(batches, f"{spec.name} importance of channels", disable=None):
        inputs = torch.from_numpy(normalise(images[batch], spec.mean, spec.std))
        loss = functional.cross_entropy(network(inputs), torch.from_numpy(labels[batch]))
        loss.backward()  # type: ignore[no-untyped-call]


def _without_channels(network: nn.Module, spec: ModelSpec, ratio: float) -> nn.Module:
    """A copy of the network without about `ratio` of each layer's channels, those that matter least."""
    pruned = copy.deepcopy(network)
    for copied, original in zip(pruned.parameters(), network.parameters(), strict=True):
        copied.grad = original.grad  # deepcopy leaves it behind
    *layers, head = [module for module in pruned.modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    torch_pruning.pruner.BasePruner(
        pruned,
        torch.zeros(1, 3, spec.input_size, spec.input_size),
        importance=torch_pruning.importance.GroupTaylorImportance(),
        pruning_ratio=0.0,
        pruning_ratio_dict={layer: _rounded(layer.weight.shape[0], ratio) for layer in layers},
        ignored_layers=[head],
    ).step()
    pruned.zero_grad(set_to_none=True)
    return pruned


def _rounded(channels: int, ratio: float) -> float:
    """The ratio near `ratio` that leaves a multiple of `ROUND_TO` of the channels."""
    kept = min(channels, divisible(channels * (1 - ratio), ROUND_TO))
    return 1 - (kept + 0.5) / channels  # the library rounds what is kept down to whole channels
