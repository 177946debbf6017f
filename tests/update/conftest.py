"""A registry with keys, and bundles that are small but whole."""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest
from securesystemslib.signer import CryptoSigner
from tuf.ngclient import Updater

from pipeline.release import signing
from pipeline.release.bundling import LISTING, Built, write_tar
from pipeline.release.tuf_registry import Registry, offer_of
from pipeline.release.verifying import ADDRESS, Folder
from pipeline.system import files
from runners.contract import bundle
from runners.contract.bundle import NEXT, Manifest, Offer

TARGET = "atom-x5-e3940"
PATH = f"stable/{TARGET}"
START = datetime(2026, 11, 26, 12, tzinfo=timezone.utc)


@dataclass(frozen=True)
class Signed:
    """A registry with its keys."""

    folder: Path
    root_key: CryptoSigner
    online_key: CryptoSigner

    def at(self, now: datetime | None = None) -> Registry:
        """As it is seen at a time."""
        return Registry(self.folder, now)


class Device:
    """TUF's client with a memory of its own, shipped with the first root."""

    def __init__(self, registry: Path, memory: Path) -> None:
        self.registry, self.memory = registry, memory
        self.shipped = (registry / "metadata/1.root.json").read_bytes()

    def offers(self) -> dict[str, str]:
        """Refresh; the versions that it is offered, by path."""
        updater = Updater(str(self.memory), ADDRESS, fetcher=Folder(self.registry / "metadata"), bootstrap=self.shipped)
        updater.refresh()
        found = {path: updater.get_targetinfo(path) for path in (PATH, PATH + NEXT)}
        return {path: offer_of(target).version for path, target in found.items() if target is not None}


@pytest.fixture(autouse=True)
def no_power_cuts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody needs to wait for the disk here."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture
def signed(tmp_path: Path) -> Signed:
    """A registry that offers nothing yet."""
    keys = tmp_path / "keys"
    keys.mkdir()
    made = Signed(tmp_path / "releases", signing.make(keys / "root.pem"), signing.make(keys / "online.pem"))
    made.at().found(made.root_key, made.online_key)
    return made


@pytest.fixture
def release(tmp_path: Path) -> Callable[..., Path]:
    """Makes a release's folder, as `edgeproof release build` leaves it."""

    def make(version: str, target: str = TARGET, channel: str = "stable", model: bytes = b"weights") -> Path:
        folder = tmp_path / "built" / version
        write_release(folder, version, target, channel, model)
        return folder

    return make


def write_release(folder: Path, version: str, target: str, channel: str, model: bytes | Path) -> Built:
    """A release of one bundle, whose model may be any file."""
    samples = folder.parent / "samples.npy"
    folder.mkdir(parents=True)
    np.save(samples, np.zeros((2, 3), np.float32))
    evidence = json.dumps({"target": target, "verdict": "pass", "version": version, "records": []}).encode()
    contents: dict[str, Path | bytes] = {
        bundle.PACKED: model,
        bundle.REGIONS: samples.read_bytes(),
        bundle.SCORES: samples.read_bytes(),
        bundle.EVIDENCE: evidence,
        bundle.SBOM: b"{}",
        bundle.NOTICE: b"none",
    }
    hashes = {
        name: hashlib.sha256(content).hexdigest() if isinstance(content, bytes) else files.sha256(content)
        for name, content in contents.items()
    }
    manifest = Manifest("lenet-5", "int8", target, version, "openvino", ["a", "b", "c"], 0.0, 1_700_000_000, hashes, {})
    contents[bundle.MANIFEST] = json.dumps(bundle.as_json(manifest)).encode()
    name = f"{target}-{version}.tar"
    write_tar(folder / name, contents)
    built = Built(
        Offer(target, version, version, name, 1_700_000_000, hashlib.sha256(evidence).hexdigest()),
        files.sha256(folder / name),
        (folder / name).stat().st_size,
    )
    (folder / name).rename(folder / built.file_name)
    files.write_bytes(folder / "evidence" / f"{target}.json", evidence)
    listed = {"offer": bundle.offer_as_json(built.offer), "sha256": built.sha256, "length": built.length}
    files.write_json(folder / LISTING, {"channel": channel, "bundles": [listed]})
    return built
