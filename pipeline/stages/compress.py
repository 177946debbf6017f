"""Stage compress: make a candidate from its trained FP32 parent by the steps of its recipe."""

from typing import TYPE_CHECKING, Any

from torch import nn

import models
from pipeline.compress.state import State, make
from pipeline.compress.temperature import SAMPLES, temperature
from pipeline.compress.trainable_graph import TrainableGraph
from pipeline.data.batches import Regions
from pipeline.data.dataset import Dataset
from pipeline.formats.mixed_precision import fp32_layers
from pipeline.formats.onnx_file import load_onnx
from pipeline.project import code, layout
from pipeline.project.candidate import FACTS, Candidate
from pipeline.records.targets import load_target
from pipeline.system import files
from pipeline.train.checkpoint import Checkpoints
from pipeline.train.curves import write_curves
from pipeline.train.parent import load_parent
from pipeline.train.reproducible import make_deterministic

if TYPE_CHECKING:
    from pipeline.project.params import Params


def compress(candidate: Candidate, params: "Params", dataset: Dataset) -> dict[str, Any]:
    """Make the candidate and write its folder.

    The folder holds `model.onnx`, `curves.csv` (of the last re-training, if any) and `candidate.json` (precision, width
    and height of the input, parameters, epochs of re-training, layers that an FP16 candidate keeps in FP32, scaling of
    the input, classes, temperature of the scores, identity of each target that its recipe names), which is also the
    answer. A recipe without steps is the parent itself.

    Raises:
        InputError: a step cannot be carried out, or the parent is missing or damaged.
    """
    spec = models.spec(candidate.model)
    make_deterministic(params.seed)

    def parent() -> nn.Module:
        weights = layout.parent_weights(candidate.model)
        return load_parent(weights, candidate.model, len(dataset.classes), params.width)

    state = State(
        network=parent(),
        spec=spec,
        dataset=dataset,
        precision=candidate.precision,
        seed=params.seed,
        parent=parent,
        checkpoints=Checkpoints(layout.CHECKPOINTS, code.identity("compress")),
        parent_spec=spec,
    )
    graph = make(candidate.recipe, state)
    facts: dict[str, Any] = {
        "precision": candidate.precision,
        "input_size": state.spec.input_size,
        "parameters": _size(state.network),
        "epochs": len(state.curves),
        "fp32_layers": fp32_layers(graph),
        "mean": spec.mean,
        "std": spec.std,
        "classes": dataset.classes,
        "temperature": temperature(graph, Regions(dataset, state.spec, "val", SAMPLES, params.seed)),
        "targets": {name: load_target(name).sha256 for name in candidate.recipe.targets},
    }
    with files.replacing_folder(candidate.compressed) as folder:
        (folder / candidate.graph.name).write_bytes(graph.SerializeToString(deterministic=True))
        load_onnx(folder / candidate.graph.name)
        write_curves(folder / "curves.csv", state.curves)
        files.write_json(folder / FACTS, facts)
    return facts


def _size(network: nn.Module) -> int:
    """Weights and biases, each counted for itself, whether others share its value or not."""
    if isinstance(network, TrainableGraph):
        return network.size
    return sum(parameter.numel() for parameter in network.parameters())
