"""Which regions of the newest pictures are classified, and what becomes of the answers. Must run on Python 3.6."""

from typing import Callable, List, NamedTuple, Optional, Sequence

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
    """Asks the network about one batch after another, and hands its answers to the views, and to `keeper` if any."""

    def __init__(self, classifier: Classifier, choose: Choose, costs: Costs, keeper: Optional[Keeper] = None) -> None:
        self.regions = 0
        self._classifier, self._choose, self._costs, self._keeper = classifier, choose, costs, keeper
        self._asked: List[Look] = []
        self._batch = np.zeros((0, 3, 1, 1), np.float32)
        self._cuts: List[Optional[Cut]] = []  # as the pictures were then

    @property
    def is_free(self) -> bool:
        """Whether the network can be asked."""
        return not self._classifier.is_busy

    def take(self, classifier: Classifier) -> None:
        """Ask another network from now on. Only when free."""
        self._classifier = classifier

    def ask(self, views: Sequence[View]) -> None:
        """Start a batch of regions of these views' pictures, if any is due. Only when free."""
        self._asked = self._choose(views) if views else []
        if self._asked:
            with self._costs.part("crop"):
                self._batch = self._classifier.cut([(look.view.picture, look.box) for look in self._asked])
            self._classifier.start(self._batch)
            if self._keeper is not None:
                self._cuts = [self._keeper.cut(look.view.picture, look.box, look.view.boxes) for look in self._asked]
            self.regions += len(self._asked)

    def hear(self, wait: bool = False) -> None:
        """Take the answer, if it has come."""
        if not self.is_free:
            answer = self._classifier.wait() if wait else self._classifier.answer()
            if answer is not None:
                self._learn(answer)

    def _learn(self, answer: Answer) -> None:
        self._costs.took("classify", answer.wall_s)
        decided: List[Optional[int]] = []
        with self._costs.part("track"):
            for look, scores in zip(self._asked, answer.scores):
                label = None if look.track is None else look.view.learn(look.track, look.box, scores, look.time_s)
                decided.append(label)
        if self._keeper is not None:
            for look, cut, seen, scores, label in zip(self._asked, self._cuts, self._batch, answer.scores, decided):
                if look.track is not None:
                    self._keeper.offer(look.view.name, look.track, cut, seen, scores, label)


def look_at(view: View, number: int) -> Look:
    """At a track in the view's picture."""
    return Look(view, view.alone[number], number, view.time_s)
