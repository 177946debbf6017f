"""Fine-tune a network on the data set: the FP32 parent, and every re-training after compression.

One loop serves both. It is deterministic for a seed (every epoch has its own random generator), stops early on
the validation split, keeps the best epoch, and continues after a kill from the last epoch that it finished.
"""

import contextlib
import copy
import csv
import ctypes
import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save
from torch import Tensor, distributed, nn
from torch.nn import functional
from tqdm import tqdm

import models
from models import ModelSpec
from pipeline import files, layout
from pipeline.config import Params, Retrain, Training
from pipeline.dataset import Dataset
from pipeline.errors import InputError
from pipeline.stopwatch import part
from runners.edge import regions
from runners.edge.regions import normalise

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h
TEMPERATURE = 2.0  # of the distillation (Hinton et al. 2015)


@dataclass(frozen=True)
class Epoch:
    """What one epoch showed; a row of curves.csv."""

    epoch: int
    train_loss: float
    val_loss: float
    val_accuracy_percent: float


def train(name: str, params: Params, dataset: Dataset) -> dict[str, Any]:
    """Fine-tune the model called `name` and write its folder: weights, curves, test logits, metrics.

    Raises:
        InputError: unknown model, or training diverged (the loss is no number).
    """
    spec, checkpoint = models.spec(name), layout.checkpoint("train", name)
    make_deterministic(params.seed)
    network = models.build(name, len(dataset.classes), params.width)
    freeze(network, params.train.freeze)
    network, curves = fit(network, spec, dataset, params.train, params.seed, checkpoint)
    if not is_main_process():
        return {}
    images, labels = dataset.load("test", spec.input_size)
    logits = predict(network, images, spec)
    metrics = {
        "test_accuracy_percent": 100.0 * float((logits.argmax(1) == labels).mean()),
        "majority_class_percent": 100.0 * float(np.bincount(labels).max()) / len(labels),
        "val_accuracy_percent": max(epoch.val_accuracy_percent for epoch in curves),
        "epochs": len(curves),
    }
    with files.replacing_folder(layout.parent(name)) as folder:
        (folder / "weights.safetensors").write_bytes(save(_state(network)))
        np.save(folder / layout.parent_logits(spec.name).name, logits)
        write_curves(folder / "curves.csv", curves)
        files.write_json(folder / "metrics.json", metrics)
    checkpoint.unlink(missing_ok=True)
    return metrics


def load_parent(name: str, params: Params, classes: int) -> nn.Module:
    """The trained FP32 network of the model called `name`, in evaluation mode.

    Raises:
        InputError: its weights are missing or do not fit the model.
    """
    weights = layout.parent(name) / "weights.safetensors"
    if not weights.exists():
        raise InputError(f"{weights} not found: run `dvc repro train@{name}`")
    network = models.build(name, classes, params.width, pretrained=False)
    try:
        network.load_state_dict(load_file(weights))
    except Exception as error:  # safetensors raises its own type for a damaged file, torch a RuntimeError
        raise InputError(f"{weights}: {str(error).splitlines()[0]}") from error
    return network.eval()


