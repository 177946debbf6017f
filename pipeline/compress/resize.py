"""Regions of fewer pixels: every layer of a convolutional network gets cheaper, and keeps all its weights.

This is the resolution multiplier of MobileNets (Howard et al. 2017, https://arxiv.org/abs/1704.04861).
"""

from dataclasses import replace

from torch import nn

from models import ModelSpec
from pipeline.compress.budget import objective_of
from pipeline.config import Resize
from pipeline.errors import InputError
from pipeline.export import trace
from pipeline.predict.onnx_graph import graph_of
from pipeline.targets import Precision

STEP = 16  # pixels that `target` goes down by
SMALLEST = 32  # pixels: networks for photographs halve them five times


def apply(network: nn.Module, spec: ModelSpec, step: Resize, precision: Precision) -> ModelSpec:
    """The specification of the same network for regions of the size that `step` asks for.

    With a target, it is the largest at which the network meets the target's objective in `precision`, which the recipe
    ends in; one that meets it already keeps its size.

    Raises:
        InputError: the size is not below the network's own, none is small enough for the target, nothing can be
            predicted for it, or the network takes one size only.
    """
    if not spec.any_size:
        raise InputError(f"{spec.name} takes regions of {spec.input_size} pixels only: leave `resize` out")
    if step.target is None:
        size = step.size or 0
        if size >= spec.input_size:
            raise InputError(f"{spec.name} takes {spec.input_size} pixels: resize to fewer, not to {size}")
        return replace(spec, input_size=size)
    objective = objective_of(step, step.target, precision)
    for size in range(spec.input_size, SMALLEST - 1, -STEP):
        smaller = replace(spec, input_size=size)
        graph = graph_of(trace(network, smaller), spec.name)
        if objective.is_kept(graph):
            return smaller
    raise InputError(
        f"{spec.name}: even at {size}x{size} pixels it {objective.shortfall(graph)} in params.yaml, or take a smaller "
        "model"
    )


def to_its_size(network: nn.Module, own: ModelSpec, given: ModelSpec) -> nn.Module:
    """The network of `own`, behind a layer that enlarges regions of `given` to its size where they are smaller."""
    if own.input_size == given.input_size:
        return network
    return nn.Sequential(nn.Upsample(size=(own.input_size, own.input_size), mode="bilinear"), network)
