"""Fitting a network to the data set: the FP32 parent, and every re-training after compression.

One loop serves both. It is deterministic for a seed (every epoch has its own random generator) and continues after a
kill from the last epoch that it finished; one that is finished and still kept is not repeated. It always goes on to the
end of its schedule, where the rate comes down to nothing, and takes what it has then: an epoch in the middle that is
best on some hundred validation samples is so by luck, and one of another machine's rounding has it at another place.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed, nn
from torch.nn import functional

from models import ModelSpec
from pipeline.data.dataset import Dataset
from pipeline.system.errors import InputError
from pipeline.system.stopwatch import part
from pipeline.train import processes
from pipeline.train.checkpoint import Checkpoints
from pipeline.train.curves import Epoch
from pipeline.train.distillation import Teacher
from pipeline.train.epochs import Mixed, augment, batches, draw, mix, unmixed
from pipeline.train.reproducible import keep_freed_memory
from pipeline.train.settings import Training
from runners.edge.loop.regions import normalise

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]


@part("re-train")
def fit(
    network: nn.Module,
    spec: ModelSpec,
    dataset: Dataset,
    settings: Training,
    seed: int,
    checkpoints: Checkpoints,
    teacher: Teacher | None = None,
) -> tuple[nn.Module, list[Epoch]]:
    """Train `network` on the train split; the answer is the network after the last epoch, and all curves.

    With a `teacher` it sees blends of two regions each, and part of the loss is the distance to the teacher's logits
    for the same blends.

    Raises:
        InputError: the loss is no number any more.
    """
    keep_freed_memory()
    device = processes.device()
    images, labels = dataset.load("train", spec.input_size)
    held_images, held_labels = dataset.load("val", spec.input_size)
    network = _place(network, device)
    if teacher:
        teacher = replace(teacher, network=_place(teacher.network, device).eval())
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=settings.learning_rate, weight_decay=1e-4)
    steps = settings.epochs * -(-min(settings.samples_per_epoch, len(labels)) // settings.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.learning_rate, total_steps=steps)
    parallel = nn.parallel.DistributedDataParallel(network) if distributed.is_initialized() else network

    key = checkpoints.key(settings, seed, spec, dataset, network, teacher)
    curves: list[Epoch] = []
    if saved := checkpoints.read(key):
        network.load_state_dict(saved["network"])
        curves = [Epoch(**epoch) for epoch in saved["curves"]]
        if len(curves) < settings.epochs:
            optimizer.load_state_dict(saved["optimizer"])
            schedule.load_state_dict(saved["schedule"])

    while len(curves) < settings.epochs:
        number = len(curves) + 1
        generator = torch.Generator().manual_seed(seed * 10_007 + number)
        torch.manual_seed(seed * 10_007 + number)  # dropout
        losses = []
        _training_mode(network)
        order = draw(labels, settings.samples_per_epoch, generator)
        for batch in batches(order, settings.batch, f"{spec.name} epoch {number}/{settings.epochs}"):
            seen = augment(torch.from_numpy(images[batch]), generator)
            mixed = mix(seen, generator) if teacher else unmixed(seen)
            inputs = torch.from_numpy(normalise(mixed.images.numpy(), spec.mean, spec.std)).to(device)
            loss = _loss(parallel, inputs, torch.from_numpy(labels[batch]), mixed, teacher)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
        if not np.isfinite(losses).all():
            raise InputError(f"{spec.name}: training diverged in epoch {number}; lower learning_rate in params.yaml")
        processes.share_statistics(network)
        logits = predict(network, held_images, spec)
        curves.append(
            Epoch(
                epoch=number,
                train_loss=float(np.mean(losses)),
                val_loss=float(functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(held_labels))),
                val_accuracy_percent=100.0 * float((logits.argmax(1) == held_labels).mean()),
            )
        )
        reached: dict[str, Any] = {"network": network.state_dict(), "curves": [vars(epoch) for epoch in curves]}
        if number < settings.epochs:
            reached |= {"optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}
        checkpoints.write(key, reached)
    return network.cpu().eval(), curves


def predict(network: nn.Module, images: Images, spec: ModelSpec, batch: int = 32) -> NDArray[np.float32]:
    """Logits (N, classes) of `images` (N, S, S, 3; uint8 RGB) in FP32."""
    device = next(network.parameters()).device
    network.eval()
    parts = []
    with torch.inference_mode():
        for start in range(0, len(images), batch):
            inputs = torch.from_numpy(normalise(images[start : start + batch], spec.mean, spec.std))
            parts.append(network(inputs.to(device)).float().cpu().numpy())
    return np.concatenate(parts)


def _place(network: nn.Module, device: torch.device) -> nn.Module:
    """On the device, channels last: twice as fast as PyTorch's default layout on a CPU."""
    return network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def _training_mode(network: nn.Module) -> None:
    """Training mode, but frozen blocks keep the batch statistics that they were trained with."""
    network.train()
    for module in network.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            module.eval()


def _loss(network: nn.Module, inputs: Tensor, labels: Tensor, mixed: Mixed, teacher: Teacher | None) -> Tensor:
    logits: Tensor = network(inputs)
    if teacher is not None and teacher.share == 1:
        return teacher.loss(logits, inputs)
    shares, partners = mixed.shares.to(logits.device), labels[mixed.partners].to(logits.device)
    own, other = (
        functional.cross_entropy(logits, wanted, label_smoothing=0.05, reduction="none")
        for wanted in (labels.to(logits.device), partners)
    )
    loss = (shares * own + (1 - shares) * other).mean()
    if teacher is None or not teacher.share:
        return loss
    return (1 - teacher.share) * loss + teacher.share * teacher.loss(logits, inputs)
