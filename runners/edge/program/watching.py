"""The program itself: frames of all cameras in rounds, until somebody asks for the end or all files are over.

Must run on Python 3.6.
"""

import time
from typing import Any, Dict, List, Optional, Sequence

from runners.contract.loop_figures import LoopFigures
from runners.edge.bell import Bell
from runners.edge.camera.camera import Camera
from runners.edge.capture.keeper import Keeper
from runners.edge.procfs import age_s, peak_memory_mib
from runners.edge.program.classifier import Classifier
from runners.edge.program.costs import Costs
from runners.edge.program.drops import Drops
from runners.edge.program.model_switch import Models, Progress
from runners.edge.program.rounds import Due, Rounds
from runners.edge.program.stop import Stop
from runners.edge.program.view import Tell, View
from runners.edge.refused import Refused

LOOK_S = 0.5  # how often something else than a frame is looked for


class Watch:
    """Looks through `cameras` with one classifier, at most `most` regions at a time; `tell` takes what happens.

    The cameras, the classifier and `stop` ring `bell`. Onlookers are shown each view's picture after it was looked at;
    `keeper` is offered what the network answered about.
    """

    def __init__(
        self, cameras: Sequence[Camera], bell: Bell, stop: Stop, classifier: Classifier, most: int, tell: Tell,
        onlookers: Sequence[Any] = (), models: Optional[Models] = None, keeper: Optional[Keeper] = None,
    ) -> None:  # fmt: skip
        self._cameras, self._bell, self._stop, self._classifier, self._tell = cameras, bell, stop, classifier, tell
        self._onlookers, self._models, self._keeper = onlookers, models, keeper
        self._costs = Costs()
        self._views = [self._view(camera.name) for camera in cameras]
        self._drops = [Drops() for _ in cameras]
        self._rounds = Rounds(classifier, Due(most), self._costs, keeper)
        self._new: List[View] = []  # of whose newest picture nothing was classified yet
        self._frames = 0
        self._network_began_s = self._network_before_s = 0.0
        self._began_s = time.monotonic()
        self._start_s = age_s()

    def run(self, seconds: Optional[float] = None) -> str:
        """Rounds until `stop`, the end of all files or the time given; why it ended.

        Raises:
            Refused: of a file no frame at all could be read.
        """
        self._costs.begin()
        self._network_began_s = self._classifier.cpu_s
        self._began_s, self._start_s = time.monotonic(), age_s()
        while self._stop.why is None:
            left_s = LOOK_S if seconds is None else seconds - (time.monotonic() - self._began_s)
            if left_s <= 0:
                return "the time is over"
            self._bell.wait(min(left_s, LOOK_S))
            self._round()
            if all(camera.is_over for camera in self._cameras):
                self._tell_news()
                self._rounds.finish()
                return "all files are over"
        return self._stop.why

    def _round(self) -> None:
        self._rounds.hear()
        for camera, view in zip(self._cameras, self._views):
            frame = camera.newest()
            if frame is not None:
                view.see(frame, frame.monotonic_s)
                self._frames += 1
                for onlooker in self._onlookers:
                    onlooker.show(view)
                if view not in self._new:
                    self._new.append(view)
        self._tell_news()
        self._rounds.hear()
        if self._follow():
            self._rounds.ask(self._new)
            self._new = []

    def _follow(self) -> bool:
        """Go on with another model, if one has been loaded meanwhile; whether the network can be asked now."""
        if self._models is None or not self._models.has_fresh:
            return self._rounds.is_free
        if not self._rounds.is_idle:
            return False  # it is asked no more, so that it will be
        fresh = self._models.fresh()
        if fresh is None:
            return True
        if self._keeper is not None:
            self._keeper.model(self._models.folder, fresh.classes, fresh.temperature)
        self._network_before_s = self._network_s()
        self._classifier, self._network_began_s = fresh, fresh.cpu_s
        self._rounds.take(fresh)
        for view in self._views:
            view.begin_model(fresh.classes, fresh.temperature)
        return True

    def _network_s(self) -> float:
        """CPU time of the networks so far; a thread that ended has taken its own along."""
        return self._network_before_s + max(0.0, self._classifier.cpu_s - self._network_began_s)

    def _tell_news(self) -> None:
        now_s = time.monotonic()
        for camera, drops in zip(self._cameras, self._drops):
            for event, facts in camera.news():
                self._tell(event, **facts)
                if event == "camera_ended" and not camera.counts.received:
                    why = facts.get("reason", "it holds none")
                    raise Refused("{}: no frame of it can be read: {}".format(camera.source.shown, why))
            dropped = drops.news(camera.counts, now_s)
            if dropped is not None:
                self._tell("frames_dropped", camera=camera.name, **dropped)

    def _view(self, name: str) -> View:
        return View(name, self._classifier.classes, self._classifier.temperature, self._costs, self._tell)

    def figures(self) -> LoopFigures:
        """What it did so far; before the cameras are closed."""
        seconds = time.monotonic() - self._began_s
        spent = [camera.spent for camera in self._cameras]
        return LoopFigures(
            frames=self._frames,
            seconds=round(seconds, 4),
            fps=round(self._frames / seconds, 4) if self._frames else None,
            regions=self._rounds.regions,
            regions_a_frame=None,
            parts=self._costs.parts(
                self._frames,
                sum(one.cpu_s for one in spent),
                self._network_s(),
            ),
            classifier_p50_ms=None,
            classifier_p99_ms=None,
            regions_per_second=None,
            rounds_fps=[],
            rounds_classifier_ms=[],
            start_seconds=round(self._start_s, 3),
            peak_memory_mib=peak_memory_mib(),
            readers_memory_mib=round(sum(one.peak_memory_mib for one in spent), 1) or None,
            threads=self._classifier.threads,
            device=self._classifier.facts(),
            cameras=self.counts(),
        )

    def progress(self) -> Progress:
        """How many frames were looked at and dropped so far; from any thread."""
        return Progress(self._frames, sum(camera.counts.dropped for camera in self._cameras))

    def counts(self) -> Dict[str, Dict[str, int]]:
        """Of each camera."""
        return {camera.name: dict(camera.counts._asdict()) for camera in self._cameras}