@part("re-train")
def fit(
    network: nn.Module,
    spec: ModelSpec,
    dataset: Dataset,
    settings: Training,
    seed: int,
    checkpoint: Path,
    teacher: nn.Module | None = None,
) -> tuple[nn.Module, list[Epoch]]:
    """Train `network` on the train split; the answer is its best epoch by validation accuracy, and all curves.

    With a `teacher` (and `Retrain` settings), the loss is mixed with the distance to the teacher's logits.

    Raises:
        InputError: the loss is no number any more.
    """
    _keep_freed_memory()
    device = _device()
    images, labels = dataset.load("train", spec.input_size)
    held_images, held_labels = dataset.load("val", spec.input_size)
    network = _place(network, device)
    teacher = _place(teacher, device).eval() if teacher else None
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=settings.learning_rate, weight_decay=1e-4)
    steps = settings.epochs * -(-min(settings.samples_per_epoch, len(labels)) // settings.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.learning_rate, total_steps=steps)
    parallel = nn.parallel.DistributedDataParallel(network) if distributed.is_initialized() else network

    key = _checkpoint_key(settings, seed, spec, dataset, network)
    curves: list[Epoch] = []
    best = copy.deepcopy(network.state_dict())
    if saved := _read_checkpoint(checkpoint, key):
        network.load_state_dict(saved["network"])
        optimizer.load_state_dict(saved["optimizer"])
        schedule.load_state_dict(saved["schedule"])
        best = saved["best"]
        curves = [Epoch(**epoch) for epoch in saved["curves"]]

    while len(curves) < settings.epochs and not _is_over(curves, settings.patience):
        number = len(curves) + 1
        generator = torch.Generator().manual_seed(seed * 10_007 + number)
        torch.manual_seed(seed * 10_007 + number)  # dropout
        losses = []
        _training_mode(network)
        order = _draw(labels, settings.samples_per_epoch, generator)
        for batch in _batches(order, settings.batch, f"{spec.name} epoch {number}/{settings.epochs}"):
            augmented = _augment(torch.from_numpy(images[batch]), generator)
            inputs = torch.from_numpy(normalise(augmented.numpy(), spec.mean, spec.std)).to(device)
            loss = _loss(parallel, inputs, torch.from_numpy(labels[batch]).to(device), teacher, settings)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
        if not np.isfinite(losses).all():
            raise InputError(f"{spec.name}: training diverged in epoch {number}; lower learning_rate in params.yaml")
        _share_statistics(network)
        logits = predict(network, held_images, spec)
        curves.append(
            Epoch(
                epoch=number,
                train_loss=float(np.mean(losses)),
                val_loss=float(functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(held_labels))),
                val_accuracy_percent=100.0 * float((logits.argmax(1) == held_labels).mean()),
            )
        )
        if _best(curves) == number:
            best = copy.deepcopy(network.state_dict())
        _write_checkpoint(
            checkpoint,
            {
                "key": key,
                "network": network.state_dict(),
                "optimizer": optimizer.state_dict(),
                "schedule": schedule.state_dict(),
                "best": best,
                "curves": [vars(epoch) for epoch in curves],
            },
        )
    network.load_state_dict(best)
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


def freeze(network: nn.Module, share: float) -> None:
    """Keep the first `share` of the network's feature blocks as they are: their gradients are not calculated."""
    blocks = list(network.features)  # type: ignore[arg-type]
    for block in blocks[: int(share * len(blocks))]:
        block.requires_grad_(False)


def is_main_process() -> bool:
    """True in an ordinary run and in the first process of a distributed one."""
    return not distributed.is_initialized() or distributed.get_rank() == 0


def on_all_gpus(arguments: list[str]) -> int | None:
    """Run `edgeproof ARGUMENTS` once per GPU under torchrun where there are several; None where there are not."""
    if torch.cuda.device_count() < 2 or "WORLD_SIZE" in os.environ:
        return None
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += [f"--nproc-per-node={torch.cuda.device_count()}", "-m", "pipeline", *arguments]
    return subprocess.run(command).returncode


def write_curves(path: Path, curves: list[Epoch]) -> None:
    """Curves as CSV, a row an epoch, for `dvc plots`."""
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(Epoch.__dataclass_fields__), lineterminator="\n")
        writer.writeheader()
        writer.writerows(vars(epoch) for epoch in curves)


def _device() -> torch.device:
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not distributed.is_initialized():
        distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    if not torch.cuda.is_available():
        return torch.device("cpu")
    torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("cuda")


def _keep_freed_memory() -> None:
    """Tell glibc not to hand freed memory back: a batch's tensors are freed and asked for again all the time, and the
    kernel would clear every page anew (a third of the time of a training on two cores)."""
    with contextlib.suppress(OSError, AttributeError):  # another C library: only slower
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def _place(network: nn.Module, device: torch.device) -> nn.Module:
    """On the device, channels last: twice as fast as PyTorch's default layout on a CPU."""
    return network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def make_deterministic(seed: int) -> None:
    """The same seed gives the same network on the same machine."""
    # cuBLAS is deterministic only with a fixed workspace; the variable must be set before the first CUDA call.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    # Nothing here reads memory before it writes it; filling it would take a sixth of the time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.manual_seed(seed)


def _training_mode(network: nn.Module) -> None:
    """Training mode, but frozen blocks keep the batch statistics that they were trained with."""
    network.train()
    for module in network.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            module.eval()


