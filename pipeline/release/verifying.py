"""Reading a registry as a device would: TUF's client from the shipped root on, then each bundle with its evidence."""

import hashlib
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from tuf.api.exceptions import (
    DownloadError,
    DownloadHTTPError,
    ExpiredMetadataError,
    LengthOrHashMismatchError,
    RepositoryError,
)
from tuf.api.metadata import Metadata, Root, TargetFile
from tuf.ngclient import FetcherInterface, Updater

from pipeline.records.gates import Verdict, worst
from pipeline.release.tuf_registry import Registry, offer_of
from pipeline.system import files
from pipeline.system.errors import BadData, InputError, Missing
from runners.contract import bundle, records
from runners.contract.bundle import Manifest, Offer

ADDRESS = "file:///"
DAY = timedelta(days=1)
PARTS = (bundle.MANIFEST, bundle.PACKED, bundle.REGIONS, bundle.SCORES, bundle.EVIDENCE, bundle.SBOM, bundle.NOTICE)


@dataclass(frozen=True)
class Seen:
    """What was looked at, and what was found of it."""

    what: str
    verdict: Verdict
    found: str


class Folder(FetcherInterface):
    """Fetches from a folder as from a static host."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def _fetch(self, url: str) -> Iterator[bytes]:
        path = self._folder / url.removeprefix(ADDRESS)
        if not path.is_file():
            raise DownloadHTTPError(f"{path}: not there", 404)
        return iter([path.read_bytes()])


def shipped_root(path: Path) -> bytes:
    """The root metadata in a file.

    Raises:
        InputError: there is none.
    """
    files.check_file(path)
    try:
        content = path.read_bytes()
        Metadata[Root].from_bytes(content)
    except OSError as error:
        raise Missing(f"{path}: cannot be read ({error.strerror})") from error
    except RepositoryError as error:
        raise BadData(f"{path}: no root metadata; give the root.json that devices were shipped with") from error
    return content


def verify(registry: Registry, shipped: bytes | None = None) -> list[Seen]:
    """Whether devices that were shipped with this root take the registry, the first one if none is given, and all
    bundles that are in it. A bundle that lies on another host is not measured.

    Raises:
        Missing: there is no registry.
    """
    if shipped is None:
        first = registry.metadata / "1.root.json"
        if not first.is_file():
            raise Missing(f"{registry.folder}: is no registry; `edgeproof release init` makes one")
        shipped = first.read_bytes()
    with tempfile.TemporaryDirectory(prefix="edgeproof-") as scratch:
        try:
            updater = Updater(
                f"{scratch}/metadata", ADDRESS, fetcher=Folder(registry.metadata), target_dir=scratch, bootstrap=shipped
            )
            updater.refresh()
        except ExpiredMetadataError:
            return [Seen("metadata", "fail", "devices stay on what they run: it is expired"), *_dates(registry)]
        except (RepositoryError, DownloadError, ValueError, OSError) as error:
            return [Seen("metadata", "fail", f"devices refuse it: {' '.join(str(error).split())}{registry.remedy}")]
        found = [Seen("metadata", "pass", "devices take it"), *_dates(registry)]
        for path in registry.offers():
            target = updater.get_targetinfo(path)
            assert target is not None
            found.append(_bundle(registry, path, target))
        return found


def verdict(found: list[Seen]) -> Verdict:
    """The worst of all."""
    return worst(one.verdict for one in found)


def _dates(registry: Registry) -> Iterator[Seen]:
    """The timestamp is signed anew long before half of its time has passed, or nobody signs any more."""
    for metadata in (registry.root(), registry.targets(), registry.snapshot(), registry.timestamp()):
        name, until = metadata.signed.type, f"valid until {metadata.signed.expires:%Y-%m-%d}"
        past = registry.now - metadata.signed.expires
        if past >= timedelta():
            mend = "rotate --root-key FILE" if name == "root" else "resign"
            yield Seen(name, "fail", f"expired {past / DAY:.1f} days ago: `edgeproof release {mend}`")
        elif name == "timestamp" and registry.late(metadata):
            yield Seen(name, "fail", f"{until}: more than half of its time has passed; `edgeproof release resign`")
        else:
            yield Seen(name, "pass", until)


def _bundle(registry: Registry, path: str, target: TargetFile) -> Seen:
    offer = offer_of(target)
    file = registry.file(offer, target.hashes["sha256"])
    if not file.is_file():
        return Seen(path, "not_measured", f"{offer.version}: {file.name} is not here; it lies on another host")
    try:
        with file.open("rb") as stream:
            target.verify_length_and_hashes(stream)
        evidence, manifest = opened(file)
        check(offer, evidence, manifest)
        if registry.evidence(offer).is_file() and _sha256(registry.evidence(offer)) != offer.evidence:
            raise BadData(f"{registry.evidence(offer)}: is not the bundle's evidence")
    except (LengthOrHashMismatchError, InputError) as error:
        return Seen(path, "fail", f"{offer.version}: {' '.join(str(error).split())}")
    step = f", {offer.rollout.percent} % of the devices" if offer.rollout else ""
    return Seen(path, "pass", f"{offer.version}, {manifest.model}/{manifest.method}{step}")


def opened(file: Path) -> tuple[bytes, Manifest]:
    """A bundle's evidence and manifest; each of its files has the hash that the manifest gives it.

    Raises:
        BadData: it is no bundle.
    """
    digests: dict[str, str] = {}
    kept: dict[str, bytes] = {}
    try:
        with tarfile.open(file, "r:") as tar:
            for member in tar:
                if not member.isreg() or member.name in digests or member.name not in PARTS:
                    raise BadData(f"{file}: holds {member.name!r}, which no bundle does")
                stream: Any = tar.extractfile(member)
                digest, start = hashlib.sha256(), b""
                while block := stream.read(1 << 20):
                    digest.update(block)
                    if member.name in (bundle.MANIFEST, bundle.EVIDENCE) and len(start) <= records.MOST_BYTES:
                        start += block
                digests[member.name], kept[member.name] = digest.hexdigest(), start
    except (tarfile.TarError, OSError, EOFError) as error:
        raise BadData(f"{file}: no tar that can be read: {error}") from error
    try:
        manifest = bundle.from_json(records.parse(kept[bundle.MANIFEST]))
    except (ValueError, KeyError) as error:
        raise BadData(f"{file}: no manifest: {error}") from error
    digests.pop(bundle.MANIFEST)
    if digests != manifest.files or set(digests) != set(PARTS) - {bundle.MANIFEST}:
        raise BadData(f"{file}: its files are not those of its manifest")
    return kept[bundle.EVIDENCE], manifest


def check(offer: Offer, evidence: bytes, manifest: Manifest) -> None:
    """What a device checks of a bundle before it takes it: that it is what was signed, and passed for its target.

    Raises:
        BadData: it is not.
    """
    if (manifest.target, manifest.version, manifest.built_s) != (offer.target, offer.version, offer.built_s):
        raise BadData(f"the manifest is of {manifest.version} for {manifest.target}, which is not what is offered")
    if hashlib.sha256(evidence).hexdigest() != offer.evidence:
        raise BadData("its evidence is not what was signed")
    try:
        said = records.checked(records.parse(evidence), {"target": str, "verdict": str})
    except ValueError as error:
        raise BadData(f"its evidence cannot be read: {error}") from error
    if said != {"target": offer.target, "verdict": "pass"}:
        raise BadData(f"its evidence says {said['verdict']} for {said['target']}")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
