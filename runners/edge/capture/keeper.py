"""Chooses and keeps captures beside the camera program. Must run on Python 3.6.

The program's thread copies the regions that it asks the network about and judges by their answers; hashing, encoding
and writing are done on a thread of its own. Where that cannot follow, or the disk is full, captures are dropped and
counted, and the program does not wait.
"""

import os
import random
import re
import threading
import time
from collections import OrderedDict, deque
from typing import Any, Callable, Deque, List, NamedTuple, Optional, Sequence, Tuple

import cv2
import numpy as np

from runners.contract import bundle, device_folder
from runners.contract.capture_facts import MOST_PICTURE_BYTES, MOST_SIDE, Capture
from runners.edge.aloud import say
from runners.edge.bell import Bell
from runners.edge.capture.allowance import Allowance
from runners.edge.capture.dhash import Remembered, dhash
from runners.edge.capture.drifting import Drift, reference
from runners.edge.capture.heads import blur
from runners.edge.capture.reasons import reasons
from runners.edge.capture.spool import Spool
from runners.edge.capture.wanted import Wanted
from runners.edge.loop import regions
from runners.edge.loop.regions import Box
from runners.edge.tracking.reading import probabilities

WAITING = 8  # captures; more would be memory, and the disk will not catch up
MOST_OF_A_TRACK = 3  # they show the same person
MOST_TRACKS = 1000
DRIFT_LOOKS = 8  # of a track: one person who stays says nothing of drift
TIDY_S = 5.0
AFTER_FAILURE_S = 60.0  # nothing is captured after the disk refused one
SMALLEST = 16  # pixels: nobody can tell what a smaller region shows

Tell = Callable[..., Any]  # takes an event's name and its facts


class Cut(NamedTuple):
    """A copy of a region (H, H, 3; uint8 BGR), and the boxes of all that moves, in its pixels."""

    region: np.ndarray
    boxes: List[Box]


class Chosen(NamedTuple):
    """What the other thread is handed."""

    cut: Cut
    facts: Capture


class KeeperCounts(NamedTuple):
    """Beside the spool's: dropped since others were waiting or the caps were reached by them, alike to an earlier one,
    and failed."""

    busy: int = 0
    alike: int = 0
    failed: int = 0


