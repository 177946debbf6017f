"""The network with what it takes to ask it about regions of pictures: the bundle, the runtime, the cutting.

A bundle is the folder that was exported for one runtime: the model and `input.json`. Must run on Python 3.6.
"""

import os
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

from runners.contract import model_input
from runners.edge.backends import open_backend
from runners.edge.loop.regions import Box, Cropper
from runners.edge.program.costs import Costs

Region = Tuple[np.ndarray, Box]  # a picture (720, 1280, 3; uint8 BGR) and what of it


class Classifier:
    """Answers for up to `most` regions at once."""

    def __init__(self, bundle: str, most: int, device: str = "", threads: int = 0) -> None:
        """Load the network and let it calculate once, so that the first frame waits for nothing.

        Raises:
            Unusable: there is no such network, or it cannot run here.
        """
        self.threads = threads or len(os.sched_getaffinity(0))
        self._backend = open_backend(bundle, device, self.threads, most)
        wanted = model_input.read(os.path.join(bundle, model_input.NAME))
        self.classes: List[str] = wanted.classes
        self.temperature = 1.0
        self._crop = Cropper(wanted.size, wanted.mean, wanted.std, most)
        self._batch = np.zeros((most, 3, wanted.size, wanted.size), np.float32)
        self._backend.infer(self._batch)

    def __call__(self, regions: Sequence[Region], costs: Costs) -> np.ndarray:
        """The scores (N, K) of N regions, before softmax."""
        with costs.part("crop"):
            batch = self.cut(regions)
        with costs.part("classify"):
            return self.infer(batch)

    def cut(self, regions: Sequence[Region]) -> np.ndarray:
        """The regions as the network takes them, (N, 3, S, S), until the next call."""
        first = regions[0][0]
        if all(picture is first for picture, _ in regions):
            return self._crop(first, [box for _, box in regions])
        for (picture, box), room in zip(regions, self._batch):  # the cropper takes one picture at a time
            room[...] = self._crop(picture, [box])[0]
        return self._batch[: len(regions)]

    def infer(self, batch: np.ndarray) -> np.ndarray:
        """The scores (N, K) of a batch (N, 3, S, S)."""
        return np.asarray(self._backend.infer(batch))

    def facts(self) -> Dict[str, Any]:
        """The runtime, and the device that really calculates."""
        return dict(self._backend.facts())

    def close(self) -> None:
        """Let go of the network."""
        self._backend.close()
