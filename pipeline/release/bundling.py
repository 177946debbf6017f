"""Building a release: one bundle a target, as runners/contract/bundle.py describes it. Same input, same bytes."""

import hashlib
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.project import layout
from pipeline.project.candidate import weights_of
from pipeline.release.choosing import Chosen, choose
from pipeline.release.expected import expected
from pipeline.release.inventory import bill, notice
from pipeline.release.release_settings import ReleaseSettings
from pipeline.release.tags import Tag
from pipeline.report.metrics import numbers
from pipeline.system import files, programs
from pipeline.system.errors import BadData, InputError, Missing
from runners.contract import bundle
from runners.contract.bundle import Manifest, Offer
from runners.edge.update import unpack

if TYPE_CHECKING:
    from pipeline.project.params import Params

RELEASES = layout.ARTIFACTS / "releases"
LISTING, NOTES = "release.json", "notes.md"
GIT_S = 20.0


@dataclass(frozen=True)
class Built:
    """A bundle that was built: its offer, and what it is."""

    offer: Offer
    sha256: str
    length: int

    @property
    def file_name(self) -> str:
        """Its file, in the release's folder and below the registry's targets."""
        return f"{self.sha256}.{self.offer.name}"


def folder_of(release: str) -> Path:
    """Where a release is built."""
    return RELEASES / release


def build(
    tag: Tag,
    params: "Params",
    settings: ReleaseSettings,
    *,
    targets: Sequence[str] = (),
    named: str | None = None,
    allowed: str | None = None,
) -> list[tuple[Chosen, Built]]:
    """Make the release's folder: the bundles, each one's evidence and test-result predicate, and their listing.

    Raises:
        InputError: see `choose`; or the files are not those that the records are about.
    """
    chosen = choose(params, settings.lanes, targets=targets, named=named, allowed=allowed)
    when, made = built_s(), []
    with files.replacing_folder(folder_of(tag.release)) as folder:
        for one in chosen:
            made.append((one, _bundle(one, tag, when, folder)))
        files.write_json(folder / LISTING, {"channel": tag.channel, "bundles": [_as_json(one) for _, one in made]})
    return made


def built_s() -> int:
    """When what is released was made, in seconds since 1970: SOURCE_DATE_EPOCH, or else the time of the commit.

    Raises:
        Missing: there is neither.
    """
    given = os.environ.get("SOURCE_DATE_EPOCH", "")
    if given.isdecimal():
        return int(given)
    try:
        return int(programs.run(["git", "log", "-1", "--format=%ct"], GIT_S).strip())
    except (programs.Failed, ValueError):
        raise Missing("no commit here to release; run this in the repository, or set SOURCE_DATE_EPOCH") from None


def listed(folder: Path) -> tuple[str, list[Built]]:
    """The channel and the bundles of a release's folder; each file has been hashed again, whole.

    Raises:
        InputError: it is none, or a file is not what was built.
    """
    try:
        content = json.loads((folder / LISTING).read_text(encoding="utf-8"))
        channel = str(content["channel"])
        bundles = [
            Built(bundle.offer_from_json(one["offer"]), one["sha256"], one["length"]) for one in content["bundles"]
        ]
    except OSError as error:
        raise Missing(f"{folder}: no release that was built; `edgeproof release build` makes one") from error
    except (ValueError, LookupError, TypeError) as error:
        raise BadData(f"{folder / LISTING}: damaged ({error}); build the release again") from error
    for one in bundles:
        path = folder / one.file_name
        if not path.is_file() or path.stat().st_size != one.length or files.sha256(path) != one.sha256:
            raise BadData(f"{path}: is not what was built; build the release again")
    return channel, bundles


def write_tar(path: Path, contents: Mapping[str, Path | bytes]) -> None:
    """A plain tar of files in the order of their names, with headers that say nothing else of them.

    Raises:
        InputError: a name is not taken on a device.
    """
    with path.open("wb") as stream:
        for name in sorted(contents):
            content = contents[name]
            size = len(content) if isinstance(content, bytes) else content.stat().st_size
            try:
                stream.write(unpack.header(name, size))
            except ValueError as error:
                raise InputError(f"{path}: {error}") from error
            for block in _blocks(content):
                stream.write(block)
            stream.write(bytes(-size % unpack.RECORD))
        stream.write(unpack.END)


def _blocks(content: Path | bytes) -> Iterable[bytes]:
    with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as stream:
        while block := stream.read(unpack.BLOCK):
            yield block


