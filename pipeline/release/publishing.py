"""Changing what devices are offered: a new version beside the old one, its next step, its end, and the way back."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import TargetFile

from pipeline.release.bundling import Built, listed
from pipeline.release.release_settings import Phases
from pipeline.release.tuf_registry import Registry, base_of, offer_of, target_of
from pipeline.system.errors import InputError, Refused
from runners.contract.bundle import NEXT, Offer
from runners.contract.records import is_name
from runners.contract.rollout import Rollout

Targets = dict[str, TargetFile]


def publish(
    registry: Registry, key: CryptoSigner, folder: Path, phases: Phases, channel: str | None = None
) -> list[str]:
    """Offer the bundles of a release's folder, each to the first step of the devices; what was done, in sentences.

    Where a channel has nothing for a target yet, its first bundle is for everybody. Publishing the same again changes
    nothing.

    Raises:
        InputError: the folder is no whole release, another version is being rolled out, or the version was published
            with other bytes.
    """
    named, bundles = listed(folder)
    channel = channel or named
    if not is_name(channel):
        raise InputError(f"the channel {channel!r} is not taken: use letters, digits and -_.+")
    done = []
    with registry.changing(key) as targets:
        _check_new(registry, bundles)
        for one in bundles:
            path = f"{channel}/{one.offer.target}"
            if path + NEXT in targets and not _is(targets[path + NEXT], one.sha256):
                version = offer_of(targets[path + NEXT]).version
                raise Refused(f"{path}: {version} is being rolled out; promote it to all or roll it back first")
        for one in bundles:  # all or none, so after every check
            offer, path = one.offer, f"{channel}/{one.offer.target}"
            registry.put(folder / one.file_name, registry.file(offer, one.sha256), one.sha256)
            registry.put(folder / "evidence" / f"{offer.target}.json", registry.evidence(offer), offer.evidence)
            if any(_is(targets.get(name), one.sha256) for name in (path, path + NEXT)):
                done.append(f"{path}: {offer.version} is published already")
            elif path in targets:
                rollout = _step(registry, phases.steps[0], phases)
                targets[path + NEXT] = target_of(offer._replace(rollout=rollout), path + NEXT, one.length, one.sha256)
                done.append(f"{path}: {offer.version} for {rollout.percent} % of the devices")
            else:
                targets[path] = target_of(offer, path, one.length, one.sha256)
                done.append(f"{path}: {offer.version} for everybody, as the first one")
    return done


def promote(
    registry: Registry, key: CryptoSigner, phases: Phases, paths: Sequence[str], *, to_all: bool = False
) -> list[str]:
    """Go to the next step of what is rolled out at `paths`; after the last one, or `to_all`, it is what everybody runs.

    Raises:
        InputError: nothing is rolled out there.
    """
    with registry.changing(key) as targets:
        return [step_on(registry, targets, phases, path, to_all=to_all) for path in paths]


def roll_back(registry: Registry, key: CryptoSigner, paths: Sequence[str], to: str | None = None) -> list[str]:
    """Take back what is rolled out at `paths`; or, with a version `to`, offer to everybody what was offered before.

    Raises:
        InputError: nothing is rolled out there, or that version never was offered there.
    """
    done = []
    with registry.changing(key) as targets:
        for path in paths:
            taken = targets.pop(path + NEXT, None)
            if to is None and taken is None:
                raise InputError(f"{path}: nothing is being rolled out; name the version to go back to, by --to")
            if taken is not None:
                done.append(f"{path}: {offer_of(taken).version} is taken back")
            if to is not None:
                found = _earlier(registry, path, to)
                targets[path] = found
                done.append(f"{path}: {to} for everybody again")
    return done


def rolled_out(registry: Registry, channel: str | None = None, target: str | None = None) -> list[str]:
    """The paths `CHANNEL/TARGET` beside which something is rolled out, of one channel or target where one is named."""
    return [base_of(path) for path in _paths(registry.offers(), channel, target) if path.endswith(NEXT)]


def offered(registry: Registry, channel: str | None = None, target: str | None = None) -> list[str]:
    """All paths `CHANNEL/TARGET`."""
    return sorted({base_of(path) for path in _paths(registry.offers(), channel, target)})


def _paths(offers: dict[str, Offer], channel: str | None, target: str | None) -> Iterator[str]:
    for path in offers:
        of, _, name = base_of(path).partition("/")
        if channel in (None, of) and target in (None, name):
            yield path


def step_on(registry: Registry, targets: Targets, phases: Phases, path: str, *, to_all: bool = False) -> str:
    """The same in the `targets` that are being changed; what was done, in a sentence."""
    if path + NEXT not in targets:
        raise InputError(f"{path}: nothing is being rolled out")
    coming = targets[path + NEXT]
    offer = offer_of(coming)
    step = phases.after(offer.rollout.percent if offer.rollout else 100)
    if to_all or step is None:
        del targets[path + NEXT]
        targets[path] = _offering(coming, path, offer._replace(rollout=None))
        return f"{path}: {offer.version} is what everybody runs"
    targets[path + NEXT] = _offering(coming, path + NEXT, offer._replace(rollout=_step(registry, step, phases)))
    return f"{path}: {offer.version} for {step} % of the devices"


def _step(registry: Registry, percent: int, phases: Phases) -> Rollout:
    return Rollout(percent, int(registry.now.timestamp()), phases.hours)


def _offering(target: TargetFile, path: str, offer: Offer) -> TargetFile:
    return target_of(offer, path, target.length, target.hashes["sha256"])


def _earlier(registry: Registry, path: str, version: str) -> TargetFile:
    found = [registry.targets().signed.targets, *registry.past()]
    for targets in found:
        for name in (path, path + NEXT):
            if name in targets and offer_of(targets[name]).version == version:
                return _offering(targets[name], path, offer_of(targets[name])._replace(rollout=None))
    known = sorted({offer_of(targets[path]).version for targets in found if path in targets})
    raise InputError(f"{path}: {version} was never offered; there were {', '.join(known) or 'none'}")


def _check_new(registry: Registry, bundles: Sequence[Built]) -> None:
    """A version is given once for a target, in whatever channel it was ever offered."""
    for targets in (registry.targets().signed.targets, *registry.past()):
        given = {(offer_of(found).target, offer_of(found).version): found for found in targets.values()}
        for one in bundles:
            there = given.get((one.offer.target, one.offer.version))
            if there is not None and not _is(there, one.sha256):
                named = f"{one.offer.target}: {one.offer.version}"
                raise Refused(f"{named} was published with other bytes; a version is given once, take a new one")


def _is(target: TargetFile | None, sha256: str) -> bool:
    return target is not None and target.hashes.get("sha256") == sha256
