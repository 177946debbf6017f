"""One round: the newest frames of some cameras, and one batch of regions of them. Must run on Python 3.6."""

from typing import Dict, List, Optional, Sequence, Tuple

from runners.edge.loop.regions import FRAME_HEIGHT, FRAME_WIDTH, Box
from runners.edge.program.classifier import Classifier
from runners.edge.program.costs import Costs
from runners.edge.program.view import View
from runners.edge.tracking.schedule import Schedule

# Where nothing moves: what is classified to fill a batch up to a wanted size.
STILL = [Box(x, FRAME_HEIGHT // 2, 60, 160) for x in range(FRAME_WIDTH // 5, FRAME_WIDTH, FRAME_WIDTH // 5)]

Look = Tuple[View, Box, Optional[int]]  # a region, and the number of the track that it shows alone, if any


class Due:
    """Chooses the tracks that are due, of all cameras in turns."""

    def __init__(self, most: int) -> None:
        self._schedule = Schedule(most)

    def __call__(self, views: Sequence[View]) -> List[Look]:
        """Of views with a new picture."""
        named: Dict[str, View] = {view.name: view for view in views}
        now_s = max(view.time_s for view in views)
        chosen = self._schedule({name: view.waiting() for name, view in named.items()}, now_s)
        return [(named[name], named[name].alone[number], number) for name, number in chosen]


class Busiest:
    """Chooses always as many: the largest boxes, filled up with still ones."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __call__(self, views: Sequence[View]) -> List[Look]:
        """Of views with a new picture."""
        looks: List[Look] = []
        for view in views:
            numbers = {box: number for number, box in view.alone.items()}
            looks += [(view, box, numbers.get(box)) for box in sorted(view.boxes, key=lambda box: -box.area)]
        looks += [(views[0], box, None) for box in STILL]
        return looks[: self._count]


def classify(looks: Sequence[Look], classifier: Classifier, costs: Costs) -> None:
    """Ask the network about regions; what it says of a track goes to its view."""
    if not looks:
        return
    scores = classifier([(view.picture, box) for view, box, _ in looks], costs)
    with costs.part("track"):
        for (view, _, number), row in zip(looks, scores):
            if number is not None:
                view.learn(number, row)