def _share_statistics(network: nn.Module) -> None:
    """Every process gets the first one's batch statistics, so that all validate, and stop, alike."""
    if distributed.is_initialized():
        for buffer in network.buffers():
            distributed.broadcast(buffer, 0)


def _loss(network: nn.Module, inputs: Tensor, labels: Tensor, teacher: nn.Module | None, settings: Training) -> Tensor:
    logits: Tensor = network(inputs)
    loss = functional.cross_entropy(logits, labels, label_smoothing=0.05)
    if teacher is None or not isinstance(settings, Retrain) or not settings.distill:
        return loss
    with torch.no_grad():
        taught = teacher(inputs)
    distance = functional.kl_div(
        functional.log_softmax(logits / TEMPERATURE, 1),
        functional.softmax(taught / TEMPERATURE, 1),
        reduction="batchmean",
    )
    return (1 - settings.distill) * loss + settings.distill * TEMPERATURE**2 * distance


def _draw(labels: Labels, samples: int, generator: torch.Generator) -> NDArray[np.int64]:
    """Indices of one epoch: every class equally likely, so that a rare one is learned as well as a common one."""
    weights = torch.from_numpy(1.0 / np.bincount(labels)[labels])
    return torch.multinomial(weights, min(samples, len(labels)), replacement=True, generator=generator).numpy()


def _batches(order: NDArray[np.int64], size: int, description: str) -> Iterator[NDArray[np.int64]]:
    """This process's part of every batch; the last batch is dropped when it is too small for batch statistics."""
    ranks = distributed.get_world_size() if distributed.is_initialized() else 1
    rank = distributed.get_rank() if ranks > 1 else 0
    starts = range(0, len(order), size)
    for start in tqdm(starts, desc=description, unit="batch", disable=True if rank else None):
        batch = order[start : start + size]
        mine = batch[rank : len(batch) - len(batch) % ranks : ranks]
        if len(mine) > 1:
            yield mine


def _augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Random mirroring, shift (to 6 %) and brightness (+-20 %) of (N, S, S, 3) uint8; float 0..255."""
    count, size = images.shape[:2]
    images = images.float()
    mirrored = torch.rand(count, generator=generator) < 0.5
    images[mirrored] = images[mirrored].flip(2)
    reach = max(1, round(0.06 * size))
    shifts = torch.randint(-reach, reach + 1, (count, 2), generator=generator).tolist()
    for image, (down, right) in zip(images, shifts, strict=True):
        image.copy_(image.roll((down, right), (0, 1)))
    brightness = 0.8 + 0.4 * torch.rand(count, 1, 1, 1, generator=generator)
    return (images * brightness).clamp(0, 255)


def _best(curves: list[Epoch]) -> int:
    return max(curves, key=lambda epoch: (epoch.val_accuracy_percent, -epoch.val_loss)).epoch


def _is_over(curves: list[Epoch], patience: int) -> bool:
    return bool(curves) and len(curves) - _best(curves) >= patience


def _state(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.contiguous() for name, tensor in network.state_dict().items()}


def _checkpoint_key(settings: Training, seed: int, spec: ModelSpec, dataset: Dataset, network: nn.Module) -> str:
    """Names everything that the training depends on, its code too: the checkpoint of another is never continued."""
    start = hashlib.sha256(save({name: tensor.cpu() for name, tensor in _state(network).items()})).hexdigest()
    code = [Path(__file__), *sorted(Path(models.__file__).parent.glob("*.py")), Path(regions.__file__)]
    parts = [
        settings.model_dump(),
        type(settings).__name__,
        seed,
        spec.name,
        spec.input_size,
        start,
        files.sha256(dataset.folder / "samples.csv"),
        [files.sha256(path) for path in code],
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _read_checkpoint(path: Path, key: str) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        saved: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    except Exception:  # a damaged checkpoint only costs the epochs it held
        return None
    return saved if saved.get("key") == key else None


def _write_checkpoint(path: Path, value: dict[str, Any]) -> None:
    if is_main_process():
        buffer = io.BytesIO()
        torch.save(value, buffer)
        files.write_bytes(path, buffer.getvalue())
