"""Stage train: fine-tune a model's FP32 parent."""

from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.torch import save

import models
from pipeline.data.dataset import Dataset
from pipeline.project import code, layout
from pipeline.system import files
from pipeline.train.checkpoint import Checkpoints, state_of
from pipeline.train.curves import write_curves
from pipeline.train.loop import fit, predict
from pipeline.train.parent import freeze
from pipeline.train.processes import is_main_process
from pipeline.train.reproducible import make_deterministic

if TYPE_CHECKING:
    from pipeline.project.params import Params


def train(name: str, params: "Params", dataset: Dataset) -> dict[str, Any]:
    """Fine-tune the model called `name` and write its folder: weights, curves, answers on val and test, metrics.

    The answer is the metrics, empty in all but the first of several processes.

    Raises:
        InputError: unknown model, or training diverged (the loss is no number).
    """
    spec, checkpoints = models.spec(name), Checkpoints(layout.CHECKPOINTS, code.identity("train"))
    make_deterministic(params.seed)
    network = models.build(name, len(dataset.classes), params.width)
    freeze(network, params.train.freeze)
    network, curves = fit(network, spec, dataset, params.train, params.seed, checkpoints)
    if not is_main_process():
        return {}
    answers = {}
    for split in ("val", "test"):
        images, labels = dataset.load(split, spec.input_size)
        answers[split] = predict(network, images, spec)
    metrics = {
        "test_accuracy_percent": 100.0 * float((answers["test"].argmax(1) == labels).mean()),
        "majority_class_percent": 100.0 * float(np.bincount(labels).max()) / len(labels),
        "val_accuracy_percent": curves[-1].val_accuracy_percent,
        "epochs": len(curves),
    }
    with files.replacing_folder(layout.parent(name)) as folder:
        (folder / layout.parent_weights(name).name).write_bytes(save(state_of(network)))
        for split, logits in answers.items():
            np.save(folder / layout.parent_logits(name, split).name, logits)
        write_curves(folder / "curves.csv", curves)
        files.write_json(folder / "metrics.json", metrics)
    checkpoints.delete()
    return metrics
