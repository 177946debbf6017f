"""Tells when the board begins to hold itself back, and when it does so no longer. Must run on Python 3.6.

Looked for on a thread of its own, since some sensors take their time; by the signs of `health/throttling.py`.
"""

import threading
from typing import List

from runners.edge.bell import Bell
from runners.edge.health.snapshot import Board, Snapshot
from runners.edge.health.throttling import signs
from runners.edge.program.view import Tell

PERIOD_S = 5.0
LOOKS = 4  # a sign counts for so many looks


class Heat:
    """Watches from its beginning on, which is what set clocks are compared with."""

    def __init__(self, tell: Tell, board: Board) -> None:
        self._tell, self._board, self._stopping = tell, board, Bell()
        self._first = board.snapshot()
        self._looks: List[Snapshot] = [self._first]
        self._is_throttled = self._is_over = False
        self._thread = threading.Thread(target=self._work, name="heat", daemon=True)

    def start(self) -> "Heat":
        """Look every few seconds."""
        self._thread.start()
        return self

    @property
    def is_throttled(self) -> bool:
        """Whether the board holds itself back now."""
        return self._is_throttled

    def look(self) -> None:
        """Look once, and tell what has changed."""
        self._looks = [*self._looks[1 - LOOKS :], self._board.snapshot()]
        first = self._first._replace(counters=self._looks[0].counters)
        found = signs([first, *self._looks])
        if bool(found) != self._is_throttled:
            self._is_throttled = bool(found)
            temperatures_c = self._looks[-1].temperatures_c
            if found:
                self._tell("throttled", signs=found, temperatures_c=temperatures_c)
            else:
                self._tell("throttled_no_more", temperatures_c=temperatures_c)

    def close(self) -> None:
        """Look no longer."""
        self._is_over = True
        self._stopping.ring()
        self._thread.join()

    def _work(self) -> None:
        while not self._is_over:
            self._stopping.wait(PERIOD_S)
            if not self._is_over:
                self.look()
