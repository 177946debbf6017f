"""A camera, as the program sees it: the newest frame, what happened, and how many frames came.

One thread a camera: it sleeps in one system call a frame, outside Python's lock, so that cameras neither wait for each
other nor for the program.
"""

import threading
from collections import deque
from contextlib import suppress
from typing import Any, Deque, Dict, List, NamedTuple, Optional, Tuple

from runners.edge.bell import Bell
from runners.edge.camera import readers
from runners.edge.camera.reader import Reader, Spent
from runners.edge.camera.slot import Frame, Slot
from runners.edge.camera.source import FILE, Source
from runners.edge.camera.supervisor import Supervisor

PATIENCE_S = 5.0  # without a frame
MOST_NEWS = 1000

News = Tuple[str, Dict[str, Any]]


class Counts(NamedTuple):
    """Frames received whole, handed out and dropped for newer ones; broken ones; how often the camera was lost."""

    received: int
    delivered: int
    dropped: int
    damaged: int
    lost: int


class Camera:
    """Frames of one source, from its start until `close`. `newest` and `news` are for one thread of the program."""

    def __init__(
        self,
        source: Source,
        bell: Bell,
        *,
        name: Optional[str] = None,
        reader: Optional[str] = None,
        size: Optional[readers.Size] = None,
        every_frame: bool = False,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """Start reading; `bell` rings at each frame and each piece of news, and may be shared by several cameras.

        With `every_frame` a file waits for the program, and no frame is dropped. `size` is asked of a V4L2 camera; what
        others send is scaled to it.

        Raises:
            ValueError: this machine lacks what it takes; the message is one line.
        """
        if every_frame and source.kind != FILE:
            raise ValueError("{}: a camera does not wait; --every-frame is for files".format(source.shown))
        self.source, self.name = source, name or source.shown
        self.reader = readers.choose(source, reader)
        self._bell = bell
        self._news: Deque[News] = deque(maxlen=MOST_NEWS)
        self._slot = Slot(self.name, bell, every_frame)
        self._over = False
        program = readers.named(self.reader)

        def start() -> Reader:
            return Reader(lambda fd: program.command(source, size, every_frame, fd), program.SIZE)

        self._supervisor = Supervisor(source, start, self._slot, patience_s, self._tell)
        self._thread = threading.Thread(target=self._run, name="camera " + self.name, daemon=True)
        self._thread.start()

    def newest(self) -> Optional[Frame]:
        """The newest frame that was not handed out yet. It is valid until the next call."""
        return self._slot.take()

    def news(self) -> List[News]:
        """What happened since the last call: names of events and their facts, oldest first."""
        told = []
        with suppress(IndexError):
            while True:
                told.append(self._news.popleft())
        return told

    @property
    def is_over(self) -> bool:
        """Whether no frame will come any more: a file has ended and its last frame is taken, or it is closed."""
        return self._over and not self._slot.is_fresh

    @property
    def counts(self) -> Counts:
        """How many so far."""
        slot, supervisor = self._slot, self._supervisor
        return Counts(slot.received, slot.delivered, slot.dropped, supervisor.damaged, supervisor.lost)

    @property
    def spent(self) -> Spent:
        """What its reader, a process of its own, has taken so far."""
        return self._supervisor.spent

    def close(self) -> None:
        """End the reader and the thread."""
        self._supervisor.stop()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._supervisor.run()
        finally:
            self._over = True
            self._bell.ring()

    def _tell(self, event: str, **facts: Any) -> None:
        self._news.append((event, dict(facts, camera=self.name, reader=self.reader)))
        self._bell.ring()
