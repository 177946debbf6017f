"""Compression: a method is a list of steps in params.yaml, each step one file here.

Steps take and return a PyTorch module: at first the network itself, which `prune` and `retrain` change and which
`resize` gives regions of another size. `quantize` and `cluster` change the exported graph, in which batch norms are
folded away; from there on the module is that graph (trainable_graph.py), so that `retrain` trains exactly what is
shipped. `fp16` ends a recipe, on the ONNX model.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import files, layout
from pipeline.config import Cluster, HalfPrecision, Params, Prune, Quantize, Resize, Retrain
from pipeline.dataset import Dataset
from pipeline.regions import Regions
from pipeline.targets import load_target

if TYPE_CHECKING:
    from torch import nn


def compress(model: str, method: str, params: Params, dataset: Dataset) -> dict[str, Any]:
    """Make the candidate model x method from its trained FP32 parent and write its folder.

    The folder holds `model.onnx`, `curves.csv` (of the last re-training, if any) and `candidate.json` (precision, width
    and height of the input, parameters, epochs of re-training, layers that an FP16 candidate keeps in FP32), which is
    also the answer. A recipe without steps is the parent itself.

    Raises:
        InputError: unknown method, or the parent is missing or damaged.
    """
    import models
    from pipeline.check.onnx_file import load_onnx
    from pipeline.compress import half_precision, prune, resize
    from pipeline.compress.cluster import share_weights
    from pipeline.compress.quantize import quantize
    from pipeline.compress.trainable_graph import TrainableGraph
    from pipeline.export import to_onnx
    from pipeline.train import Epoch, fit, load_parent, make_deterministic, write_curves

    spec, recipe = models.spec(model), params.recipe(method)
    make_deterministic(params.seed)
    network = load_parent(model, params, len(dataset.classes))
    half: Regions | None = None  # what FP16 is calibrated on
    curves: list[Epoch] = []
    checkpoints: list[Path] = []
    for step in recipe.steps:
        match step:
            case Resize():
                spec = resize.apply(network, spec, step, recipe.precision)
            case Prune():
                network = prune.apply(network, spec, dataset, step, recipe.precision, params.seed)
            case Retrain():
                teacher = resize.to_its_size(load_parent(model, params, len(dataset.classes)), models.spec(model), spec)
                checkpoints.append(layout.checkpoint("compress", model, method, str(len(checkpoints))))
                network, curves = fit(network, spec, dataset, step, params.seed, checkpoints[-1], teacher)
            case Quantize():
                samples = Regions(dataset, spec, "train", step.calibration_samples, params.seed)
                target = load_target(step.target) if step.target else None
                saturates = target is not None and target.emulation.kind == "capped-isa"
                graph = quantize(to_onnx(network, spec), samples, target, step.preset)
                network = TrainableGraph(graph, saturates)
            case Cluster():
                if not isinstance(network, TrainableGraph):
                    network = TrainableGraph(to_onnx(network, spec))
                share_weights(
                    network, step.bits, Regions(dataset, spec, "train", step.calibration_samples, params.seed)
                )
            case HalfPrecision():
                half = Regions(dataset, spec, "train", step.calibration_samples, params.seed)
    graph = network.to_onnx() if isinstance(network, TrainableGraph) else to_onnx(network, spec)
    if half is not None:
        graph = half_precision.apply(graph, half)
    facts: dict[str, Any] = {
        "precision": recipe.precision,
        "input_size": spec.input_size,
        "parameters": _size(network),
        "epochs": len(curves),
        "fp32_layers": half_precision.fp32_layers(graph),
    }
    with files.replacing_folder(layout.candidate(model, method)) as folder:
        (folder / "model.onnx").write_bytes(graph.SerializeToString(deterministic=True))
        load_onnx(folder / "model.onnx")
        write_curves(folder / "curves.csv", curves)
        files.write_json(folder / "candidate.json", facts)
    for checkpoint in checkpoints:
        checkpoint.unlink(missing_ok=True)
    return facts


def _size(network: "nn.Module") -> int:
    """Weights and biases, each counted for itself, whether others share its value or not."""
    from pipeline.compress.trainable_graph import TrainableGraph

    if isinstance(network, TrainableGraph):
        return network.size
    return sum(parameter.numel() for parameter in network.parameters())
