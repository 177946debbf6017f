"""From a command line to a program that runs, and to its end in order. Must run on Python 3.6.

What can be wrong is found before a camera is opened: the network has calculated, and the first event is on the disk.
"""

import argparse
import json
import os
import shutil
import time
from contextlib import ExitStack, suppress
from typing import Any, Callable, List, Optional, Sequence

from runners.contract.loop_figures import LoopFigures, as_json
from runners.edge.aloud import say
from runners.edge.backends.unusable import Unusable
from runners.edge.bell import Bell
from runners.edge.camera import readers
from runners.edge.camera.camera import Camera
from runners.edge.camera.source import Source, parse
from runners.edge.capture import wanted
from runners.edge.capture.keeper import Keeper
from runners.edge.events.writer import Writer
from runners.edge.health.snapshot import Board
from runners.edge.program.classifier import Classifier
from runners.edge.program.heat import Heat
from runners.edge.program.live import Live
from runners.edge.program.model_switch import Models
from runners.edge.program.recorder import Recorder
from runners.edge.program.stop import Stop
from runners.edge.program.view import Tell
from runners.edge.program.watching import Watch
from runners.edge.refused import Refused

LEAST_ROOM = 1 << 20  # bytes free for events, else it does not start
FIRST_EVENT_S = 5.0  # until the first event must be on the disk


def watch(given: argparse.Namespace, acknowledged: Optional[Callable[[int], Any]] = None) -> LoopFigures:
    """Run the program that the command line describes, until its end; `acknowledged` is the events' (`Writer`).

    Raises:
        Refused: something that it needs is wrong, or an event could not be written in the end.
    """
    bell = Bell()

    def load(folder: str) -> Classifier:
        return Classifier(folder, given.regions, bell, given.device, given.threads)

    with Stop(bell) as stop, ExitStack() as ending:
        try:
            _check(given)
            sources = [parse(text) for text in given.source]
            size = readers.size_of(given.size) if given.size else None
            chosen = [readers.choose(source, given.reader) for source in sources]
            captures = wanted.read(given.capture) if given.capture else None
            if captures is not None and given.home:
                captures = captures._replace(home=given.home)
            models = Models(given.home, load) if given.home else None
            classifier = models.classifier if models else load(given.bundle)
            ending.callback(models.close if models else classifier.close)
            writer = _opened(given.events, acknowledged)
            ending.callback(_close, writer)
            keeper = None if captures is None else Keeper(captures, names(sources), writer.put)
            if keeper is not None:
                keeper.model(models.folder if models else given.bundle, classifier.classes, classifier.temperature)
                ending.callback(keeper.close)
        except (ValueError, Unusable) as error:
            raise Refused(str(error)) from error
        called, onlookers = names(sources), []  # type: List[str], List[Any]
        if given.live is not None:
            onlookers.append(Live(given.live, called))
            ending.callback(onlookers[-1].close)
        if given.record:
            onlookers.append(Recorder(given.record, called, writer.put))
            ending.callback(onlookers[-1].close)
        folder = models.folder if models else given.bundle
        _begin(writer, cameras=called, bundle=folder, classes=classifier.classes, **classifier.facts())
        heat = Heat(writer.put, Board()).start()
        ending.callback(heat.close)
        cameras: List[Camera] = []
        for source, name, reader in zip(sources, called, chosen):
            cameras.append(Camera(source, bell, name=name, reader=reader, size=size))
            ending.callback(cameras[-1].close)
        program = Watch(cameras, bell, stop, classifier, given.regions, _aloud(writer.put), onlookers, models, keeper)
        if models is not None:
            models.start(writer.put, lambda: (program.progress(), heat.is_throttled))
            ending.callback(models.stop)
        why = "a fault of its own"
        try:
            why = program.run(given.seconds)
        except Refused as refused:
            why = str(refused)
            raise
        finally:
            figures = program.figures()
            writer.put("stopped", why=why, frames=figures.frames, cameras=figures.cameras)
        if given.summary:
            _write(given.summary, figures)
    return figures


def names(sources: Sequence[Source]) -> List[str]:
    """What each camera is called: as it was named, and where that is the same twice, with a number."""
    found: List[str] = []
    for source in sources:
        same = sum(source.shown == other.shown for other in sources[: len(found)])
        found.append("{} ({})".format(source.shown, same + 1) if same else source.shown)
    return found


def _aloud(tell: Tell) -> Tell:
    """`tell`, and a line on standard error about a camera that is lost or back, for whoever looks into the journal."""

    def told(event: str, **facts: Any) -> None:
        tell(event, **facts)
        if event == "camera_lost":
            say("edge run: {}: lost, and tried again: {}".format(facts["camera"], facts["reason"]))
        elif event == "camera_back":
            say("edge run: {}: back after {:.1f} s".format(facts["camera"], facts["away_s"]))

    return told


def _check(given: argparse.Namespace) -> None:
    """Raise ValueError where the program would only fail later."""
    if given.seconds is not None and not given.seconds > 0:
        raise ValueError("--seconds {:g}: give more than 0".format(given.seconds))
    for file, what in ((given.summary, "summary"), (given.record, "video")):
        folder = os.path.dirname(os.path.abspath(file or ""))
        if file and (not os.access(folder, os.W_OK | os.X_OK) or os.path.isdir(file)):
            raise ValueError("{}: no {} can be written there".format(file, what))


def _write(file: str, figures: LoopFigures) -> None:
    """Write a summary, whole or not at all; raise Refused where it cannot be written."""
    beside = file + ".part"
    try:
        with open(beside, "w", encoding="utf-8") as stream:
            stream.write(json.dumps(as_json(figures), indent=2) + "\n")
        os.replace(beside, file)
    except OSError as error:
        with suppress(OSError):
            os.unlink(beside)
        raise Refused("{}: no summary can be written there: {}".format(file, error.strerror)) from error


def _opened(folder: str, acknowledged: Optional[Callable[[int], Any]]) -> Writer:
    """Raise ValueError where no events can be written."""
    try:
        os.makedirs(folder, exist_ok=True)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise ValueError("{}: no events can be written here: {}".format(folder, error.strerror)) from error
    if free < LEAST_ROOM:
        raise ValueError("{}: no events can be written here: the disk is full; make room".format(folder))
    return Writer(folder, acknowledged)


def _begin(writer: Writer, **facts: Any) -> None:
    """Tell that it starts, and wait until that is on the disk.

    Raises:
        Refused: it does not get there.
    """
    writer.put("started", **facts)
    deadline = time.monotonic() + FIRST_EVENT_S
    while not writer.counts.acknowledged:
        if writer.counts.failures or time.monotonic() > deadline:
            raise Refused("the first event cannot be written; see above, or the disk takes long")
        time.sleep(0.005)


def _close(writer: Writer) -> None:
    """Raise Refused where an event is not on the disk in the end."""
    writer.close()
    counts = writer.counts
    if counts.lost:
        raise Refused("{} of {} events were never written".format(counts.lost, counts.taken))
