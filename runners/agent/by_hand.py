"""Installing from a stick, a folder or a file: what is taken is verified as if it came from the host.

A folder has `metadata/` and `targets/`, as the host has them. A file is a bundle, whose metadata is in `metadata/`
beside it, or else at the host.
"""

import os
from pathlib import Path

from runners.agent.retrieval import sha256_of
from runners.agent.troubles import Untrusted
from runners.agent.updating import Device
from runners.edge.refused import Refused

METADATA, TARGETS = "metadata", "targets"


def install(device: Device, given: str, *, confirm_later: bool = False) -> str:
    """Take the bundle that is signed for this device there, without waiting for its turn or its time; its version.

    Raises:
        Refused: there is nothing of the kind.
        Unavailable: see `Device.take`; so for Untrusted and Rejected.
    """
    path = os.path.abspath(given)
    folder = path if os.path.isdir(path) else os.path.dirname(path)
    metadata = os.path.join(folder, METADATA)
    beside = Path(metadata).as_uri() if os.path.isdir(metadata) else None
    if os.path.isdir(path):
        if beside is None:
            raise Refused("{}: has no metadata/; copy metadata/ and targets/ of a release there".format(given))
        signed = device.wanted(device.offers(beside), at_once=True)
        if signed is None:
            what = (device.config.target, device.config.channel)
            raise Untrusted("{}: nothing is signed there for {} in {}".format(given, *what))
        name = "{}.{}".format(signed.sha256, signed.offer.name)
        url = Path(path, TARGETS, signed.offer.release, name).as_uri()
    elif os.path.isfile(path):
        mine = os.path.getsize(path), sha256_of(path)
        offers = device.offers(beside).values()
        signed = next((one for one in offers if (one.length, one.sha256) == mine), None)
        if signed is None:
            raise Untrusted("{}: is not what is signed for this device now".format(given))
        url = Path(path).as_uri()
    else:
        raise Refused("{}: is no folder and no file".format(given))
    if not device.is_running(signed):
        device.take(signed, url, confirm_later=confirm_later)
    return signed.offer.version
