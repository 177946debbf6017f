"""Compression: a method is a list of steps in params.yaml, each step one file here.

Steps on the network (prune, retrain) come first and take and return a PyTorch module; then the network is
exported and steps on the graph (quantize, fp16) take and return an ONNX model.
"""

from typing import Any

from pipeline import files, layout
from pipeline.config import HalfPrecision, Params, Prune, Quantize, Retrain
from pipeline.dataset import Dataset
from pipeline.regions import Regions
from pipeline.targets import load_target


def compress(model: str, method: str, params: Params, dataset: Dataset) -> dict[str, Any]:
    """Make the candidate model x method from its trained FP32 parent and write its folder.

    The folder holds `model.onnx`, `curves.csv` (of the last re-training, if any) and `candidate.json` (precision,
    parameters, epochs of re-training), which is also the answer. A recipe without steps is the parent itself.

    Raises:
        InputError: unknown method, or the parent is missing or damaged.
    """
    import models
    from pipeline.check.onnx_file import load_onnx
    from pipeline.compress import half_precision, prune
    from pipeline.compress.quantize import quantize
    from pipeline.export import to_onnx
    from pipeline.train import Epoch, fit, load_parent, make_deterministic, write_curves

    spec, checkpoint = models.spec(model), layout.checkpoint("compress", model, method)
    make_deterministic(params.seed)
    network = load_parent(model, params, len(dataset.classes))
    graph = None
    curves: list[Epoch] = []
    for step in params.recipe(method).steps:
        match step:
            case Prune():
                network = prune.apply(network, spec, dataset, step, params.seed)
            case Retrain():
                teacher = load_parent(model, params, len(dataset.classes))
                network, curves = fit(network, spec, dataset, step, params.seed, checkpoint, teacher)
            case Quantize():
                samples = Regions(dataset, spec, "train", step.calibration_samples, params.seed)
                target = load_target(step.target) if step.target else None
                graph = quantize(to_onnx(network, spec), samples, target, step.preset)
            case HalfPrecision():
                graph = half_precision.apply(to_onnx(network, spec))
    if graph is None:
        graph = to_onnx(network, spec)
    facts: dict[str, Any] = {
        "precision": params.recipe(method).precision,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "epochs": len(curves),
    }
    with files.replacing_folder(layout.candidate(model, method)) as folder:
        (folder / "model.onnx").write_bytes(graph.SerializeToString(deterministic=True))
        load_onnx(folder / "model.onnx")
        write_curves(folder / "curves.csv", curves)
        files.write_json(folder / "candidate.json", facts)
    checkpoint.unlink(missing_ok=True)
    return facts
