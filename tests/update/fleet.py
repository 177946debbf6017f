"""Devices by the thousand that poll a static host: all that decides, without networks and clocks of their own.

A device asks about once an hour, takes what is signed for it when its turn has come, tries it, and reports. Everything
that decides is the real thing: the contract's places and times, the registry, and the rule of the rollout.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import numpy as np

from pipeline.release import publishing, rollout_step
from pipeline.release.fleet_reports import Fleet
from pipeline.release.release_settings import Phases
from pipeline.release.tuf_registry import Registry
from runners.contract import rollout
from runners.contract.bundle import NEXT
from runners.contract.device_status import DeviceStatus
from tests.update.conftest import START, TARGET, Signed

PATH = f"stable/{TARGET}"
POLL_S, JITTER = 3600, 0.1
STEP_S = 60  # of the simulation
LOOK_S = 3600  # how often the workflow looks
PER_POLL = 2  # requests: the next root, which is not there, and the timestamp
ON_CHANGE = 2  # snapshot and targets
SELF_TEST_S = 300

Works = Callable[[int], bool | None]  # whether the version works on a device; None where it never tells again


@dataclass
class Outcome:
    """What a day came to: `ever` is how many devices took the new version, `moments` when (in s) what was decided."""

    requests: int = 0
    bytes_sent: int = 0
    busiest_per_s: float = 0.0
    ever: int = 0
    running: int = 0
    moments: list[tuple[float, str]] = field(default_factory=list)
    all_s: float | None = None
    first_day: tuple[int, int] = (0, 0)  # requests, bytes


def simulate(signed: Signed, version: str, devices: int, works: Works, phases: Phases, hours: float) -> Outcome:
    """Let a fleet meet the rollout of a version that is in the registry already, as of START."""
    random = np.random.default_rng(0)
    names = [f"device-{number:06d}" for number in range(devices)]
    places = np.array([rollout.place(name, version) for name in names])
    due = _due(names, places, version, _registry(signed, 0).offers()[PATH + NEXT].rollout)
    polls = random.uniform(0, POLL_S, devices)
    seen = np.full(devices, -1)
    state = np.zeros(devices, np.int8)  # 0 the old version, 1 the new one, 2 gave it up, 3 silent
    reported = {name: _status(name, "v1.0.0") for name in names}
    waiting: list[tuple[float, int]] = []  # self-tests that are not over
    found, sizes, epoch = Outcome(), _sizes(signed), 0
    for now_s in range(0, int(hours * 3600), STEP_S):
        for when_s, index in [one for one in waiting if one[0] <= now_s]:
            outcome = works(index)
            state[index] = {True: 1, False: 2, None: 3}[outcome]
            if outcome is not None:
                reported[names[index]] = _status(names[index], version, outcome, when_s)
        waiting = [one for one in waiting if one[0] > now_s]
        asking = np.flatnonzero(polls <= now_s)
        changed = seen[asking] != epoch
        taking = [index for index in asking if state[index] == 0 and due[index] <= now_s]
        back = [index for index in asking if state[index] in (1, 2) and due[index] == np.inf]
        requests = PER_POLL * len(asking) + ON_CHANGE * int(changed.sum()) + len(taking)
        found.requests += requests
        found.busiest_per_s = max(found.busiest_per_s, requests / STEP_S)
        found.bytes_sent += sizes["timestamp"] * len(asking) + sizes["changed"] * int(changed.sum())
        found.bytes_sent += sizes["bundle"] * len(taking)
        seen[asking] = epoch
        found.ever += len(taking)
        for index in taking:
            state[index] = 4  # trying
            waiting.append((now_s + SELF_TEST_S, index))
        state[back] = 2
        polls[asking] = now_s + POLL_S * random.uniform(1 - JITTER, 1 + JITTER, len(asking))
        if now_s and now_s % LOOK_S == 0:
            registry = _registry(signed, now_s)
            offers = registry.offers()
            if PATH + NEXT in offers:
                [one] = rollout_step.decide(registry, signed.online_key, Fleet(reported, 0), phases)
                if one.decision in ("promote", "halt"):
                    found.moments.append((now_s, f"{one.decision} {one.percent}"))
                    epoch += 1
                    offer = registry.offers().get(PATH + NEXT)
                    if offer is not None:
                        due = _due(names, places, version, offer.rollout)
                    else:
                        ended = registry.offers()[PATH].version == version
                        due = np.zeros(devices) if ended else np.full(devices, np.inf)
        if now_s == 24 * 3600:
            found.first_day = found.requests, found.bytes_sent
        if found.all_s is None and (state == 1).all():
            found.all_s = now_s
    found.running = int((state == 1).sum())
    return found


def start(signed: Signed, old: Path, new: Path, phases: Phases) -> None:
    """Everybody runs `old`, and `new` begins its first step, as of START."""
    publishing.publish(Registry(signed.folder, START), signed.online_key, old, phases)
    publishing.publish(Registry(signed.folder, START), signed.online_key, new, phases)


def first_step(devices: int, version: str, phases: Phases) -> int:
    """How many devices are in the first step that has any."""
    places = [rollout.place(f"device-{number:06d}", version) for number in range(devices)]
    counts = (sum(place < percent for place in places) for percent in phases.steps)
    return next(count for count in counts if count)


def _registry(signed: Signed, now_s: float) -> Registry:
    return Registry(signed.folder, START + timedelta(seconds=now_s))


def _due(names: list[str], places: np.ndarray, version: str, given: rollout.Rollout) -> np.ndarray:
    """When each device may have it, in seconds since START."""
    start_s, due = START.timestamp(), np.full(len(names), np.inf)
    for index in np.flatnonzero(places < given.percent):
        due[index] = rollout.due_s(given, names[index], version) - start_s
    return due


def _status(name: str, version: str, works: bool = True, now_s: float = 0) -> DeviceStatus:
    time_s = START.timestamp() + now_s
    if works:
        return DeviceStatus(name, TARGET, "1", time_s, "running", version, self_test="pass")
    return DeviceStatus(
        name, TARGET, "1", time_s, "rolled_back", "v1.0.0", self_test="pass", failed=version, reason="self-test"
    )


def _sizes(signed: Signed) -> dict[str, int]:
    """Bytes of what is served, as it lies in the registry."""
    metadata = signed.folder / "metadata"
    registry = signed.at(START)
    bundle = registry.targets().signed.targets[PATH + NEXT].length
    newest = registry.timestamp().signed.snapshot_meta.version
    changed = [metadata / f"{newest}.snapshot.json", max(metadata.glob("*.targets.json"), key=_number)]
    return {
        "timestamp": (metadata / "timestamp.json").stat().st_size,
        "changed": sum(path.stat().st_size for path in changed),
        "bundle": bundle,
    }


def _number(path: Path) -> int:
    return int(path.name.split(".")[0])


def hours(moment: float | None) -> str:
    """A time of the simulation for people."""
    return "never" if moment is None else f"{moment / 3600:.1f} h"
