"""The models of a device's folder: the one that `current` leads to runs, and another takes its place between frames.

A new model is loaded beside the running one, on a thread of its own. One that cannot be loaded is told, and the running
one stays. Every few seconds `camera/state.json` says how it is, which is how the agent knows. Must run on Python 3.6.
"""

import fcntl
import json
import os
import re
import threading
import time
from collections import deque
from contextlib import suppress
from typing import Any, Callable, Deque, List, NamedTuple, Optional, Tuple

from runners.contract import bundle, camera_state, device_folder
from runners.contract.camera_state import CameraState
from runners.edge import durable, procfs
from runners.edge.backends.unusable import Unusable, in_one_line
from runners.edge.bell import Bell
from runners.edge.program.classifier import Classifier

LOOK_S = 0.5  # how often `current` is looked at
SAY_S, OVER_S = 2.0, 10.0  # how often the state is written, and over how long frames a second are counted
SLOT = re.compile("[0-9a-f]{%d}" % device_folder.SLOT_DIGITS)


class Progress(NamedTuple):
    """Frames that were looked at and dropped since the program's start."""

    frames: int
    dropped: int


class Models:
    """Of the device's folder `home`; `load` makes a classifier of a model's folder, and raises Unusable."""

    def __init__(self, home: str, load: Callable[[str], Classifier]) -> None:
        """Load the model that is to run, or where it will not be loaded, one that ran before.

        Raises:
            Unusable: there is none that can be loaded, or another program follows this folder.
        """
        self._home, self._load, self._boot = home, load, procfs.boot()
        self._tell: Callable[..., Any] = _nobody
        self._ask: Callable[[], Tuple[Progress, bool]] = lambda: (Progress(0, 0), False)
        self._refused, self._why = None, None  # type: Optional[str], Optional[str]
        self._lock, self._bell, self._is_over = threading.Lock(), Bell(), False
        self._loading: Optional[threading.Thread] = None
        self._waiting: Optional[Tuple[str, Classifier]] = None  # loaded, and not yet taken
        self._old: List[Classifier] = []  # to be let go of
        self._past: Deque[Tuple[float, int]] = deque()
        self._thread = threading.Thread(target=self._work, name="models", daemon=True)
        self.slot, self.classifier = self._first()
        try:
            self._claim = _claimed(home)
        except Unusable:
            self.classifier.close()
            raise

    @property
    def folder(self) -> str:
        """The running model's."""
        return self._folder(self.slot)

    def start(self, tell: Callable[..., Any], ask: Callable[[], Tuple[Progress, bool]]) -> "Models":
        """Follow `current` from now on. Events go to `tell`; `ask` says how far it is and whether it is throttled."""
        self._tell, self._ask = tell, ask
        if self._refused is not None:
            tell("model_refused", slot=self._refused, reason=self._why, runs=self.slot)
        self._thread.start()
        return self

    @property
    def has_fresh(self) -> bool:
        """Whether another classifier is to be asked, as soon as the one before has answered all that it was asked."""
        return self._waiting is not None

    def fresh(self) -> Optional[Classifier]:
        """Another classifier that is to be asked from now on, once. Only while the one before is idle."""
        if self._waiting is None:
            return None
        with self._lock:
            (slot, classifier), self._waiting = self._waiting, None
            self._old.append(self.classifier)
            was, self.slot, self.classifier = self.slot, slot, classifier
            self._refused = self._why = None
        self._tell("model_switched", slot=slot, was=was, version=self._version(slot), classes=classifier.classes)
        self._bell.ring()
        return classifier

    def stop(self) -> None:
        """Follow no longer; from then on nothing is told."""
        self._is_over = True
        self._bell.ring()
        self._thread.join()
        if self._loading is not None:
            self._loading.join()

    def close(self) -> None:
        """Let go of every model."""
        for classifier in [*self._old, self.classifier, *([self._waiting[1]] if self._waiting else [])]:
            classifier.close()
        if self._claim is not None:
            os.close(self._claim)

    def _first(self) -> Tuple[str, Classifier]:
        aim = self._aim()
        if aim is None:
            raise Unusable("{}: there is no model yet; the agent brings one".format(self._home))
        for slot in [aim, *self._others(aim)]:
            try:
                return slot, self._load(self._folder(slot))
            except Exception as error:  # of the runtime's own kinds, too
                if slot == aim:
                    self._refused, self._why = aim, in_one_line(error)
        raise Unusable(self._why or "")

    def _work(self) -> None:
        said_s, said = -SAY_S, None  # type: float, Any
        while not self._is_over:
            now_s = time.monotonic()
            self._look()
            if now_s - said_s >= SAY_S or said != (self.slot, self._refused):
                said_s, said = now_s, (self.slot, self._refused)
                with suppress(OSError):  # a full disk stops nothing
                    self._say(now_s)
            while self._old:
                with suppress(Exception):  # of the runtime's own kinds; another model runs by now
                    self._old.pop().close()
            self._bell.wait(LOOK_S)

    def _look(self) -> None:
        aim = self._aim()
        if aim == self.slot:
            self._refused = self._why = None  # it was taken back
        busy = self._loading is not None and self._loading.is_alive()
        if not busy and self._waiting is None and aim not in (None, self.slot, self._refused):
            self._loading = threading.Thread(target=self._bring, args=(aim,), name="model", daemon=True)
            self._loading.start()

    def _bring(self, slot: str) -> None:
        try:
            classifier = self._load(self._folder(slot))
        except Exception as error:  # of the runtime's own kinds, too
            self._refused, self._why = slot, in_one_line(error)
            self._tell("model_refused", slot=slot, reason=self._why, runs=self.slot)
            return
        with self._lock:
            if self._aim() == slot:
                self._waiting = (slot, classifier)
            else:
                self._old.append(classifier)  # taken back meanwhile

    def _say(self, now_s: float) -> None:
        progress, throttled = self._ask()
        self._past.append((now_s, progress.frames))
        while self._past[0][0] < now_s - OVER_S:
            self._past.popleft()
        then_s, frames = self._past[0]
        passed_s = now_s - then_s
        state = CameraState(
            self.slot, self._boot, now_s, progress.frames,
            round((progress.frames - frames) / passed_s, 3) if passed_s else 0.0, progress.dropped,
            self._refused, self._why, throttled=throttled,
        )  # fmt: skip
        path = os.path.join(self._home, device_folder.STATE)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        durable.write(path, json.dumps(camera_state.as_json(state)).encode("utf-8"), survives=False)

    def _aim(self) -> Optional[str]:
        try:
            return os.path.basename(os.readlink(os.path.join(self._home, device_folder.CURRENT)))
        except OSError:
            return None

    def _others(self, aim: str) -> List[str]:
        """The other slots, the oldest first: the newest may be one that the agent has not yet tried."""
        folder = os.path.join(self._home, device_folder.SLOTS)
        try:
            names = [name for name in os.listdir(folder) if SLOT.fullmatch(name) and name != aim]
        except OSError:
            return []
        return sorted(names, key=lambda name: os.stat(os.path.join(folder, name)).st_mtime)

    def _folder(self, slot: str) -> str:
        return os.path.join(self._home, device_folder.SLOTS, slot, bundle.MODEL)

    def _version(self, slot: str) -> Optional[str]:
        try:
            return bundle.read(os.path.join(os.path.dirname(self._folder(slot)), bundle.MANIFEST)).version
        except ValueError:
            return None


def _claimed(home: str) -> Optional[int]:
    """A lock that goes with the process, however it ends: two programs in one folder would each write the state, and
    the agent would take that for one that starts again and again. None where nothing can be written: it starts anyway.

    Raises:
        Unusable: another one holds it.
    """
    folder = os.path.join(home, device_folder.CAMERA)
    try:
        os.makedirs(folder, exist_ok=True)
        claim = os.open(os.path.join(folder, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError:
        return None
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(claim)
        raise Unusable("{}: another camera program runs with this folder; end it first".format(home)) from None
    return claim


def _nobody(_: str, **__: Any) -> None:
    """Before there is anybody to tell."""
