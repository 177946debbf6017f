"""The network with what it takes to ask it about regions of pictures: the bundle, the runtime, the cutting.

A bundle is the folder that was exported for one runtime: the model and `input.json`. The network calculates on threads
of its own, so that the next frame can be looked at meanwhile. Must run on Python 3.6.
"""

import os
import queue
import threading
import time
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from runners.contract import model_input
from runners.edge import procfs
from runners.edge.backends import open_backend
from runners.edge.backends.unusable import Unusable, in_one_line
from runners.edge.bell import Bell
from runners.edge.loop.regions import Box, Cropper

HUNG_S = 30.0  # no batch takes so long; a driver that hangs does
WARM = 3  # batches before the first frame, in which runtimes make their threads and buffers

Region = Tuple[np.ndarray, Box]  # a picture (720, 1280, 3; uint8 BGR) and what of it


class Answer(NamedTuple):
    """The scores (N, K) of a batch before softmax, and how long it took."""

    scores: np.ndarray
    wall_s: float


class Classifier:
    """Answers for up to `most` regions at once, one batch at a time; rings `bell` when there is an answer."""

    def __init__(self, bundle: str, most: int, bell: Bell, device: str = "", threads: int = 0) -> None:
        """Load the network and let it calculate.

        Raises:
            Unusable: there is no such network, or it cannot run here.
        """
        before = procfs.threads()
        self.threads = threads or len(os.sched_getaffinity(0))
        self._backend = open_backend(bundle, device, self.threads, most)
        wanted = model_input.read(os.path.join(bundle, model_input.NAME))
        self.classes: List[str] = wanted.classes
        self.temperature = wanted.temperature
        self.is_busy, self._asked_s = False, 0.0
        self._crop = Cropper(wanted.size, wanted.mean, wanted.std, most)
        self._room = np.zeros((most, 3, wanted.size, wanted.size), np.float32)
        self._bell = bell
        self._batches: "queue.Queue[Optional[np.ndarray]]" = queue.Queue()
        self._answers: "queue.Queue[Any]" = queue.Queue()
        self._thread = threading.Thread(target=self._work, name="network", daemon=True)
        self._thread.start()
        try:
            for _ in range(WARM):
                self.start(self._room)
                self.wait()
        except Exception as error:  # of the runtime's own kinds
            self.close()
            raise Unusable("{}: it loads, but cannot calculate: {}".format(bundle, in_one_line(error))) from error
        self._network = sorted(set(procfs.threads()) - set(before))

    def cut(self, regions: Sequence[Region]) -> np.ndarray:
        """The regions as the network takes them, (N, 3, S, S), until the next call."""
        first = regions[0][0]
        if all(picture is first for picture, _ in regions):
            return self._crop(first, [box for _, box in regions])
        for (picture, box), room in zip(regions, self._room):  # the cropper takes one picture at a time
            room[...] = self._crop(picture, [box])[0]
        return self._room[: len(regions)]

    def start(self, batch: np.ndarray) -> None:
        """Let the network calculate; the batch (N, 3, S, S) must stay as it is until the answer. Not while busy."""
        self.is_busy, self._asked_s = True, time.monotonic()
        self._batches.put(batch)

    def answer(self) -> Optional[Answer]:
        """The answer, if it has come and was not taken.

        Raises:
            Exception: whatever stopped the runtime, or that it hangs.
        """
        found = self._taken(block=False)
        if self._is_hung:
            raise RuntimeError("the network has not answered for {:g} s".format(HUNG_S))
        return found

    def wait(self) -> Answer:
        """The answer, when it comes. Only after `start`."""
        found = self._taken(block=True)
        assert found is not None
        return found

    @property
    def cpu_s(self) -> float:
        """CPU time that the network's threads have taken so far, in seconds."""
        return procfs.threads_cpu_s(self._network)

    def facts(self) -> Dict[str, Any]:
        """The runtime, and the device that really calculates."""
        return dict(self._backend.facts())

    def close(self) -> None:
        """Let go of the network, once what it calculates is done; one that hangs is left alone."""
        self._batches.put(None)
        while self._thread.is_alive() and not self._is_hung:
            time.sleep(0.005)
        if not self._thread.is_alive():
            self._backend.close()

    @property
    def _is_hung(self) -> bool:
        return self.is_busy and time.monotonic() - self._asked_s > HUNG_S

    def _taken(self, block: bool) -> Optional[Answer]:
        try:
            found = self._answers.get(block)
        except queue.Empty:
            return None
        self.is_busy = False
        if isinstance(found, Exception):
            raise found
        return Answer(*found)

    def _work(self) -> None:
        while True:
            batch = self._batches.get()
            if batch is None:
                return
            began_s = time.monotonic()
            try:
                found: Any = (self._backend.infer(batch), time.monotonic() - began_s)  # brackets: Python 3.6
            except Exception as error:  # of the runtime's own kinds; told where the answer is taken
                found = error
            self._answers.put(found)
            self._bell.ring()
