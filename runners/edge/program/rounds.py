"""Which regions of the newest pictures are classified, and what becomes of the answers. Must run on Python 3.6."""

from collections import deque
from typing import Callable, Deque, List, NamedTuple, Optional, Sequence

import numpy as np

from runners.edge.capture.keeper import Cut, Keeper
from runners.edge.loop.regions import FRAME_HEIGHT, FRAME_WIDTH, Box
from runners.edge.program.classifier import Answer, Classifier
from runners.edge.program.costs import Costs
from runners.edge.program.view import View
from runners.edge.tracking.schedule import Schedule

# Where nothing moves: what is classified to fill a batch up to a wanted size.
STILL = [Box(x, FRAME_HEIGHT // 2, 60, 160) for x in range(FRAME_WIDTH // 5, FRAME_WIDTH, FRAME_WIDTH // 5)]


class Look(NamedTuple):
    """A region of a view's picture, and the number of the track that it shows alone, if any."""

    view: View
    box: Box
    track: Optional[int]
    time_s: float


class Asked(NamedTuple):
    """A batch (N, 3, S, S) that the network was asked about: what it shows, and what the keeper cut of the pictures."""

    looks: List[Look]
    batch: np.ndarray
    cuts: List[Optional[Cut]]


Choose = Callable[[Sequence[View]], List[Look]]


class Due:
    """Chooses the tracks that are due, of all cameras in turns."""

    def __init__(self, most: int) -> None:
        self._schedule = Schedule(most)

    def __call__(self, views: Sequence[View]) -> List[Look]:
        """Of views whose picture is new."""
        named = {view.name: view for view in views}
        now_s = max(view.time_s for view in views)
        chosen = self._schedule({name: view.waiting() for name, view in named.items()}, now_s)
        return [look_at(named[name], number) for name, number in chosen]


class Busiest:
    """Chooses always as many of one view: the largest boxes, filled up with still ones."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __call__(self, views: Sequence[View]) -> List[Look]:
        """Of the one view whose picture is new."""
        [view] = views
        numbers = {box: number for number, box in view.alone.items()}
        largest = sorted(view.boxes, key=lambda box: -box.area)
        return [Look(view, box, numbers.get(box), view.time_s) for box in (largest + STILL)[: self._count]]


class Rounds:
    """Asks the network about one batch after another, and hands its answers to the views, and to `keeper` if any.

    The next batch is cut while the network calculates one, so that no core waits for it.
    """

    def __init__(self, classifier: Classifier, choose: Choose, costs: Costs, keeper: Optional[Keeper] = None) -> None:
        self.regions = 0
        self._classifier, self._choose, self._costs, self._keeper = classifier, choose, costs, keeper
        self._asked: Deque[Asked] = deque()  # in the order in which they are answered

    @property
    def is_free(self) -> bool:
        """Whether the network can be asked."""
        return self._classifier.is_free

    @property
    def is_idle(self) -> bool:
        """Whether everything that the network was asked is answered."""
        return self._classifier.is_idle

    def take(self, classifier: Classifier) -> None:
        """Ask another network from now on. Only when idle."""
        self._classifier = classifier

    def ask(self, views: Sequence[View]) -> None:
        """Start a batch of regions of these views' pictures, if any is due. Only when free."""
        looks = self._choose(views) if views else []
        if not looks:
            return
        with self._costs.part("crop"):
            batch = self._classifier.cut([(look.view.picture, look.box) for look in looks])
        self._classifier.start(batch)
        cuts: List[Optional[Cut]] = []
        if self._keeper is not None:
            cuts = [self._keeper.cut(look.view.picture, look.box, look.view.boxes) for look in looks]
        for look in looks:
            if look.track is not None:
                look.view.asked.add(look.track)
        self._asked.append(Asked(looks, batch, cuts))
        self.regions += len(looks)

    def hear(self) -> None:
        """Take the answers that have come."""
        while self._asked:
            answer = self._classifier.answer()
            if answer is None:
                return
            self._learn(self._asked.popleft(), answer)

    def make_room(self) -> None:
        """Wait until the network can be asked."""
        while not self.is_free:
            self._learn(self._asked.popleft(), self._classifier.wait())

    def finish(self) -> None:
        """Wait for all answers."""
        while self._asked:
            self._learn(self._asked.popleft(), self._classifier.wait())

    def _learn(self, asked: Asked, answer: Answer) -> None:
        self._costs.took("classify", answer.wall_s)
        decided: List[Optional[int]] = []
        with self._costs.part("track"):
            for look, scores in zip(asked.looks, answer.scores):
                if look.track is None:
                    decided.append(None)
                else:
                    look.view.asked.discard(look.track)
                    decided.append(look.view.learn(look.track, look.box, scores, look.time_s))
        if self._keeper is not None:
            for look, cut, seen, scores, label in zip(asked.looks, asked.cuts, asked.batch, answer.scores, decided):
                if look.track is not None:
                    self._keeper.offer(look.view.name, look.track, cut, seen, scores, label)


def look_at(view: View, number: int) -> Look:
    """At a track in the view's picture."""
    return Look(view, view.alone[number], number, view.time_s)
