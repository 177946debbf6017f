"""Says that frames of a camera are dropped, soon after it begins and not too often. Python 3.6, standard library."""

from typing import Any, Dict, Optional

from runners.edge.camera.camera import Counts

AGAIN_S = 10.0  # at the earliest, after it was said


class Drops:
    """Of one camera."""

    def __init__(self) -> None:
        self._dropped = self._received = 0  # when it was last said
        self._said_s: Optional[float] = None

    def news(self, counts: Counts, now_s: float) -> Optional[Dict[str, Any]]:
        """The facts of the event that is due, if any."""
        if counts.dropped == self._dropped or (self._said_s is not None and now_s - self._said_s < AGAIN_S):
            return None
        facts = {"dropped": counts.dropped - self._dropped, "received": counts.received - self._received}
        self._dropped, self._received, self._said_s = counts.dropped, counts.received, now_s
        return facts
