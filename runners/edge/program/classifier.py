"""The network with what it takes to ask it about regions of pictures: the bundle, the runtime, the cutting.

A bundle is the folder that was exported for one runtime: the model and `input.json`. The network calculates on threads
of its own, so that the next frame can be looked at meanwhile. Must run on Python 3.6.
"""

import os
import queue
import threading
import time
from collections import deque
from typing import Any, Deque, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from runners.contract import model_input
from runners.edge import procfs
from runners.edge.backends import failure, open_backend
from runners.edge.backends.unusable import Unusable
from runners.edge.bell import Bell
from runners.edge.loop.regions import Box, Cropper
from runners.edge.refused import Failed

AHEAD = 2  # batches with the network at most: it goes on with the next at once, and what it is asked stays new
HUNG_S = 30.0  # no batch takes so long; a driver that hangs does
WARM = 3  # batches before the first frame, in which runtimes make their threads and buffers

Region = Tuple[np.ndarray, Box]  # a picture (720, 1280, 3; uint8 BGR) and what of it


class Answer(NamedTuple):
    """The scores (N, K) of a batch before softmax, and how long it took."""

    scores: np.ndarray
    wall_s: float


class Batch:
    """Regions (N, 3, S, S) that the network is asked about, and what came of it."""

    def __init__(self, regions: np.ndarray) -> None:
        self.regions, self.asked_s = regions, time.monotonic()
        self.found: Any = None  # scores and seconds, or what was raised
        self.done = False


class Classifier:
    """Answers for up to `most` regions at once, in the order asked; rings `bell` when there is an answer."""

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
        self._crop = Cropper(wanted.mean, wanted.std)
        # As many as are with the network, one after another.
        self._rooms = [np.zeros((most, 3, wanted.size, wanted.size), np.float32) for _ in range(AHEAD)]
        self._bell, self._done = bell, Bell()
        self._batches: "queue.Queue[Optional[Batch]]" = queue.Queue()  # to be calculated
        self._asked: Deque[Batch] = deque()  # whose answers were not taken yet
        self._is_warm = False  # a runtime may build something for minutes before its first answer
        self._threads = [
            threading.Thread(target=self._work, name="network", daemon=True) for _ in range(self._backend.at_once)
        ]
        try:
            # One after another: what OpenVINO's bindings make at the first batch, two threads may wait for without end.
            for thread in self._threads:
                thread.start()
                self.start(self._rooms[0])
                self.wait()
            for _ in range(WARM):
                for room in self._rooms:
                    self.start(room)
                for _ in self._rooms:
                    self.wait()
        except Failed as error:
            self.close()
            raise Unusable("{}: it loads, but {}".format(bundle, error)) from error
        self._is_warm = True
        self._network = sorted(set(procfs.threads()) - set(before))

    @property
    def is_free(self) -> bool:
        """Whether it can be asked about another batch."""
        return len(self._asked) < AHEAD

    @property
    def is_idle(self) -> bool:
        """Whether all that it was asked was answered."""
        return not self._asked

    def cut(self, regions: Sequence[Region]) -> np.ndarray:
        """The regions as the network takes them, (N, 3, S, S), until they are answered. Only when free."""
        room = self._rooms[0]
        for (picture, box), planes in zip(regions, room):
            self._crop(picture, box, planes)
        return room[: len(regions)]

    def start(self, batch: np.ndarray) -> None:
        """Let the network calculate; the batch (N, 3, S, S) must stay as it is until the answer. Only when free."""
        self._rooms.append(self._rooms.pop(0))
        self._asked.append(Batch(batch))
        self._batches.put(self._asked[-1])

    def answer(self) -> Optional[Answer]:
        """The next answer, if it has come. Only after `start`.

        Raises:
            Failed: the runtime stopped or hangs.
        """
        if not self._asked[0].done:
            if self._is_hung:
                raise Failed("the network has not answered for {:g} s".format(HUNG_S))
            return None
        found = self._asked.popleft().found
        if isinstance(found, Exception):
            raise failure(found) from found
        return Answer(*found)

    def wait(self) -> Answer:
        """The next answer, when it comes. Only after `start`.

        Raises:
            Failed: the runtime stopped or hangs.
        """
        while True:
            answer = self.answer()
            if answer is not None:
                return answer
            self._done.wait(1.0)

    @property
    def cpu_s(self) -> float:
        """CPU time that the network's threads have taken so far, in seconds."""
        return procfs.threads_cpu_s(self._network)

    def facts(self) -> Dict[str, Any]:
        """The runtime, and the device that really calculates."""
        return dict(self._backend.facts())

    def close(self) -> None:
        """Let go of the network, once what it calculates is done; one that hangs is left alone."""
        for _ in self._threads:
            self._batches.put(None)
        while self._is_working and not self._is_hung:
            time.sleep(0.005)
        if not self._is_working:
            self._backend.close()

    @property
    def _is_working(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    @property
    def _is_hung(self) -> bool:
        return self._is_warm and bool(self._asked) and time.monotonic() - self._asked[0].asked_s > HUNG_S

    def _work(self) -> None:
        while True:
            batch = self._batches.get()
            if batch is None:
                return
            began_s = time.monotonic()
            try:
                batch.found = (self._backend.infer(batch.regions), time.monotonic() - began_s)
            except Exception as error:  # of the runtime's own kinds; told where the answer is taken
                batch.found = error
            batch.done = True
            self._done.ring()
            self._bell.ring()
