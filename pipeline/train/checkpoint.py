"""The last epoch that a training finished, from which it goes on after a kill."""

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from models import ModelSpec
from pipeline.data.dataset import Dataset
from pipeline.system import files
from pipeline.train import processes
from pipeline.train.settings import Training


@dataclass(frozen=True)
class Checkpoint:
    """A training's file, and the identity of the code that trains: the checkpoint of other code is never continued."""

    path: Path
    code: str

    def key(self, settings: Training, seed: int, spec: ModelSpec, dataset: Dataset, network: nn.Module) -> str:
        """Names everything that the training depends on."""
        start = hashlib.sha256(save({name: tensor.cpu() for name, tensor in state_of(network).items()})).hexdigest()
        parts = [
            settings.model_dump(),
            type(settings).__name__,
            seed,
            spec.name,
            spec.input_size,
            start,
            files.sha256(dataset.folder / "samples.csv"),
            self.code,
        ]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def read(self, key: str) -> dict[str, Any] | None:
        """What was kept under `key`; None where there is nothing, or nothing whole."""
        if not self.path.exists():
            return None
        try:
            saved: dict[str, Any] = torch.load(self.path, weights_only=True, map_location="cpu")
        except Exception:  # a damaged checkpoint only costs the epochs it held
            return None
        return saved if saved.get("key") == key else None

    def write(self, value: dict[str, Any]) -> None:
        """Keep what one process of the training knows."""
        if processes.is_main_process():
            buffer = io.BytesIO()
            torch.save(value, buffer)
            files.write_bytes(self.path, buffer.getvalue())

    def delete(self) -> None:
        """The training's outcome is kept elsewhere now."""
        self.path.unlink(missing_ok=True)


def state_of(network: nn.Module) -> dict[str, Tensor]:
    """A network's parameters and buffers as they are stored."""
    return {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
