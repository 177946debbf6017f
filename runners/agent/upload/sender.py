"""Sends on a thread of its own, beside whatever else the agent does, until it is closed or the process ends."""

import threading
import time
from typing import Callable, Optional

from runners.agent.upload.uploading import Uploads
from runners.edge.bell import Bell

LOOK_S = 5.0


class Sender:
    """`log` takes one line about each trouble, and one when it is over; from another thread."""

    def __init__(self, uploads: Uploads, log: Callable[[str], object]) -> None:
        self._uploads, self._log = uploads, log
        self._why: Optional[str] = None
        self._bell = Bell()
        self._thread = threading.Thread(target=self._work, name="uploads", daemon=True)

    def start(self) -> "Sender":
        """Begin."""
        self._thread.start()
        return self

    def close(self, patience_s: float = 2.0) -> None:
        """Begin nothing new. A pass that takes longer goes on until the process ends; what it loses is sent again."""
        self._bell.ring()
        self._thread.join(patience_s)

    def _work(self) -> None:
        while True:
            outcome = self._uploads.step(time.monotonic())
            if outcome is not None and outcome.why != self._why:
                self._log("upload: {}".format(outcome.why or "all is sent"))
                self._why = outcome.why
            if self._bell.wait(LOOK_S):
                return
