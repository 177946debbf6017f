"""The registry: a folder that any static host can serve, with everything that devices trust in it signed (TUF).

    metadata/N.root.json       which keys count; signed by the offline root key
    metadata/N.targets.json    the offers of every channel, see runners/contract/bundle.py
    metadata/N.snapshot.json, timestamp.json    what is newest; all but root are signed by the online key
    targets/RELEASE/SHA256.NAME                 the bundles
    evidence/RELEASE/TARGET.json                what each of them was judged by

Old metadata stays: it tells what was offered before. A file appears whole, and timestamp.json last of all, so that
devices see a change complete or not at all. https://theupdateframework.github.io/specification/latest/
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout
from securesystemslib.signer import CryptoSigner, SSlibKey
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import (
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization import DeserializationError

from pipeline.system import files
from pipeline.system.errors import BadData, InputError, Missing, Refused
from runners.contract.bundle import NEXT, Offer, offer_as_json, offer_from_json

METADATA, TARGETS, EVIDENCE = "metadata", "targets", "evidence"
ONLINE = (Targets.type, Snapshot.type, Timestamp.type)
LIFETIMES = {
    Root.type: timedelta(days=3 * 365),
    Targets.type: timedelta(days=365),
    Snapshot.type: timedelta(days=90),
    Timestamp.type: timedelta(days=28),
}
WAIT_S = 60.0  # for somebody else who changes the registry

T = TypeVar("T", Root, Targets, Snapshot, Timestamp)


class Registry:
    """The registry in a folder, at a time that expiry is counted from."""

    def __init__(self, folder: Path, now: datetime | None = None) -> None:
        self.folder = folder
        self.now = (now or datetime.now(timezone.utc)).replace(microsecond=0)

    @property
    def metadata(self) -> Path:
        """Where its metadata lie."""
        return self.folder / METADATA

    @property
    def exists(self) -> bool:
        """Whether there is one."""
        return bool(self._versions(Root.type))

    def check_new(self) -> None:
        """InputError if there is one already."""
        if self.exists:
            raise InputError(f"{self.folder}: is a registry already; `edgeproof release rotate` changes its keys")

    def file(self, offer: Offer, sha256: str) -> Path:
        """Where an offered bundle lies."""
        return self.folder / TARGETS / offer.release / f"{sha256}.{offer.name}"

    def evidence(self, offer: Offer) -> Path:
        """Where its evidence lies."""
        return self.folder / EVIDENCE / offer.release / f"{offer.target}.json"

    def found(self, root_key: CryptoSigner, online_key: CryptoSigner) -> None:
        """Make the first metadata, which offer nothing.

        Raises:
            InputError: there is a registry already, or both keys are the same.
        """
        if root_key.public_key.keyid == online_key.public_key.keyid:
            raise InputError("the root key and the online key are the same: whoever steals the one has both")
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._locked():
            self.check_new()
            root = Root(version=1, expires=self._expires(Root.type), consistent_snapshot=True)
            root.add_key(root_key.public_key, Root.type)
            for role in ONLINE:
                root.add_key(online_key.public_key, role)
            trusted = _signed(root, [root_key])
            self._write("1.root.json", trusted)
            self._write_online({}, online_key, 1, 1, 1)

    def root(self) -> Metadata[Root]:
        """The newest root.

        Raises:
            Missing: there is no registry.
        """
        versions = self._versions(Root.type)
        if not versions:
            raise Missing(f"{self.folder}: is no registry; `edgeproof release init` makes one")
        return self._read(f"{max(versions)}.root.json", Root)

    def timestamp(self) -> Metadata[Timestamp]:
        """What says which snapshot is newest; as all that follows, checked to be signed as the root says.

        Raises:
            InputError: it is missing or damaged, or somebody else signed it.
        """
        return self._trusted("timestamp.json", Timestamp)

    def snapshot(self) -> Metadata[Snapshot]:
        """What says which targets are newest."""
        return self._trusted(f"{self.timestamp().signed.snapshot_meta.version}.snapshot.json", Snapshot)

    def targets(self) -> Metadata[Targets]:
        """What is offered."""
        return self._trusted(f"{self._targets_version()}.targets.json", Targets)

    def offers(self) -> dict[str, Offer]:
        """What is offered, by the path of its TUF target."""
        return {path: offer_of(target) for path, target in sorted(self.targets().signed.targets.items())}

    def past(self) -> Iterator[Mapping[str, TargetFile]]:
        """What was offered before, the newest first; metadata that an earlier key signed count too."""
        newest = self._targets_version()
        for version in sorted(self._versions(Targets.type), reverse=True):
            if version < newest:
                yield self._read(f"{version}.targets.json", Targets).signed.targets

    @contextmanager
    def changing(self, online_key: CryptoSigner) -> Iterator[dict[str, TargetFile]]:
        """What is offered, to be changed; signed and written when the block ends well. One at a time.

        Raises:
            InputError: the key is not the root's online key, or the registry is missing or damaged.
        """
        self.root()  # before a lock is left in a folder that is none
        with self._locked():
            self._check_online(online_key)
            targets = dict(self.targets().signed.targets)
            before = dict(targets)
            yield targets
            if targets != before:
                self._renew(targets, online_key)

    def resign(self, online_key: CryptoSigner) -> list[str]:
        """Sign the timestamp for its whole time again, and what else has less than half of its time left; their names.

        Raises:
            InputError: see `changing`.
        """
        self.root()
        with self._locked():
            self._check_online(online_key)
            old = [role for role, md in (("targets", self.targets()), ("snapshot", self.snapshot())) if self.late(md)]
            timestamp, snapshot = self.timestamp().signed.version, self.timestamp().signed.snapshot_meta.version
            if Targets.type in old:
                self._renew(self.targets().signed.targets, online_key)
                return ["targets", "snapshot", "timestamp"]
            if Snapshot.type in old:
                snapshot += 1
                self._write_snapshot(snapshot, self._targets_version(), online_key)
            self._write_timestamp(timestamp + 1, snapshot, online_key)
            return [*old, "timestamp"]

    def late(self, metadata: "Metadata[Any]") -> bool:
        """Whether less than half of its time is left."""
        left: timedelta = metadata.signed.expires - self.now
        return left < LIFETIMES[metadata.signed.type] / 2

    def rotate(
        self, root_keys: Sequence[CryptoSigner], new_root: SSlibKey | None, new_online: CryptoSigner | None
    ) -> list[str]:
        """Make the next root, with other keys or only a later date; who has still to sign it, as key ids.

        As long as a signature is missing, it is kept as `next.root.json`, which devices do not read: whoever holds the
        missing key calls this with it. It needs the old root key and the new one. What the online key signs is signed
        anew by a new one, at once.

        Raises:
            InputError: a signature of a key that has no say, or one of the online key's files is damaged.
        """
        self.root()
        with self._locked():
            root, staged = self.root(), self.metadata / "next.root.json"
            if staged.exists():
                made = self._read(staged.name, Root)
                online = made.signed.roles[Timestamp.type].keyids
                if new_root or (new_online and new_online.public_key.keyid not in online):
                    raise InputError(f"{staged}: waits for a signature; give the missing --root-key, or delete it")
            else:
                made = Metadata(self._next_root(root.signed, new_root, new_online))
            allowed = set(root.signed.roles[Root.type].keyids) | set(made.signed.roles[Root.type].keyids)
            for key in root_keys:
                if key.public_key.keyid not in allowed:
                    raise InputError(f"the key {key.public_key.keyid[:12]} is no root key, neither before nor after")
                made.sign(key, append=True)
            result = made.signed.get_root_verification_result(root.signed, made.signed_bytes, made.signatures)
            if not result:
                self._write(staged.name, made)
                return sorted(set(result.unsigned))
            if not new_online and made.signed.roles[Timestamp.type] != root.signed.roles[Timestamp.type]:
                raise InputError("the last signature: give the new online key with it, by --new-online")
            targets, (first, second, third) = self.targets().signed.targets, self._numbers()
            if new_online:  # nothing refers to these two before the timestamp does
                self._write_targets(targets, first + 1, new_online)
                self._write_snapshot(second + 1, first + 1, new_online)
            self._write(f"{made.signed.version}.root.json", made)
            if new_online:
                self._write_timestamp(third + 1, second + 1, new_online)
            staged.unlink(missing_ok=True)
            return []

    def _next_root(self, root: Root, new_root: SSlibKey | None, new_online: CryptoSigner | None) -> Root:
        made = copy.deepcopy(root)
        made.version, made.expires = root.version + 1, self._expires(Root.type)
        changes = [(Root.type, new_root)] if new_root else []
        changes += [(role, new_online.public_key) for role in ONLINE] if new_online else []
        for role, key in changes:
            for keyid in list(made.roles[role].keyids):
                made.revoke_key(keyid, role)
            made.add_key(key, role)
        if set(made.roles[Root.type].keyids) & set(made.roles[Timestamp.type].keyids):
            raise InputError("the root key and the online key are the same: whoever steals the one has both")
        return made

    def _numbers(self) -> tuple[int, int, int]:
        timestamp = self.timestamp().signed
        return self._targets_version(), timestamp.snapshot_meta.version, timestamp.version

    def _targets_version(self) -> int:
        return self.snapshot().signed.meta["targets.json"].version

    def _renew(self, targets: Mapping[str, TargetFile], key: CryptoSigner) -> None:
        first, second, third = self._numbers()
        self._write_online(targets, key, first + 1, second + 1, third + 1)

    def _write_online(
        self, targets: Mapping[str, TargetFile], key: CryptoSigner, first: int, second: int, third: int
    ) -> None:
        self._write_targets(targets, first, key)
        self._write_snapshot(second, first, key)
        self._write_timestamp(third, second, key)

    def _write_targets(self, targets: Mapping[str, TargetFile], version: int, key: CryptoSigner) -> None:
        made = Targets(version=version, expires=self._expires(Targets.type), targets=dict(targets))
        self._write(f"{version}.targets.json", _signed(made, [key]))

    def _write_snapshot(self, version: int, targets: int, key: CryptoSigner) -> None:
        meta = {"targets.json": MetaFile(version=targets)}
        made = Snapshot(version=version, expires=self._expires(Snapshot.type), meta=meta)
        self._write(f"{version}.snapshot.json", _signed(made, [key]))

    def _write_timestamp(self, version: int, snapshot: int, key: CryptoSigner) -> None:
        made = Timestamp(
            version=version, expires=self._expires(Timestamp.type), snapshot_meta=MetaFile(version=snapshot)
        )
        self._write("timestamp.json", _signed(made, [key]))

    def _check_online(self, key: CryptoSigner) -> None:
        if key.public_key.keyid not in self.root().signed.roles[Timestamp.type].keyids:
            raise Refused("this is not the registry's online key; `edgeproof release rotate` makes it one")

    def _expires(self, role: str) -> datetime:
        return self.now + LIFETIMES[role]

    def _versions(self, role: str) -> list[int]:
        names = [path.name.split(".") for path in self.metadata.glob(f"*.{role}.json")]
        return [int(name[0]) for name in names if len(name) == 3 and name[0].isdecimal()]

    def _trusted(self, name: str, kind: type[T]) -> "Metadata[T]":
        found = self._read(name, kind)
        try:
            self.root().verify_delegate(kind.type, found)
        except RepositoryError as error:
            raise BadData(f"{self.metadata / name}: is not signed by the registry's online key") from error
        return found

    def _read(self, name: str, kind: type[T]) -> "Metadata[T]":
        path = self.metadata / name
        try:
            found: Metadata[Any] = Metadata.from_bytes(path.read_bytes())
        except OSError as error:
            raise Missing(f"{path}: missing; is {self.folder} a whole registry?") from error
        except (DeserializationError, RepositoryError) as error:
            raise BadData(f"{path}: damaged, or no metadata of TUF; restore it from Git") from error
        if found.signed.type != kind.type:
            raise BadData(f"{path}: holds {found.signed.type}, and not {kind.type}; restore it from Git")
        return found

    def _write(self, name: str, metadata: "Metadata[T]") -> None:
        files.write_bytes(self.metadata / name, metadata.to_bytes())

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            with FileLock(self.folder / ".lock", timeout=WAIT_S):
                yield
        except Timeout:
            raise InputError(f"{self.folder}: somebody else has been changing it for {WAIT_S:g} s; try again") from None


def offer_of(target: TargetFile) -> Offer:
    """What a TUF target offers.

    Raises:
        BadData: it is no offer of a bundle.
    """
    try:
        return offer_from_json(target.custom or {})
    except ValueError as error:
        raise BadData(f"{target.path}: offers no bundle: {error}") from error


def target_of(offer: Offer, path: str, length: int, sha256: str) -> TargetFile:
    """The TUF target at `path` that offers a bundle of so many bytes."""
    return TargetFile(length, {"sha256": sha256}, path, {"custom": offer_as_json(offer)})


def base_of(path: str) -> str:
    """The path of what everybody runs, `CHANNEL/TARGET`, of that or of what is rolled out beside it."""
    return path.removesuffix(NEXT)


def _signed(signed: T, keys: Sequence[CryptoSigner]) -> "Metadata[T]":
    metadata = Metadata(signed)
    for key in keys:
        metadata.sign(key, append=True)
    return metadata
