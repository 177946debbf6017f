"""The registry: a folder that any static host can serve, with everything that devices trust in it signed (TUF).

    metadata/N.root.json       which keys count; signed by the offline root key
    metadata/N.targets.json    the offers of every channel, see runners/contract/bundle.py
    metadata/N.snapshot.json, timestamp.json    what is newest; all but root are signed by the online key
    targets/RELEASE/SHA256.NAME                 the bundles
    evidence/RELEASE/TARGET.json                what each of them was judged by

Old metadata stays: it tells what was offered before. A file appears whole and is on the disk before the next one is
written, and timestamp.json comes last of all, so that devices see a change complete or not at all. Only a new online
key changes two files, the root and the timestamp: what was stopped between them is brought to its end by whoever
changes the registry next. https://theupdateframework.github.io/specification/latest/
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from securesystemslib.signer import CryptoSigner, SSlibKey
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Snapshot, TargetFile, Targets, Timestamp

from pipeline.release.metadata_files import NEXT_ROOT, NEXT_TIMESTAMP, MetadataFiles
from pipeline.system import files
from pipeline.system.errors import BadData, InputError, Refused
from runners.contract.bundle import NEXT, Offer, offer_as_json, offer_from_json
from runners.edge import durable

TARGETS, EVIDENCE = "targets", "evidence"
ONLINE = (Targets.type, Snapshot.type, Timestamp.type)


class Registry(MetadataFiles):
    """The registry in a folder, at a time that expiry is counted from."""

    @property
    def is_begun(self) -> bool:
        """Whether somebody began to make one, and was stopped before it was there."""
        return self.metadata.is_dir() and not self.exists

    def begin(self) -> None:
        """Make the folder in which it is going to be."""
        durable.make_folder(str(self.metadata))

    def check_new(self) -> None:
        """InputError if there is one already, or none can be made there."""
        if self.exists:
            raise InputError(f"{self.folder}: is a registry already; `edgeproof release rotate` changes its keys")
        files.check_place(self.metadata)

    def file(self, offer: Offer, sha256: str) -> Path:
        """Where an offered bundle lies."""
        return self.folder / TARGETS / offer.release / f"{sha256}.{offer.name}"

    def evidence(self, offer: Offer) -> Path:
        """Where its evidence lies."""
        return self.folder / EVIDENCE / offer.release / f"{offer.target}.json"

    def put(self, source: Path, there: Path, sha256: str) -> None:
        """Copy a file to its place, whole and on the disk before anything is signed of it; what is there already stays.

        Raises:
            BadData: it is missing, or has another hash.
        """
        if not there.is_file() or files.sha256(there) != sha256:
            durable.make_folder(str(there.parent))
            beside = there.with_name(there.name + durable.PART)
            beside.unlink(missing_ok=True)
            try:
                with source.open("rb") as stream:
                    durable.create(str(beside), iter(lambda: stream.read(1 << 20), b""))
                if files.sha256(beside) != sha256:
                    raise BadData(f"{source}: is not what was built; build the release again")
                beside.replace(there)
            except FileNotFoundError as error:
                raise BadData(f"{source}: missing; build the release again") from error
            finally:
                beside.unlink(missing_ok=True)
        for folder in there.parents[: len(there.relative_to(self.folder).parts)]:  # one may be of whoever was stopped
            durable.sync(str(folder))

    def found(self, root_key: CryptoSigner, online_key: CryptoSigner) -> None:
        """Make the first metadata, which offer nothing.

        Raises:
            InputError: there is a registry already, or both keys are the same.
        """
        if root_key.public_key.keyid == online_key.public_key.keyid:
            raise InputError("the root key and the online key are the same: whoever steals the one has both")
        self.begin()
        with self._locked():
            self.check_new()
            root = Root(version=1, expires=self._expires(Root.type), consistent_snapshot=True)
            root.add_key(root_key.public_key, Root.type)
            for role in ONLINE:
                root.add_key(online_key.public_key, role)
            self._write_online({}, online_key, 1, 1, 1)
            self._write_signed("1.root.json", root, root_key)  # with it there is a registry, so the rest is there

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
            self._finish()
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
            self._finish()
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

    def rotate(
        self, root_keys: Sequence[CryptoSigner], new_root: SSlibKey | None, new_online: CryptoSigner | None
    ) -> list[str]:
        """Make the next root, with other keys or only a later date; who has still to sign it, as key ids.

        As long as a signature is missing, it is kept as `next.root.json`, which devices do not read: whoever holds the
        missing key calls this with it. It needs the old root key and the new one. What the online key signs is signed
        anew by a new one, at once. Where it is stopped, the same call again brings it to its end.

        Raises:
            InputError: a signature of a key that has no say, or one of the online key's files is damaged.
        """
        self.root()
        with self._locked():
            was_half_way = self._finish()
            root, staged = self.root(), self.metadata / NEXT_ROOT
            if new_online and new_online.public_key.keyid in root.signed.roles[Timestamp.type].keyids:
                new_online = None  # nothing is to be signed anew
            is_there = new_root is None or new_root.keyid in root.signed.roles[Root.type].keyids
            if was_half_way and is_there and new_online is None:
                return []
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
            if new_online:  # nothing refers to these before the root is there
                self._write_targets(targets, first + 1, new_online)
                self._write_snapshot(second + 1, first + 1, new_online)
                self._write_timestamp(third + 1, second + 1, new_online, NEXT_TIMESTAMP)
            self._write(f"{made.signed.version}.root.json", made)
            self._finish()
            return []

    def _finish(self) -> bool:
        """Bring a change of keys to its end whose root is there; whether there was something to do.

        What is left of one that was stopped before its root was there is deleted.
        """
        root, timestamp, staged = self.root(), self.metadata / NEXT_TIMESTAMP, self.metadata / NEXT_ROOT
        is_over = False
        if timestamp.exists():
            try:
                root.verify_delegate(Timestamp.type, self._read(NEXT_TIMESTAMP, Timestamp))
            except RepositoryError:  # of a root that never came
                timestamp.unlink()
            else:
                timestamp.replace(self.metadata / "timestamp.json")
                durable.sync(str(self.metadata))
                is_over = True
        if staged.exists() and self._read(NEXT_ROOT, Root).signed.version <= root.signed.version:
            staged.unlink()
            is_over = True
        return is_over

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

    def _renew(self, targets: Mapping[str, TargetFile], key: CryptoSigner) -> None:
        first, second, third = self._numbers()
        self._write_online(targets, key, first + 1, second + 1, third + 1)

    def _write_online(
        self, targets: Mapping[str, TargetFile], key: CryptoSigner, first: int, second: int, third: int
    ) -> None:
        self._write_targets(targets, first, key)
        self._write_snapshot(second, first, key)
        self._write_timestamp(third, second, key)

    def _check_online(self, key: CryptoSigner) -> None:
        roles, given = self.root().signed.roles, key.public_key.keyid
        if given in roles[Root.type].keyids:
            raise Refused("this is the registry's root key; give the online key, and keep this one offline")
        if given not in roles[Timestamp.type].keyids:
            raise Refused(
                "this is not the registry's online key; give the one that it has, or replace that one by this"
                " (`edgeproof release rotate --root-key FILE --new-online FILE`)"
            )


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
