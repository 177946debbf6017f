"""A bundle: what a device downloads and runs, a plain tar of a few files, the same bytes for the same input.

    manifest.json          this record
    model.tar.xz           the model for the target's runtime, as runners/edge/update/unpack.py takes it; becomes model/
    samples/regions.npy    (N, S, S, 3) uint8 RGB: regions of the test split before they are normalised
                           (or (N, 3, S, S) float32 as the network takes them, which never were pictures of eight bits)
    samples/scores.npy     (N, K) float32: what the emulated lane answers to them
    evidence.json          the gate's verdict for this target, with the records that it judged
    sbom.cdx.json, NOTICE  what is in it, under which licences

Its TUF target is `CHANNEL/TARGET` and, while a newer one is rolled out to a part of the fleet, `CHANNEL/TARGET.next`.
Both have `custom`, see `Offer`; the file lies at `RELEASE/SHA256.NAME` below where targets lie.
"""

import os
from typing import Any, Dict, List, Mapping, NamedTuple, Optional

from runners.contract import records
from runners.contract.rollout import Rollout

MANIFEST, PACKED, MODEL = "manifest.json", "model.tar.xz", "model"
REGIONS, SCORES = os.path.join("samples", "regions.npy"), os.path.join("samples", "scores.npy")
EVIDENCE, SBOM, NOTICE = "evidence.json", "sbom.cdx.json", "NOTICE"
NEXT = ".next"
RUNTIMES = ("openvino", "tensorrt", "onnxruntime")


class Manifest(NamedTuple):
    """`built_s` is seconds since 1970, a floor for the clock of a device that has none.

    The device's answers to the samples must equal the expected ones in every bit where `tolerance` is 0, else lie
    within it, as a share of the largest expected score. `files` are the SHA-256 of all other files. `about` is for
    people: metrics with their lane and grade, the versions of data, code and runtime.
    """

    model: str
    method: str
    target: str
    version: str
    runtime: str
    classes: List[str]
    tolerance: float
    built_s: int
    files: Dict[str, str]
    about: Dict[str, Any]


def read(file: str) -> Manifest:
    """The manifest in a file.

    Raises:
        ValueError: it is missing, damaged or no manifest; the message is one line.
    """
    try:
        return from_json(records.load(file))
    except ValueError as error:
        raise ValueError("{}: no manifest of a bundle: {}".format(file, error)) from error


def from_json(content: Mapping[str, Any]) -> Manifest:
    """The same of what was read.

    Raises:
        ValueError: a value is missing or of another kind.
    """
    kinds = {"model": str, "method": str, "target": str, "version": str, "runtime": str, "classes": list}  # type: Any
    kinds.update(tolerance=float, built_s=int, files=dict, about=dict)
    found = Manifest(**records.checked(content, kinds))
    if not all(records.is_name(name) for name in (found.model, found.method, found.target, found.version)):
        raise ValueError("a name in it is not taken")
    if found.runtime not in RUNTIMES or found.tolerance < 0 or found.built_s < 0:
        raise ValueError("a value in it is none that a bundle has")
    if not all(isinstance(name, str) for name in found.classes):
        raise ValueError("classes is of another kind")
    if not all(map(records.is_sha256, found.files.values())):
        raise ValueError("files is of another kind")
    return found


def as_json(manifest: Manifest) -> Dict[str, Any]:
    """The file's content."""
    return dict(manifest._asdict())


class Offer(NamedTuple):
    """`custom` of a bundle's TUF target: what the signature says of the bundle besides its length and its hashes.

    The file is called `name` in the release `release`. `evidence` is the SHA-256 of the bundle's evidence.json, which
    must say `pass` for `target`. Without a `rollout` it is for everybody.
    """

    target: str
    version: str
    release: str
    name: str
    built_s: int
    evidence: str
    rollout: Optional[Rollout] = None


def offer_from_json(content: Mapping[str, Any]) -> Offer:
    """What `custom` says.

    Raises:
        ValueError: a value is missing or of another kind.
    """
    kinds = {"target": str, "version": str, "release": str, "name": str, "built_s": int, "evidence": str}
    found = records.checked(content, kinds)
    if not all(records.is_name(found[name]) for name in ("target", "version", "release", "name")):
        raise ValueError("a name in it is not taken")
    if not records.is_sha256(found["evidence"]) or found["built_s"] < 0:
        raise ValueError("a value in it is none that an offer has")
    rollout = content.get("rollout")
    return Offer(rollout=None if rollout is None else Rollout.from_json(rollout), **found)


def offer_as_json(offer: Offer) -> Dict[str, Any]:
    """The content of `custom`."""
    content = dict(offer._asdict())
    content["rollout"] = None if offer.rollout is None else dict(offer.rollout._asdict())
    return {name: value for name, value in content.items() if value is not None}
