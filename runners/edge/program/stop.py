"""SIGTERM and SIGINT ask for an end in order. Python 3.6 and the standard library."""

import signal
from typing import Any, Dict, Optional

from runners.edge.bell import Bell


class Stop:
    """`why` is None until somebody asks; then `bell` rings. From entering to leaving, on the main thread."""

    def __init__(self, bell: Bell) -> None:
        self.why: Optional[str] = None
        self._bell = bell
        self._before: Dict[int, Any] = {}

    def ask(self, why: str) -> None:
        """End soon; the first reason counts."""
        self.why = self.why or why
        self._bell.ring()

    def __enter__(self) -> "Stop":
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, self._signalled)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _signalled(self, number: int, _: Any) -> None:
        self.ask(signal.Signals(number).name)
