"""What one epoch sees: which regions, in which batches, changed at random how."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from pipeline.train import processes

Labels = NDArray[np.int64]


def draw(labels: Labels, samples: int, generator: torch.Generator) -> NDArray[np.int64]:
    """Indices of one epoch: every class equally likely, so that a rare one is learned as well as a common one."""
    weights = torch.from_numpy(1.0 / np.bincount(labels)[labels])
    return torch.multinomial(weights, min(samples, len(labels)), replacement=True, generator=generator).numpy()


def batches(order: NDArray[np.int64], size: int, description: str) -> Iterator[NDArray[np.int64]]:
    """This process's part of every batch; the last batch is dropped when it is too small for batch statistics."""
    starts = range(0, len(order), size)
    for start in tqdm(starts, desc=description, unit="batch", disable=True if processes.rank() else None):
        mine = processes.share_of(order[start : start + size])
        if len(mine) > 1:
            yield mine


@dataclass(frozen=True)
class Mixed:
    """Images (N, S, S, 3), each a blend of its own and of another of the batch, `partners` (N,), by `shares` (N,)."""

    images: Tensor
    partners: Tensor
    shares: Tensor


def mix(images: Tensor, generator: torch.Generator) -> Mixed:
    """Blend each image with another of the batch, its own share being half or more (Zhang et al. 2018, mixup,
    https://arxiv.org/abs/1710.09412).

    A few hundred regions of a few people are learned by heart in some epochs, and what a teacher answers on those alone
    says little of others. Blends are new each time, and a teacher's answers on them are right by definition (Beyer et
    al. 2022, Knowledge distillation: A good teacher is patient and consistent, https://arxiv.org/abs/2106.05237);
    labels of half a region are not, so without a teacher there is no blending.
    """
    shares = 0.5 + 0.5 * torch.rand(len(images), generator=generator)
    partners = torch.randperm(len(images), generator=generator)
    share = shares.reshape(-1, 1, 1, 1)
    return Mixed(share * images + (1 - share) * images[partners], partners, shares)


def unmixed(images: Tensor) -> Mixed:
    """Each image as it is."""
    return Mixed(images, torch.arange(len(images)), torch.ones(len(images)))


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
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
