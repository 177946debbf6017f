"""A network on its way through a recipe."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from onnx import ModelProto
from torch import nn

from models import ModelSpec
from pipeline.arithmetic.kinds import Kind
from pipeline.compress.half_precision import to_half_precision
from pipeline.compress.recipe import Recipe
from pipeline.compress.trainable_graph import TrainableGraph
from pipeline.data.batches import Regions
from pipeline.data.dataset import Dataset
from pipeline.formats.from_torch import to_onnx
from pipeline.records.targets import Precision
from pipeline.system.files import sha256
from pipeline.system.versions import versions
from pipeline.train.checkpoint import Checkpoints
from pipeline.train.curves import Epoch


@dataclass
class State:
    """A network on its way through a recipe; each step changes what it is about.

    At first `network` is the trained parent. From `quantize` or `cluster` on it is the exported graph as a module
    (trainable_graph.py), in which batch norms are folded away: a later `retrain` trains exactly what is shipped.
    `spec` is what the network is now, `parent_spec` what its parent is. `parent` gives the parent anew, and
    `checkpoints` keeps its trainings and calibrations. `half` says that the finished graph goes to FP16: on which
    samples that is calibrated and for which kinds of targets.
    """

    network: nn.Module
    spec: ModelSpec
    dataset: Dataset
    precision: Precision  # that the recipe ends in
    seed: int
    parent: Callable[[], nn.Module]
    checkpoints: Checkpoints
    parent_spec: ModelSpec
    curves: list[Epoch] = field(default_factory=list)
    half: tuple[Regions, list[Kind]] | None = None

    def regions(self, samples: int) -> Regions:
        """So many regions of the train split, drawn at random, as the network takes them."""
        return Regions(self.dataset, self.spec, "train", samples, self.seed)

    def once(self, make: Callable[[], ModelProto], graph: ModelProto, *settings: Any) -> ModelProto:
        """The graph that `make` makes of `graph` and of regions by these `settings`, or has made in another recipe."""
        regions = [sha256(self.dataset.folder / "samples.csv"), self.spec.input_size, self.spec.mean, self.spec.std]
        content = hashlib.sha256(graph.SerializeToString(deterministic=True)).hexdigest()
        key = self.checkpoints.name(content, *regions, self.seed, *settings, versions("nncf", "numpy", "onnxruntime"))
        if kept := self.checkpoints.read(key):
            read = ModelProto()
            read.ParseFromString(kept["graph"])
            return read
        made = make()
        self.checkpoints.write(key, {"graph": made.SerializeToString()})
        return made

    def as_graph(self) -> TrainableGraph:
        """The network as the exported graph, which it is from here on."""
        if not isinstance(self.network, TrainableGraph):
            self.network = TrainableGraph(to_onnx(self.network, self.spec))
        return self.network


def make(recipe: Recipe, state: State) -> ModelProto:
    """Take the network in `state` through all steps of a recipe; the answer is the candidate's graph.

    Raises:
        InputError: a step cannot be carried out on this network.
    """
    for step in recipe.steps:
        torch.manual_seed(state.seed)  # so that a step draws the same, whether those before it were trained or read
        step.apply(state)
    network = state.network
    graph = network.to_onnx() if isinstance(network, TrainableGraph) else to_onnx(network, state.spec)
    return to_half_precision(graph, *state.half) if state.half else graph
