"""Whether a rollout goes on, waits or is taken back, by what the devices of its step report.

Only devices whose turn it is count: a name has its place (runners/contract/rollout.py), so whoever writes to the inbox
cannot vote with names of his choice for long. What nobody reported is never a success; a liar can stop a rollout, and
not carry one on by himself. Frames a second count only where somebody set `slow_percent`: a camera that sends fewer of
them than were promised looks like a device that is too slow.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import TargetFile

from pipeline.records.gates import Verdict, worst
from pipeline.release import promised
from pipeline.release.fleet_reports import Fleet
from pipeline.release.publishing import step_on
from pipeline.release.release_settings import Phases
from pipeline.release.tuf_registry import Registry, base_of, offer_of
from runners.contract.bundle import NEXT, Offer
from runners.contract.device_status import DeviceStatus
from runners.contract.rollout import place

ALIVE = timedelta(days=2)  # devices report once a day
SLOW = 0.9  # of the frames a second that were promised; slower by a tenth is what cameras and clocks differ by

Decision = Literal["promote", "wait", "hold", "halt"]
# A step that has its time is well; one that its devices left without an answer is not measured.
VERDICTS: dict[Decision, Verdict] = {"promote": "pass", "wait": "pass", "hold": "not_measured", "halt": "fail"}


@dataclass(frozen=True)
class Standing:
    """Where a rollout stands: of the `due` devices that are known, how many run the version and how many gave it up."""

    path: str
    version: str
    percent: int
    due: int
    passed: int
    failed: int
    decision: Decision
    why: str

    @property
    def sentence(self) -> str:
        """The same for people."""
        return (
            f"{self.path}: {self.version} at {self.percent} %: {self.decision}: {self.why} "
            f"({self.passed} pass, {self.failed} fail, {self.due} due)"
        )


def standing(
    path: str, offer: Offer, fleet: Fleet, phases: Phases, now_s: float, promised_fps: float | None = None
) -> Standing:
    """Judge what is rolled out at the path `CHANNEL/TARGET` at a time, in seconds since 1970.

    `promised_fps` is None where nobody knows what was promised.
    """
    assert offer.rollout is not None
    due = [status for status in _due(path, offer, fleet) if _counts(status, offer.version, now_s)]
    failed = sum(_failed(status, offer.version) for status in due)
    running = [status for status in due if _passed(status, offer.version)]
    decision, why = _decision(offer, phases, len(fleet.devices), len(due), len(running), failed, now_s)
    if phases.slow_percent is not None and decision != "halt":
        rates = [rate for status in running if (rate := status.fps or 0) > 0]  # of 0: no frames come
        by_speed = _speed(rates, promised_fps, phases.slow_percent, min(phases.least_devices, len(due)))
        if by_speed[0] == "halt" or decision == "promote":
            decision, why = by_speed[0], by_speed[1] or why
    return Standing(path, offer.version, offer.rollout.percent, len(due), len(running), failed, decision, why)


def decide(
    registry: Registry, key: CryptoSigner | None, fleet: Fleet, phases: Phases, channel: str | None = None
) -> list[Standing]:
    """Judge every rollout, and with a key go to its next step or take it back.

    Raises:
        InputError: the registry cannot be read, or the key is not its own.
    """
    if key is None:
        return _standings(registry, registry.targets().signed.targets, fleet, phases, channel)
    with registry.changing(key) as targets:  # nobody else can go a step on meanwhile
        found = _standings(registry, targets, fleet, phases, channel)
        for one in found:
            if one.decision == "promote":
                step_on(registry, targets, phases, one.path)
            elif one.decision == "halt":
                del targets[one.path + NEXT]
    return found


def _standings(
    registry: Registry, targets: Mapping[str, TargetFile], fleet: Fleet, phases: Phases, channel: str | None
) -> list[Standing]:
    offers = {path: offer_of(target) for path, target in sorted(targets.items()) if path.endswith(NEXT)}
    return [
        standing(base_of(path), offer, fleet, phases, registry.now.timestamp(), promised.frames_per_s(registry, offer))
        for path, offer in offers.items()
        if offer.rollout and channel in (None, path.split("/")[0])
    ]


def verdict(found: list[Standing]) -> Verdict:
    """The worst of all; nothing rolled out is nothing wrong."""
    return worst(VERDICTS[one.decision] for one in found) if found else "pass"


def _due(path: str, offer: Offer, fleet: Fleet) -> Iterator[DeviceStatus]:
    """The devices of this target and channel whose turn it is."""
    assert offer.rollout is not None
    channel = path.split("/")[0]
    for status in fleet.devices.values():
        follows = status.target == offer.target and status.channel in (None, channel)
        if follows and place(status.device, offer.version) < offer.rollout.percent:
            yield status


def _counts(status: DeviceStatus, version: str, now_s: float) -> bool:
    """Whether a device says something of the version, or is there to be waited for."""
    alive = abs(now_s - status.time_s) <= ALIVE.total_seconds()
    return alive or _passed(status, version) or _failed(status, version)


def _passed(status: DeviceStatus, version: str) -> bool:
    return status.version == version and status.state == "running" and status.self_test == "pass"


def _failed(status: DeviceStatus, version: str) -> bool:
    return status.failed == version or (status.version == version and status.self_test == "fail")


def _speed(rates: Sequence[float], promised_fps: float | None, most_percent: float, least: int) -> tuple[Decision, str]:
    """What follows from the frames a second that devices told, and why; '' where it goes on."""
    if promised_fps is None:
        return "hold", "nobody knows the frames/s that were promised: its evidence is not in the registry"
    if len(rates) < least:
        return "hold", f"{least} devices that run it have to tell their frames/s"
    slow = sum(rate < SLOW * promised_fps for rate in rates)
    if 100 * slow > most_percent * len(rates):
        return "halt", f"{slow} of {len(rates)} that told have less than {SLOW:.0%} of {promised_fps:g} frames/s"
    return "promote", ""


def _decision(
    offer: Offer, phases: Phases, known: int, due: int, passed: int, failed: int, now_s: float
) -> tuple[Decision, str]:
    assert offer.rollout is not None
    if failed and 100 * failed > phases.failed_percent * (failed + passed):
        return "halt", f"more than {phases.failed_percent:g} % of those that told gave it up"
    left_s = offer.rollout.start_s + 3600 * offer.rollout.hours - now_s
    if left_s > 0:
        return "wait", f"the step has {left_s / 3600:.1f} h left"
    if not known:
        return "hold", "no device has reported anything"
    if not due:
        return "promote", "no device that is known is in this step"
    if passed < min(phases.least_devices, due):
        return "hold", f"{min(phases.least_devices, due)} devices have to run it with a passed self-test"
    if 100 * passed < phases.reported_percent * due:
        return "hold", f"less than {phases.reported_percent:g} % of the devices run it with a passed self-test"
    return "promote", "the step's time has passed, and its devices run it"
