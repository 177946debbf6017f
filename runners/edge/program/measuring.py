"""The program as fast as it can go on a file, with the network alone on the same cores in turns. Python 3.6.

The two take turns so that whatever else the machine does slows both.
"""

import time
from contextlib import ExitStack, contextmanager
from typing import Iterator, List, NamedTuple, Optional, Tuple

from runners.contract.loop_figures import LoopFigures
from runners.edge.backends.unusable import Unusable
from runners.edge.bell import Bell
from runners.edge.camera.camera import Counts
from runners.edge.camera.source import FILE, parse
from runners.edge.procfs import age_s, peak_memory_mib
from runners.edge.program.classifier import Classifier
from runners.edge.program.costs import Costs, milliseconds
from runners.edge.program.repeated import Repeated
from runners.edge.program.rounds import Busiest, Rounds
from runners.edge.program.view import View
from runners.edge.refused import Refused

ROUNDS = 5
ALONE = 0.4  # of a round's time is for the network alone
WARM_FRAMES = 20  # before anything is measured
RATE = 15.0  # frames a second that the file is taken to have: people move by so much from one to the next


class Alone(NamedTuple):
    """The network alone: the seconds that each batch took, asked one by one; and in how many seconds it answered how
    many when it always had the next."""

    taken_s: List[float]
    batches: int
    seconds: float


class Bench:
    """One camera's view of a file, and exactly `regions` regions of each frame."""

    def __init__(self, classifier: Classifier, frames: Repeated, regions: int) -> None:
        self.frames = 0
        self.network_alone_s = 0.0  # CPU time
        self.costs = Costs()
        self.classifier, self.source, self._choose = classifier, frames, Busiest(regions)
        self._rounds = Rounds(classifier, self._choose, self.costs)
        self._view = View("file", classifier.classes, classifier.temperature, self.costs, lambda event, **facts: None)

    def step(self) -> None:
        """Prepare one frame, while the network calculates the regions of those before."""
        self._view.see(self.source.frame(), self.source.received / RATE)
        self._rounds.make_room()
        self._rounds.ask([self._view])
        self.frames += 1

    def begin(self) -> None:
        """Count from now on."""
        self.frames = 0
        self.costs.begin()

    def loop(self, seconds: float) -> float:
        """Frames for so long, and at least one; how long it took."""
        began_s = time.monotonic()
        self.step()
        while time.monotonic() - began_s < seconds:
            self.step()
        self._rounds.finish()
        return time.monotonic() - began_s

    def alone(self, seconds: float) -> Alone:
        """The network alone, on a batch of the newest picture: half of the time one by one, then without a gap."""
        looks = self._choose([self._view])
        batch = self.classifier.cut([(look.view.picture, look.box) for look in looks])
        program_s, network_s = time.process_time(), self.classifier.cpu_s
        began_s, taken_s = time.monotonic(), []  # type: float, List[float]
        while not taken_s or time.monotonic() - began_s < seconds / 2:
            self.classifier.start(batch)
            taken_s.append(self.classifier.wait().wall_s)
        began_s, count = time.monotonic(), 0
        while not count or time.monotonic() - began_s < seconds / 2:
            while self.classifier.is_free:
                self.classifier.start(batch)
            self.classifier.wait()
            count += 1
        while not self.classifier.is_idle:
            self.classifier.wait()
            count += 1
        looped_s = time.monotonic() - began_s
        self.network_alone_s += self.classifier.cpu_s - network_s
        self.costs.leave_out(time.process_time() - program_s)
        return Alone(taken_s, count, looped_s)


def measure(
    bundle: str, address: str, regions: int, seconds: float, device: str, threads: int, reader: Optional[str]
) -> LoopFigures:
    """Measure for `seconds` with `regions` of each frame.

    Raises:
        Refused: the network or the file cannot be used; the message is one line.
    """
    with warm(bundle, address, regions, device, threads, reader) as (bench, start_s):
        return _measured(bench, regions, seconds, start_s, address)


@contextmanager
def warm(
    bundle: str, address: str, regions: int, device: str, threads: int, reader: Optional[str] = None
) -> Iterator[Tuple[Bench, float]]:
    """A bench on a file, behind its first frames, for the block; and how old the program was when the network was up.

    Raises:
        Refused: the network or the file cannot be used; the message is one line.
    """
    try:
        source = parse(address)
        if source.kind != FILE:
            raise Refused("{}: only a video file can be read as fast as the program goes".format(source.shown))
        classifier = Classifier(bundle, max(regions, 1), Bell(), device, threads)
    except (ValueError, Unusable) as error:
        raise Refused(str(error)) from error
    start_s = age_s()
    with ExitStack() as ending:
        ending.callback(classifier.close)
        frames = Repeated(source, reader)
        ending.callback(frames.close)
        bench = Bench(classifier, frames, regions)
        for _ in range(WARM_FRAMES):
            bench.step()
        bench.begin()
        yield bench, start_s


def _measured(bench: Bench, regions: int, seconds: float, start_s: float, name: str) -> LoopFigures:
    classifier, frames = bench.classifier, bench.source
    readers_s, network_s = frames.spent.cpu_s, classifier.cpu_s
    looped_s, counts, alone = [], [], []  # type: List[float], List[int], List[Alone]
    for _ in range(ROUNDS):
        so_far = bench.frames
        looped_s.append(bench.loop(seconds / ROUNDS * (1 - ALONE if regions else 1)))
        counts.append(bench.frames - so_far)
        if regions:
            alone.append(bench.alone(seconds / ROUNDS * ALONE))
    spent = frames.spent
    batches = [taken_s for of_round in alone for taken_s in of_round.taken_s]
    per_s = sum(one.batches for one in alone) / sum(one.seconds for one in alone) if alone else None
    return LoopFigures(
        frames=bench.frames,
        seconds=round(sum(looped_s), 4),
        fps=round(bench.frames / sum(looped_s), 4),
        regions=bench.frames * regions,
        regions_a_frame=regions,
        parts=bench.costs.parts(
            bench.frames, spent.cpu_s - readers_s, classifier.cpu_s - network_s - bench.network_alone_s
        ),
        classifier_p50_ms=milliseconds(batches, 0.5),
        classifier_p99_ms=milliseconds(batches, 0.99),
        regions_per_second=None if per_s is None else round(regions * per_s, 4),
        rounds_fps=[round(count / took_s, 4) for count, took_s in zip(counts, looped_s)],
        rounds_classifier_ms=[round(1000 * sum(one.taken_s) / len(one.taken_s), 4) for one in alone],
        start_seconds=round(start_s, 3),
        peak_memory_mib=peak_memory_mib(),
        readers_memory_mib=spent.peak_memory_mib or None,
        threads=classifier.threads,
        device=classifier.facts(),
        cameras={name: dict(Counts(frames.received, frames.received, 0, 0, 0)._asdict())},
    )
