"""Unpacked bundles, and the link that says which one is to run. A slot appears whole, or not at all."""

import os
import shutil
from typing import Dict, Iterable, Optional

from runners.agent.retrieval import sha256_of
from runners.agent.troubles import Rejected, Unavailable
from runners.agent.trusted_metadata import Signed
from runners.contract import bundle, device_folder, model_input, records
from runners.edge import durable
from runners.edge.update.unpack import PackError, unpack

REQUIRED = {bundle.PACKED, bundle.REGIONS, bundle.SCORES, bundle.EVIDENCE}
UNPACKING = ".new-"
MOST_EVIDENCE = 8 << 20


class Slots:
    """Of one device's folder."""

    def __init__(self, home: str) -> None:
        self._home, self._folder = home, os.path.join(home, device_folder.SLOTS)
        self._link = os.path.join(home, device_folder.CURRENT)

    def path(self, slot: str) -> str:
        """Where it lies."""
        return os.path.join(self._folder, slot)

    @property
    def current(self) -> Optional[str]:
        """The slot that is to run, if there is a whole one."""
        try:
            slot = os.path.basename(os.readlink(self._link))
        except OSError:
            return None
        return slot if self.manifest(slot) is not None else None

    def manifest(self, slot: Optional[str]) -> Optional[bundle.Manifest]:
        """What is in a slot; None where there is no such slot."""
        if not slot:
            return None
        try:
            return bundle.read(os.path.join(self.path(slot), bundle.MANIFEST))
        except ValueError:
            return None

    def unpacked(self, file: str, signed: Signed) -> str:
        """The slot of a bundle that has the length and the hash that were signed; it is unpacked if it is not there.

        Raises:
            Rejected: it is no bundle, holds something else than was signed, or its evidence does not say `pass`.
            Unavailable: there is no room for it.
        """
        slot = os.path.basename(device_folder.slot(signed.sha256))
        if self.manifest(slot) is not None:
            return slot
        fresh = self.path(UNPACKING + slot)
        try:
            shutil.rmtree(fresh, ignore_errors=True)
            _unpack(file, fresh, plain=True)
            _check(fresh, signed)
            packed = os.path.join(fresh, bundle.PACKED)
            _unpack(packed, os.path.join(fresh, bundle.MODEL))
            _check_classes(fresh)
            os.unlink(packed)
            durable.sync(fresh)
            os.rename(fresh, self.path(slot))
            durable.sync(self._folder)
        except OSError as error:
            raise Unavailable("{}: cannot be unpacked: {}".format(file, error.strerror or error)) from error
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        return slot

    def switch(self, slot: str) -> None:
        """Let `current` lead to it, in one step."""
        durable.point(self._link, os.path.join(device_folder.SLOTS, slot))

    def collect(self, keep: Iterable[Optional[str]]) -> None:
        """Delete every slot but these and the current one."""
        kept = {*keep, self._aim}
        for name in os.listdir(self._folder):
            if name not in kept:
                durable.remove(self.path(name))

    def tidy(self) -> None:
        """Delete what an end in between has left of unpacking and of deleting."""
        for name in os.listdir(self._folder):
            if name.startswith("."):
                shutil.rmtree(self.path(name), ignore_errors=True)

    @property
    def _aim(self) -> Optional[str]:
        return os.path.basename(os.readlink(self._link)) if os.path.islink(self._link) else None


def _unpack(file: str, folder: str, plain: bool = False) -> None:
    """Raise Rejected where a download is none; what the disk does not take is raised as OSError."""
    try:
        unpack(file, folder, plain=plain)
    except PackError as error:
        if isinstance(error.__cause__, OSError):
            raise error.__cause__ from error
        if "not enough space" in str(error):
            raise Unavailable(str(error)) from error
        raise Rejected(str(error)) from error


def _check(folder: str, signed: Signed) -> None:
    """Raise Rejected where the files of a bundle are not those that its manifest and its offer name."""
    try:
        manifest = bundle.read(os.path.join(folder, bundle.MANIFEST))
    except ValueError as error:
        raise Rejected(str(error)) from error
    offer = signed.offer
    if (manifest.target, manifest.version) != (offer.target, offer.version):
        text = "the bundle is {} for {}, and {} for {} was signed"
        raise Rejected(text.format(manifest.version, manifest.target, offer.version, offer.target))
    found: Dict[str, str] = {}
    for inner, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(inner, name)
            found[os.path.relpath(path, folder)] = sha256_of(path)
    del found[bundle.MANIFEST]
    if found != manifest.files:
        other = sorted(set(found.items()) ^ set(manifest.files.items()))
        raise Rejected("{}: is not what the bundle's manifest says".format(other[0][0]))
    missing = sorted(REQUIRED - set(found))
    if missing:
        raise Rejected("the bundle has no {}".format(missing[0]))
    if found[bundle.EVIDENCE] != offer.evidence:
        raise Rejected("evidence.json is not the one that was signed")
    check_evidence(os.path.join(folder, bundle.EVIDENCE), offer.target)


def check_evidence(file: str, target: str) -> None:
    """See to it that a gate's verdict is `pass`, for this target.

    Raises:
        Rejected: it is not.
    """
    try:
        said = records.checked(records.load(file, MOST_EVIDENCE), {"target": str, "verdict": str})
    except ValueError as error:
        raise Rejected("evidence.json is no evidence: {}".format(error)) from error
    if said["target"] != target:
        raise Rejected("evidence.json is for {}, and not for {}".format(said["target"][:100], target))
    if said["verdict"] != "pass":
        raise Rejected("evidence.json says {}, and not pass".format(said["verdict"][:20]))


def _check_classes(folder: str) -> None:
    try:
        wanted = model_input.read(os.path.join(folder, bundle.MODEL, model_input.NAME))
    except ValueError as error:
        raise Rejected(str(error)) from error
    named = bundle.read(os.path.join(folder, bundle.MANIFEST)).classes
    if wanted.classes != named:
        raise Rejected("the model has other classes than the manifest says")
