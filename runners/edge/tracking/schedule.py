"""Which regions go into the next batch, when several tracks of several cameras want to be looked at.

Of a camera's tracks the one that has been due for longest is served first (earliest deadline first, Liu and Layland
1973). A track that was looked at is due again later than now, and one that appears is due now, so nobody overtakes a
track that is overdue: where n tracks are due with it, n - 1 are served before it at most.

Cameras share a batch by start-time fair queueing (Goyal, Vin and Cheng 1996): the one served least comes first, and who
had nothing to classify joins at the level of the others. Two cameras that always have somebody waiting are never more
than one region apart. What a camera does not use goes to the others at once, and it cannot ask for it later. So with c
cameras busy a track that n others of its camera are due with waits for c * (n + 1) / SLOTS + 1 batches at most.
Must run on Python 3.6.
"""

from typing import Dict, List, Mapping, NamedTuple, Sequence, Tuple

SLOTS = 4  # regions in a batch


class Waiting(NamedTuple):
    """A track that is to be seen in its camera's newest frame, and since when it should be looked at."""

    track: int
    due_s: float


class Schedule:
    """Fills one batch after another. Memory is bounded by the number of cameras."""

    def __init__(self, slots: int = SLOTS) -> None:
        self.slots = slots
        self._served: Dict[str, int] = {}  # regions of each camera, those counted that it let pass
        self._level = 0

    def __call__(self, waiting: Mapping[str, Sequence[Waiting]], now_s: float) -> List[Tuple[str, int]]:
        """Up to `slots` pairs of camera and track for the next batch, of tracks that are due.

        `waiting` has the tracks of each camera whose newest frame was not classified yet. Who is not due is not looked
        at even where there is room: what is not calculated takes no energy.
        """
        queues: Dict[str, List[Waiting]] = {}
        for camera in sorted(waiting):
            due = [track for track in waiting[camera] if track.due_s <= now_s]
            if due:
                queues[camera] = sorted(due, key=lambda track: (-track.due_s, -track.track))  # next one last
        self._served = {camera: max(self._served.get(camera, 0), self._level) for camera in queues}
        chosen: List[Tuple[str, int]] = []
        while queues and len(chosen) < self.slots:
            camera = min(queues, key=lambda name: (self._served[name], name))
            self._level = self._served[camera]
            self._served[camera] += 1
            chosen.append((camera, queues[camera].pop().track))
            if not queues[camera]:
                del queues[camera]
        return chosen
