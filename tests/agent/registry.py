"""A registry of bundles as a release leaves it: TUF metadata and bundles below one folder."""

import hashlib
import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

from runners.contract import bundle
from runners.contract.rollout import Rollout

TARGET, CHANNEL = "atom-x5-e3940", "stable"
BASE = f"{CHANNEL}/{TARGET}"
NEWER = BASE + bundle.NEXT
ROLES = ("timestamp", "snapshot", "targets")


class Registry:
    """`metadata/` and `targets/`, with a key for root, which is offline, and one for all other roles."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.metadata, self.targets = folder, folder / "metadata", folder / "targets"
        self.metadata.mkdir(parents=True)
        self.targets.mkdir()
        self.root_key, self.online = CryptoSigner.generate_ed25519(), CryptoSigner.generate_ed25519()
        self.root = Root(version=1, expires=self.in_days(365), consistent_snapshot=True)
        self.signed: dict[str, Any] = {
            "targets": Targets(version=1, expires=self.in_days(90)),
            "snapshot": Snapshot(version=1, expires=self.in_days(90)),
            "timestamp": Timestamp(version=1, expires=self.in_days(14)),
        }
        for part in self.signed.values():
            part.version = 0  # the first that is published is 1
        self.root.add_key(self.root_key.public_key, "root")
        for role in ROLES:
            self.root.add_key(self.online.public_key, role)
        self.write_root(self.root_key)

    @staticmethod
    def in_days(days: float) -> datetime:
        return (datetime.now(timezone.utc) + timedelta(days=days)).replace(microsecond=0)

    @property
    def shipped(self) -> Path:
        """The root that a device is shipped with."""
        return self.metadata / "1.root.json"

    def write_root(self, *signers: CryptoSigner) -> None:
        metadata = Metadata(self.root)
        for signer in signers:
            metadata.sign(signer, append=True)
        metadata.to_file(str(self.metadata / f"{self.root.version}.root.json"))

    def rotate(self, *, role_key: bool = True, root_key: bool = False) -> None:
        """Other keys, as after a leak; what is signed is signed anew by `publish`."""
        signers = [self.root_key]
        if root_key:
            self.root.revoke_key(self.root_key.public_key.keyid, "root")
            self.root_key = CryptoSigner.generate_ed25519()
            self.root.add_key(self.root_key.public_key, "root")
            signers.append(self.root_key)
        if role_key:
            fresh = CryptoSigner.generate_ed25519()
            for role in ROLES:
                self.root.revoke_key(self.online.public_key.keyid, role)
                self.root.add_key(fresh.public_key, role)
            self.online = fresh
        self.root.version += 1
        self.write_root(*signers)

    def offer(self, path: str, content: bytes, offer: bundle.Offer) -> str:
        """Sign it at the next `publish`, and put it where it is fetched from; its SHA-256."""
        sha256 = hashlib.sha256(content).hexdigest()
        fields = {"custom": bundle.offer_as_json(offer)}
        self.signed["targets"].targets[path] = TargetFile(len(content), {"sha256": sha256}, path, fields)
        where = self.targets / offer.release / f"{sha256}.{offer.name}"
        where.parent.mkdir(exist_ok=True)
        where.write_bytes(content)
        return sha256

    def withdraw(self, path: str) -> None:
        del self.signed["targets"].targets[path]

    def publish(self, *roles: str, signer: CryptoSigner | None = None) -> None:
        """New versions of these roles (all of them unless named), signed, in their places."""
        for role in [one for one in ("targets", "snapshot", "timestamp") if not roles or one in roles]:
            part = self.signed[role]
            part.version += 1
            if role == "snapshot":
                part.meta["targets.json"] = MetaFile(self.signed["targets"].version)
            if role == "timestamp":
                part.snapshot_meta = MetaFile(self.signed["snapshot"].version)
            metadata = Metadata(part)
            metadata.sign(signer or self.online)
            name = f"{role}.json" if role == "timestamp" else f"{part.version}.{role}.json"
            metadata.to_file(str(self.metadata / name))


def offer_of(content: dict[str, bytes], release: str = "v1", rollout: Rollout | None = None) -> bundle.Offer:
    """What is signed of a bundle with these files."""
    manifest = json.loads(content[bundle.MANIFEST])
    evidence = hashlib.sha256(content[bundle.EVIDENCE]).hexdigest()
    name = f"{TARGET}.tar"
    return bundle.Offer(manifest["target"], manifest["version"], release, name, manifest["built_s"], evidence, rollout)
