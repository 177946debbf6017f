"""A registry's metadata as files: read with the check of who signed them, written whole, changed by one at a time."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout
from securesystemslib.signer import CryptoSigner
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

from pipeline.system.errors import BadData, InputError, Missing
from runners.edge import durable

METADATA = "metadata"
# Which devices do not read: a root that waits for signatures, and the timestamp for a root that comes next.
NEXT_ROOT, NEXT_TIMESTAMP = "next.root.json", "next.timestamp.json"
LIFETIMES = {
    Root.type: timedelta(days=3 * 365),
    Targets.type: timedelta(days=365),
    Snapshot.type: timedelta(days=90),
    Timestamp.type: timedelta(days=28),
}
WAIT_S = 60.0  # for somebody else who changes the registry

T = TypeVar("T", Root, Targets, Snapshot, Timestamp)


class MetadataFiles:
    """The metadata of the registry in a folder, at a time that expiry is counted from."""

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

    @property
    def remedy(self) -> str:
        """What to do where a change of keys was stopped half way, to be said where devices refuse what is there."""
        if not (self.metadata / NEXT_TIMESTAMP).exists():
            return ""
        return "; a change of keys was stopped half way: run the same `edgeproof release rotate` again"

    def late(self, metadata: "Metadata[Any]") -> bool:
        """Whether less than half of its time is left."""
        left: timedelta = metadata.signed.expires - self.now
        return left < LIFETIMES[metadata.signed.type] / 2

    def _numbers(self) -> tuple[int, int, int]:
        timestamp = self.timestamp().signed
        return self._targets_version(), timestamp.snapshot_meta.version, timestamp.version

    def _targets_version(self) -> int:
        return self.snapshot().signed.meta["targets.json"].version

    def _write_targets(self, targets: Mapping[str, TargetFile], version: int, key: CryptoSigner) -> None:
        made = Targets(version=version, expires=self._expires(Targets.type), targets=dict(targets))
        self._write_signed(f"{version}.targets.json", made, key)

    def _write_snapshot(self, version: int, targets: int, key: CryptoSigner) -> None:
        meta = {"targets.json": MetaFile(version=targets)}
        made = Snapshot(version=version, expires=self._expires(Snapshot.type), meta=meta)
        self._write_signed(f"{version}.snapshot.json", made, key)

    def _write_timestamp(self, version: int, snapshot: int, key: CryptoSigner, name: str = "timestamp.json") -> None:
        made = Timestamp(
            version=version, expires=self._expires(Timestamp.type), snapshot_meta=MetaFile(version=snapshot)
        )
        self._write_signed(name, made, key)

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
            said = f"{self.metadata / name}: is not signed by the registry's online key{self.remedy}"
            raise BadData(said) from error
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

    def _write_signed(self, name: str, made: T, key: CryptoSigner) -> None:
        metadata = Metadata(made)
        metadata.sign(key)
        self._write(name, metadata)

    def _write(self, name: str, metadata: "Metadata[T]") -> None:
        durable.write(str(self.metadata / name), metadata.to_bytes())

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            with FileLock(self.folder / ".lock", timeout=WAIT_S):
                for left in self.metadata.glob(f"*{durable.PART}"):  # by whoever was stopped while writing it
                    left.unlink()
                yield
        except Timeout:
            raise InputError(f"{self.folder}: somebody else has been changing it for {WAIT_S:g} s; try again") from None
