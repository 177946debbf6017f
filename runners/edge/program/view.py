"""What one camera sees: its newest picture, the boxes in it, who is in them, and what is known of each. Python 3.6."""

from typing import Any, Callable, Dict, List, Optional, Sequence, Set, Tuple

import numpy as np

from runners.edge.camera.slot import Frame
from runners.edge.loop.proposer import Proposer
from runners.edge.loop.regions import FRAME_HEIGHT, FRAME_WIDTH, Box, to_frame
from runners.edge.program.costs import Costs
from runners.edge.program.shown import Mark, Shown
from runners.edge.tracking.decision import Decision
from runners.edge.tracking.schedule import Waiting
from runners.edge.tracking.track import LOST_S
from runners.edge.tracking.tracker import Tracker

Tell = Callable[..., Any]  # takes an event's name and its facts


class Known:
    """A track: what is decided about it, and when it was seen."""

    def __init__(self, decision: Decision, now_s: float) -> None:
        self.decision = decision
        self.first_s = self.seen_s = now_s
        self.told: Optional[int] = None  # the last class that it was said to be


class View:
    """Follows what moves in front of one camera. Memory is bounded by who was there in the last seconds."""

    def __init__(self, name: str, classes: Sequence[str], temperature: float, costs: Costs, tell: Tell) -> None:
        self.name = name
        self.picture = np.zeros((FRAME_HEIGHT, FRAME_WIDTH, 3), np.uint8)
        self.time_s = 0.0
        self.boxes: List[Box] = []
        self.numbers: List[Tuple[int, ...]] = []  # of the tracks in each box
        self.alone: Dict[int, Box] = {}  # the tracks that have a box of their own
        self.asked: Set[int] = set()  # the tracks that the network is looking at
        self._classes, self._temperature, self._costs, self._tell = classes, temperature, costs, tell
        self._size: Tuple[int, ...] = ()
        self._bgr: Optional[np.ndarray] = None
        self._known: Dict[int, Known] = {}
        self._propose, self._track = Proposer(), Tracker()

    def see(self, frame: Frame, time_s: float) -> None:
        """Take a frame, which is looked at only during this call, as of `time_s`."""
        if frame.i420.shape != self._size:
            self._begin(frame.i420.shape)
        with self._costs.part("decode"):
            self._bgr = frame.bgr(self._bgr)
            self.picture = to_frame(self._bgr, self.picture)
        self.time_s = time_s
        with self._costs.part("propose"):
            self.boxes = self._propose(self.picture)
        with self._costs.part("track"):
            self.numbers = self._track(self.boxes, time_s, self.picture)
        self.alone = {inside[0]: box for inside, box in zip(self.numbers, self.boxes) if len(inside) == 1}
        for number in (number for inside in self.numbers for number in inside):
            if number not in self._known:
                decision = Decision(len(self._classes), time_s, self._temperature)
                self._known[number] = Known(decision, time_s)
            self._known[number].seen_s = time_s
        self._forget()

    def begin_model(self, classes: Sequence[str], temperature: float) -> None:
        """Another network answers from now on. Where it says the same things, what is believed of tracks stays."""
        if (list(classes), temperature) != (list(self._classes), self._temperature):
            self._classes, self._temperature = classes, temperature
            for known in self._known.values():
                known.decision, known.told = Decision(len(classes), self.time_s, temperature), None

    def waiting(self) -> List[Waiting]:
        """The tracks that can be looked at now, and since when each should be."""
        free = [number for number in self.alone if number not in self.asked]
        return [Waiting(number, self._known[number].decision.due_s) for number in free]

    def learn(self, number: int, box: Box, scores: np.ndarray, time_s: float) -> Optional[int]:
        """Take the scores (K,) of the region `box` of a track at `time_s`; what follows from them is told.

        The class that is decided for the track now, if any.
        """
        known = self._known.get(number)
        if known is None:  # gone while the network calculated
            return None
        answer, was = known.decision.look(scores, time_s), known.told
        if answer.label != was:
            facts, known.told = self._facts(number, known), answer.label
            if answer.label is not None:
                facts.update({"class": self._classes[answer.label], "confidence": round(answer.confidence, 4)})
            event = "track_undecided" if answer.label is None else "track_decided"
            self._tell(event, was=None if was is None else self._classes[was], box=list(box), **facts)
        return answer.label

    def shown(self) -> Shown:
        """A copy of the picture with what is known of everybody in it, for people to look at."""
        marks = [Mark(box, *self._caption(inside)) for box, inside in zip(self.boxes, self.numbers)]
        return Shown(self.picture.copy(), marks, self.time_s)

    def _caption(self, numbers: Tuple[int, ...]) -> Tuple[str, bool]:
        answers = [(number, self._known[number].decision.answer) for number in numbers]
        said = [
            str(number) if answer.label is None else "{} {}".format(number, self._classes[answer.label])
            for number, answer in answers
        ]
        return " + ".join(said), all(answer.label is not None for _, answer in answers)

    def _facts(self, number: int, known: Known) -> Dict[str, Any]:
        return {"camera": self.name, "track": number, "seen_for_s": round(known.seen_s - known.first_s, 3)}

    def _forget(self) -> None:
        """Drop who has been gone for so long that the tracker will not find them again."""
        gone = [number for number, known in self._known.items() if self.time_s - known.seen_s > LOST_S]
        for number in gone:
            known = self._known.pop(number)
            if known.told is not None:
                self._tell("track_gone", was=self._classes[known.told], **self._facts(number, known))

    def _begin(self, size: Tuple[int, ...]) -> None:
        """Frames have this size (3/2 H, W) from now on: another picture with another background."""
        self._size, self._bgr = size, None
        self.picture = np.zeros((FRAME_HEIGHT, FRAME_WIDTH, 3), np.uint8)
        self._propose, self._track = Proposer(), Tracker(picture_of(size[1], size[0] * 2 // 3), self._track.next)


def picture_of(width: int, height: int) -> Box:
    """Where `to_frame` puts an image of this size."""
    scale = min(FRAME_WIDTH / float(width), FRAME_HEIGHT / float(height))
    inner = round(width * scale), round(height * scale)
    return Box((FRAME_WIDTH - inner[0]) // 2, (FRAME_HEIGHT - inner[1]) // 2, inner[0], inner[1])