def _bundle(chosen: Chosen, tag: Tag, when: int, folder: Path) -> Built:
    result, target = chosen.result, chosen.target
    packed = chosen.candidate.download(target.runtime.name)
    _check_files(chosen, packed)
    samples = expected(chosen.candidate, target, result)
    evidence = _json_bytes(evidence_of(chosen, tag))
    contents: dict[str, Path | bytes] = {
        bundle.PACKED: packed,
        bundle.REGIONS: _npy(samples.regions),
        bundle.SCORES: _npy(samples.scores),
        bundle.EVIDENCE: evidence,
        bundle.NOTICE: notice(result, tag.version).encode(),
    }
    contents[bundle.SBOM] = bill(result, tag.version, when, _hashes(contents), _packages(chosen))
    manifest = Manifest(
        model=result.model,
        method=result.method,
        target=target.name,
        version=tag.version,
        runtime=target.runtime.name,
        classes=samples.classes,
        tolerance=samples.tolerance,
        built_s=when,
        files=_hashes(contents),
        about=_about(chosen),
    )
    contents[bundle.MANIFEST] = _json_bytes(bundle.as_json(manifest))
    name = f"{target.name}-{tag.version}.tar".replace("+", "-")  # which GitHub would do to an asset's name
    made = folder / name
    write_tar(made, contents)
    sha256, length = files.sha256(made), made.stat().st_size
    made.rename(folder / f"{sha256}.{name}")
    files.write_bytes(folder / "evidence" / f"{target.name}.json", evidence)
    files.write_json(folder / "predicates" / f"{target.name}.json", predicate(chosen, evidence))
    offer = Offer(target.name, tag.version, tag.release, name, when, hashlib.sha256(evidence).hexdigest())
    return Built(offer, sha256, length)


def evidence_of(chosen: Chosen, tag: Tag) -> dict[str, Any]:
    """What a bundle is released for: each lane's verdict with its limits, and the records that were judged.

    `verdict` is of the lanes that were measured: none fails, one passes. A required one that was not stays
    `not_measured` in `lanes`, and `allowed_not_measured` is why it was released all the same.
    """
    return {
        "schema_version": 1,
        "target": chosen.target.name,
        "version": tag.version,
        "model": chosen.result.model,
        "method": chosen.result.method,
        "verdict": "pass",
        "lanes": chosen.lanes,
        "required": list(chosen.required),
        "allowed_not_measured": chosen.allowed,
        "records": [
            {
                "verdict": judgement.verdict,
                "checks": [asdict(check) for check in judgement.checks],
                "result": judgement.result.model_dump(mode="json", exclude={"predictions", "layers"}),
            }
            for _, judgement in sorted(chosen.judgements.items())
        ],
    }


def predicate(chosen: Chosen, evidence: bytes) -> dict[str, Any]:
    """The same as in-toto's test result (https://in-toto.io/attestation/test-result/v0.1), for `actions/attest`."""
    tests: dict[str, list[str]] = {"passedTests": [], "warnedTests": [], "failedTests": []}
    kinds = {"pass": "passedTests", "not_measured": "warnedTests", "fail": "failedTests"}
    for lane, judgement in sorted(chosen.judgements.items()):
        for check in judgement.checks:
            tests[kinds[check.verdict]].append(f"{lane}/{check.name}")
    tests["warnedTests"] += [f"{lane}" for lane in chosen.required if lane not in chosen.judgements]
    digest = {"sha256": hashlib.sha256(evidence).hexdigest()}
    result = "WARNED" if chosen.allowed else "PASSED"
    return {"result": result, "configuration": [{"name": bundle.EVIDENCE, "digest": digest}], **tests}


def _check_files(chosen: Chosen, packed: Path) -> None:
    """The records must be about the very files that are released, and about the data set that is here."""
    result, file = chosen.result, chosen.candidate.loaded_by(chosen.target.runtime.name)
    weights, samples = weights_of(file), layout.DATASET / "samples.csv"
    for needed in (packed, weights, samples):
        if not needed.is_file():
            raise Missing(f"{needed} not found: run `dvc repro`")
    if files.sha256(weights) != result.model_sha256 or packed.stat().st_size != result.download_bytes:
        raise BadData(f"{packed}: is not the model that {result.target}'s record is about; run `dvc repro`")
    if files.sha256(samples) != result.data_sha256:
        raise BadData(f"{samples}: is not the data that {result.target}'s record is about; run `dvc repro`")


def _about(chosen: Chosen) -> dict[str, Any]:
    result = chosen.result
    return {
        "metrics": {
            lane: {"grade": judgement.result.grade, "verdict": judgement.verdict, **numbers(judgement)}
            for lane, judgement in sorted(chosen.judgements.items())
        },
        "data_sha256": result.data_sha256,
        "model_sha256": result.model_sha256,
        "commit": result.git_commit,
        "runtime": f"{chosen.target.runtime.name} {chosen.target.runtime.version}",
        "versions": _packages(chosen),
    }


def _packages(chosen: Chosen) -> dict[str, str]:
    """What made the model's files and calculated its answers."""
    try:
        exported = json.loads((chosen.candidate.exported / "manifest.json").read_text(encoding="utf-8"))["versions"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise Missing(f"{chosen.candidate.exported}: missing or damaged; run `dvc repro`") from error
    return {**exported, **chosen.result.versions}


def _hashes(contents: Mapping[str, Path | bytes]) -> dict[str, str]:
    return {
        name: hashlib.sha256(content).hexdigest() if isinstance(content, bytes) else files.sha256(content)
        for name, content in sorted(contents.items())
    }


def _npy(values: NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.ascontiguousarray(values), allow_pickle=False)
    return stream.getvalue()


def _json_bytes(value: Any) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()


def _as_json(built: Built) -> dict[str, Any]:
    return {"offer": bundle.offer_as_json(built.offer), "sha256": built.sha256, "length": built.length}