class Keeper:
    """Captures of one run of the program; `tell` takes its events, from any thread."""

    def __init__(self, wanted: Wanted, cameras: Sequence[str], tell: Tell, spool: Optional[Spool] = None) -> None:
        """Open the spool.

        Raises:
            ValueError: no captures can be kept there; the message is one line.
        """
        self._wanted, self._tell = wanted, tell
        self._spool = spool or Spool(wanted.home, wanted.spool_mib << 20)
        self._allowance = Allowance(os.path.join(wanted.home, device_folder.CAPTURED), wanted)
        self._remembered = Remembered(self._spool.hashes())
        self._named = {name: _named(index, name) for index, name in enumerate(cameras)}
        self._run = os.urandom(4).hex()
        self._draw = random.SystemRandom().random
        self._version: Optional[str] = None
        self._classes: Sequence[str] = ()
        self._temperature = 1.0
        self._drift: Optional[Drift] = None
        self._tracks: "OrderedDict[Tuple[str, int], List[int]]" = OrderedDict()  # looks at each, captures of each
        self._counts, self._lock = KeeperCounts(), threading.Lock()
        self._failing_until_s: Optional[float] = None
        self._waiting: Deque[Chosen] = deque()
        self._bell, self._is_over = Bell(), False
        self._thread = threading.Thread(target=self._work, name="captures", daemon=True)
        self._thread.start()

    def model(self, folder: str, classes: Sequence[str], temperature: float) -> None:
        """Answers come from the model in this folder from now on; what a bundle has lies beside it."""
        slot = os.path.dirname(os.path.realpath(folder))
        self._classes, self._temperature = classes, temperature
        expected = reference(os.path.join(slot, bundle.REGIONS), folder)
        self._drift = None if expected is None else Drift(expected)
        try:
            self._version = bundle.read(os.path.join(slot, bundle.MANIFEST)).version
        except ValueError:
            self._version = None

    def cut(self, picture: np.ndarray, box: Box, boxes: Sequence[Box]) -> Optional[Cut]:
        """Copy the region `box` of a picture in which all these boxes are; None where nothing may be captured now."""
        if min(box.w, box.h) < SMALLEST or not self._allowance.is_open or self._is_failing():
            return None
        region = np.array(regions.cut(picture, box))
        side = len(region)
        left, top = box.x + box.w // 2 - side // 2, box.y + box.h // 2 - side // 2
        return Cut(region, [Box(one.x - left, one.y - top, one.w, one.h) for one in boxes])

    def offer(
        self, camera: str, track: int, cut: Optional[Cut], seen: np.ndarray, scores: np.ndarray, decided: Optional[int]
    ) -> None:
        """Take a track's region, as the network saw it (3, S, S), and its scores (K,), if it is worth learning from.

        `decided` is the class that is decided for the track after it, if any.
        """
        looks = self._looks(camera, track)
        looks[0] += 1
        drifts = self._drift is not None and looks[0] <= DRIFT_LOOKS and self._drift.look(camera, seen)
        if cut is None or looks[1] >= MOST_OF_A_TRACK or not np.isfinite(scores).all():
            return
        found = probabilities(scores, self._temperature)
        drawn = self._draw() < self._wanted.random_share
        for reason in reasons(found, decided, drifts, self._wanted.unsure_margin, drawn):
            if self._allowance.allows(reason):
                looks[1] += 1
                self._hand_over(Chosen(cut, self._facts(camera, track, reason, found)))
                return

    def close(self) -> None:
        """Write what waits, and tell the counts."""
        self._is_over = True
        self._bell.ring()
        self._thread.join()
        self._spool.close()
        self._tell("captures_ended", **dict(self._spool.counts._asdict(), **self._counts._asdict()))

    def _looks(self, camera: str, track: int) -> List[int]:
        looks = self._tracks.setdefault((camera, track), [0, 0])
        self._tracks.move_to_end((camera, track))
        if len(self._tracks) > MOST_TRACKS:
            self._tracks.popitem(last=False)
        return looks

    def _facts(self, camera: str, track: int, reason: str, found: np.ndarray) -> Capture:
        """Those that are known before the picture is encoded."""
        name = self._named[camera]
        return Capture(
            id="", device=self._wanted.device, camera=name, group="{}.{}.{}".format(self._run, name, track),
            time_s=round(time.time(), 3), reason=reason, version=self._version,
            answer={one: round(float(value), 5) for one, value in zip(self._classes, found)},
            width=0, height=0, sha256="", dhash="",
        )  # fmt: skip

    def _hand_over(self, chosen: Chosen) -> None:
        if len(self._waiting) >= WAITING:
            self._count("busy")
            return
        self._waiting.append(chosen)
        self._bell.ring()

    def _count(self, name: str) -> None:
        with self._lock:  # both threads count
            self._counts = self._counts._replace(**{name: getattr(self._counts, name) + 1})

    def _is_failing(self) -> bool:
        until_s = self._failing_until_s
        return until_s is not None and time.monotonic() < until_s

    def _work(self) -> None:
        while True:
            is_over = self._is_over  # what was handed over before that is still written
            while self._waiting:
                self._take(self._waiting.popleft())
            try:
                self._spool.forget()
                self._allowance.tick()
            except OSError as error:
                self._failed(error)
            if is_over:
                return
            self._bell.wait(TIDY_S)

    def _take(self, chosen: Chosen) -> None:
        if self._is_failing() or not self._allowance.allows(chosen.facts.reason):
            self._count("busy")
            return
        region, boxes = chosen.cut
        if self._wanted.blur_heads:
            blur(region, boxes)
        if len(region) > MOST_SIDE:
            region = cv2.resize(region, (MOST_SIDE, MOST_SIDE), interpolation=cv2.INTER_AREA)
        found = dhash(region)
        if self._remembered.knows(found):
            self._count("alike")
            return
        try:
            self._allowance.take(chosen.facts.reason)
            facts = chosen.facts._replace(width=region.shape[1], height=region.shape[0], dhash=found)
            kept = self._spool.keep(facts, _png(region))
        except OSError as error:
            self._failed(error)
            return
        self._remembered.add(found)
        if self._failing_until_s is not None:
            self._failing_until_s = None
            self._tell("captures_kept_again")
        self._tell("captured", id=kept, camera=facts.camera, group=facts.group, reason=facts.reason)

    def _failed(self, error: OSError) -> None:
        self._count("failed")
        if self._failing_until_s is None:
            said = "{}: no captures can be kept: {}".format(self._spool.folder, error.strerror)
            say(said)
            self._tell("captures_failed", reason=error.strerror)
        self._failing_until_s = time.monotonic() + AFTER_FAILURE_S


def _named(index: int, name: str) -> str:
    """A camera's name in captures: its number, and the file's or device's; a stream's address may hold a password."""
    last = "stream" if "://" in name else re.sub(r"[^\w.+-]+", "-", os.path.basename(name), flags=re.ASCII)
    return "{}-{}".format(index + 1, last[:40])


def _png(region: np.ndarray) -> bytes:
    """Raise OSError where it is too large to be taken anywhere."""
    coded, content = cv2.imencode(".png", region)
    if not coded or len(content) > MOST_PICTURE_BYTES:
        raise OSError(27, "a picture could not be encoded, or is too large")
    return bytes(content)
