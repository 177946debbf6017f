"""When the agent looks for updates, and what follows from what it finds: one look, or again and again."""

import random
import time
from typing import NamedTuple

from runners.agent.troubles import Rejected, Unavailable, Untrusted, WrongClock
from runners.agent.updating import Device, log
from runners.edge.bell import Bell

LOOK_S = 5.0  # how often a trial is looked at
WAKE_S = 60.0  # how often it looks what somebody did by hand, and whether a day has begun
MOST_BACKOFF = 4  # times the interval, where the host is not there or not to be trusted
JITTER = 0.2  # of the interval, so that a fleet that got power at once does not ask at once
SET_S = 60.0  # a clock that moves by more was set
FINE, REFUSED, NOT_NOW = 0, 1, 3


class Looked(NamedTuple):
    """What came of a look for updates: an exit status, and one line."""

    status: int
    said: str


def look(device: Device) -> Looked:
    """Look for updates once; take one that is wanted. Within `device.alone()`."""
    try:
        found = _look(device)
    except Untrusted as error:
        device.note("refused: {}".format(error), tell=True)
        return Looked(REFUSED, str(error))
    except Rejected as error:
        device.note(None)
        return Looked(REFUSED, str(error))
    except WrongClock as error:
        device.note(str(error), tell=True)
        return Looked(NOT_NOW, str(error))
    except Unavailable as error:
        device.note("not there: {}".format(error))
        return Looked(NOT_NOW, str(error))
    device.note(None, tell=True)
    return found


def _look(device: Device) -> Looked:
    if device.state.trial is not None and device.state.trial.by_hand:
        return Looked(FINE, "{} is on trial until somebody confirms it".format(device.state.trial.version))
    try:
        offers = device.offers()
    except Unavailable:
        device.trusted.check_clock()  # no certificate is valid in 1970
        raise
    device.trusted.check_clock()
    signed = device.wanted(offers)
    if signed is None:
        return Looked(FINE, "nothing is signed for {} in {}".format(device.config.target, device.config.channel))
    version = signed.offer.version
    given_up = device.why_not(signed)
    if device.is_running(signed) or given_up is not None:
        device.make_room()  # a power cut may have brought back what was deleted
    if device.is_running(signed):
        return Looked(FINE, "{} is {}".format(version, "on trial" if device.state.trial is not None else "up to date"))
    if given_up is not None:
        return Looked(REFUSED, "{} was tried and given up: {}".format(version, given_up))
    later = device.why_later()
    if later is not None:
        return Looked(FINE, "{} waits: {}".format(version, later))
    device.take(signed)
    return Looked(FINE, "{} is on trial".format(version))


class Poller:
    """Looks for updates until `bell` rings, and after trials meanwhile."""

    def __init__(self, device: Device, bell: Bell) -> None:
        self._device, self._bell = device, bell
        self._backoff, self._said, self._offset_s = 1, "", _offset_s()
        self._next_s = time.monotonic() + random.uniform(0, 0.1) * self._interval_s

    def run(self) -> None:
        """Until the bell rings."""
        while True:
            least_s = LOOK_S / 5
            try:
                with self._device.alone():
                    self._step()
            except (Unavailable, OSError) as error:  # somebody installs by hand, or the disk is full
                self._say(str(error))
                least_s = WAKE_S
            wait_s = min(self._next_s - time.monotonic(), WAKE_S if self._device.state.trial is None else LOOK_S)
            if self._bell.wait(max(wait_s, least_s)):
                return

    def _step(self) -> None:
        judged = self._device.watch()
        if judged is not None and judged.good is None:
            self._say("on trial: {}".format(judged.why))
        self._device.check_numerics()
        if time.monotonic() >= self._next_s or self._clock_was_set:
            self._offset_s = _offset_s()
            self._backoff = min(2 * self._backoff, MOST_BACKOFF)
            try:
                found = look(self._device)
                self._backoff = self._backoff if found.status else 1
            finally:  # also where the disk is full
                spread = random.uniform(1 - JITTER / 2, 1 + JITTER / 2)
                self._next_s = time.monotonic() + self._interval_s * self._backoff * spread
            self._say(found.said)
        self._device.tell_daily()

    @property
    def _clock_was_set(self) -> bool:
        """Since a look that came to nothing, perhaps for want of the right time: the next one need not wait."""
        return self._backoff > 1 and abs(_offset_s() - self._offset_s) > SET_S

    @property
    def _interval_s(self) -> float:
        return self._device.config.interval_minutes * 60

    def _say(self, what: str) -> None:
        if what != self._said:
            log(what)
        self._said = what


def _offset_s() -> float:
    return time.time() - time.monotonic()
