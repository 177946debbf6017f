"""What takes long and is kept: of a training the last epoch, from which it goes on after a kill, and the newest ends.

A recipe that begins like another one is trained and calibrated once: what follows is all that differs.
"""

import hashlib
import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from models import ModelSpec
from pipeline.data.dataset import Dataset
from pipeline.system import files
from pipeline.system.versions import versions
from pipeline.train import processes
from pipeline.train.distillation import Teacher
from pipeline.train.reproducible import arithmetic
from pipeline.train.settings import Training

NEWEST = 8  # that are kept: what shares a training follows soon, and files of a VGG are large


@dataclass
class Checkpoints:
    """A folder of what is kept, and the identity of the code that makes it: what other code made is never taken.

    A file's name is a hash of all that its content depends on, and `used` are those of this stage.
    """

    folder: Path
    code: str
    used: list[Path] = field(default_factory=list)

    def key(
        self,
        settings: Training,
        seed: int,
        spec: ModelSpec,
        dataset: Dataset,
        network: nn.Module,
        teacher: Teacher | None = None,
    ) -> str:
        """Names everything that a training depends on."""
        return self.name(
            settings.model_dump(),
            type(settings).__name__,
            seed,
            spec.name,
            spec.input_size,
            _hash(network),
            _hash(teacher.network) if teacher else None,
            files.sha256(dataset.folder / "samples.csv"),
            processes.count(),
            next(network.parameters()).device.type,
            versions("torch"),
        )

    def name(self, *parts: Any) -> str:
        """A key for what depends on these `parts`, on the code, and on how this machine rounds."""
        # A sum of many parts is rounded by how it is divided: over threads, over processes, over a GPU.
        known = [*parts, self.code, arithmetic(), torch.get_num_threads()]
        return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()

    def read(self, key: str) -> dict[str, Any] | None:
        """What was kept under `key`; None where there is nothing, or nothing whole."""
        path = self._path(key)
        if not path.exists():
            return None
        try:
            saved: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
        except Exception:  # a damaged file only costs the epochs it held
            return None
        return saved if saved.get("key") == key else None

    def write(self, key: str, value: dict[str, Any]) -> None:
        """Keep what one process of a training knows, and forget the oldest of the others."""
        if not processes.is_main_process():
            return
        buffer = io.BytesIO()
        torch.save({"key": key, **value}, buffer)
        files.write_bytes(self._path(key), buffer.getvalue())
        kept = sorted(self.folder.glob("*.pt"), key=_age, reverse=True)
        for path in kept[NEWEST:]:
            path.unlink(missing_ok=True)

    def delete(self) -> None:
        """What this stage trained is kept elsewhere now, and nothing else begins with it."""
        for path in self.used:
            path.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        path = self.folder / f"{key[:16]}.pt"
        if path not in self.used:
            self.used.append(path)
        return path


def state_of(network: nn.Module) -> dict[str, Tensor]:
    """A network's parameters and buffers as they are stored."""
    return {name: tensor.contiguous() for name, tensor in network.state_dict().items()}


def _hash(network: nn.Module) -> str:
    """Of its values, and of its layers' own words: what they do with the values is in no tensor."""
    values = save({name: tensor.cpu() for name, tensor in state_of(network).items()})
    return hashlib.sha256(values + str(network).encode()).hexdigest()


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # another process forgot it meanwhile
        return 0.0
