"""Labels that the pictures most like them contradict: candidates for a person to look at, never more.

Each picture is described by a network that was trained on ImageNet, and the pictures nearest to it vote for their
classes, the nearer the heavier. Where hardly any vote is for its own class, its label may be wrong. What looks wrong at
first sight has no vote at the second, so that wrong labels do not hold each other up. Classes that such a network
cannot tell apart give few candidates, whatever their labels: their votes are divided.
"""

from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

import models
from pipeline.data.images import Image
from runners.edge.loop.regions import normalise

NETWORK = "efficientnet-lite0"
SIZE = 128  # pixels: half of the network's own tells as much here, in a third of the time
NEIGHBOURS = 15
STEEPNESS = 10.0  # of a vote's weight, exp(STEEPNESS * (cosine - 1))
SUSPECT, OWN = 0.2, 0.05  # shares of the votes that are for a picture's own class, at first sight and in the end
BATCH = 16
AT_ONCE = 1 << 24  # pairs of pictures that are compared at once


class Doubt(NamedTuple):
    """A picture by its number, from 0, the class that its neighbours have instead, and its share of their votes."""

    number: int
    rather: str
    share: float


def describe(images: Iterable[Image], count: int) -> NDArray[np.float32]:
    """Features (N, F) of length 1 of `count` RGB images (SIZE, SIZE, 3) uint8, which are read a batch at a time.

    Raises:
        InputError: the network's weights cannot be fetched.
    """
    import torch

    spec, network = models.spec(NETWORK), models.build(NETWORK, models.registry.IMAGENET_CLASSES, pretrained=True)
    features = torch.nn.Sequential(network.get_submodule("features"), torch.nn.AdaptiveAvgPool2d(1)).eval()
    found = []
    with torch.inference_mode():
        waiting = iter(tqdm(images, total=count, desc="looking at labels", unit="image", disable=None))
        while batch_of := list(islice(waiting, BATCH)):
            batch = normalise(np.stack(batch_of), spec.mean, spec.std)
            found.append(features(torch.from_numpy(batch)).flatten(1).numpy())
    stacked = np.concatenate(found)
    unit: NDArray[np.float32] = stacked / np.linalg.norm(stacked, axis=1, keepdims=True).clip(1e-12)
    return unit


def find(features: NDArray[np.float32], labels: list[str], voters: int | None = None) -> list[Doubt]:
    """The pictures whose neighbours hardly ever have their class, by features (N, F) of length 1, the surest first.

    Only the first `voters` pictures vote, if so many are named: the labels of others are nobody's decision yet.
    """
    names, own = np.unique(labels, return_inverse=True)
    nearest, weights = _neighbours(features, features[:voters])

    def votes(weights: NDArray[np.float32]) -> NDArray[np.float64]:
        counted = [(weights * (own[nearest] == number)).sum(1) for number in range(len(names))]
        each = np.stack(counted, axis=1).astype(np.float64)
        shares: NDArray[np.float64] = each / each.sum(axis=1, keepdims=True).clip(1e-12)
        return shares

    everyone = np.arange(len(own))
    trusted = votes(weights)[everyone, own] > SUSPECT
    shares = votes(weights * trusted[nearest])
    rather = shares.argmax(axis=1)
    doubted = np.flatnonzero((shares[everyone, own] <= OWN) & (shares.max(axis=1, initial=0) > 0))
    doubts = [Doubt(int(one), str(names[rather[one]]), float(shares[one, rather[one]])) for one in doubted]
    return sorted(doubts, key=lambda doubt: -doubt.share)


def _neighbours(
    features: NDArray[np.float32], voters: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The voters nearest to each picture, of which they are the first, and the weights of their votes.

    Both are (N, NEIGHBOURS), or fewer.
    """
    count = max(min(NEIGHBOURS, len(voters) - 1), 0)
    nearest, weights = [], []
    step = max(1, AT_ONCE // max(len(voters), 1))
    for start in range(0, len(features), step):
        alike = features[start : start + step] @ voters.T
        rows = np.arange(min(len(alike), max(len(voters) - start, 0)))
        alike[rows, start + rows] = -np.inf  # nobody votes for itself
        nearest.append(np.argsort(-alike, axis=1)[:, :count])
        weights.append(np.exp(STEEPNESS * (np.take_along_axis(alike, nearest[-1], axis=1) - 1)))
    return np.concatenate(nearest), np.concatenate(weights)
