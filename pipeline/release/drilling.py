"""A drill: a bundle that is known to be bad goes to a channel of its own, where devices must refuse it by themselves.

It is a good bundle with other expected answers, so that everything is right with it but the self-test.
"""

import io
import shutil
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from securesystemslib.signer import CryptoSigner

from pipeline.release.bundling import write_tar
from pipeline.release.tuf_registry import Registry, target_of
from pipeline.release.verifying import opened
from pipeline.system import files
from pipeline.system.errors import BadData, Missing, Refused
from runners.contract import bundle
from runners.contract.bundle import NEXT
from runners.contract.rollout import Rollout

CHANNEL = "drill"
MOST_BYTES = 64 << 20  # of the scores


def drill(registry: Registry, key: CryptoSigner, target: str, channel: str = "stable") -> list[str]:
    """Offer a known-bad copy of what `channel` offers for a target in the channel `drill`, beside the good one.

    The answer says what devices of the channel `drill` must report.

    Raises:
        InputError: nothing is offered, or the bundle is not here.
    """
    path, there = f"{channel}/{target}", f"{CHANNEL}/{target}"
    with registry.changing(key) as targets:
        if path not in targets:
            raise Missing(f"{path}: nothing is offered, and so there is nothing to make a bad copy of")
        if there + NEXT in targets:
            raise Refused(f"{there}: a drill is on; end it by `edgeproof release rollback --channel {CHANNEL}`")
        offer, good = registry.offers()[path], targets[path]
        source = registry.file(offer, good.hashes["sha256"])
        if not source.is_file():
            raise Missing(f"{source}: not here; put the bundle there, or publish it to this registry")
        version = f"{offer.version}-drill.{int(registry.now.timestamp())}"
        with tempfile.TemporaryDirectory(prefix="edgeproof-") as scratch:
            made = Path(scratch) / "bad.tar"
            evidence = _spoil(source, version, made, Path(scratch))
            sha256, length = files.sha256(made), made.stat().st_size
            bad = offer._replace(
                version=version,
                name=f"{target}-{version}.tar",
                evidence=files.sha256(evidence),
                rollout=Rollout(100, int(registry.now.timestamp()), 0),
            )
            lies = registry.file(bad, sha256)
            registry.put(made, lies, sha256)
        targets[there] = target_of(offer._replace(rollout=None), there, good.length, good.hashes["sha256"])
        targets[there + NEXT] = target_of(bad, there + NEXT, length, sha256)
    return [
        f"{lies}: the bad bundle; where bundles lie on another host, put it into {offer.release} there",
        f"{there}: {version} is offered to every device that follows the channel {CHANNEL}; its self-test must fail",
        f"each of them must go on with what it runs and report failed: {version}, with its self-test as the reason",
        "`edgeproof release rollout --inbox FOLDER` must then halt it; other channels have seen nothing of it",
    ]


def _spoil(source: Path, version: str, made: Path, scratch: Path) -> Path:
    """Write the bundle at `source` with other scores and of another version; the file of its evidence."""
    opened(source)  # a good one
    parts: dict[str, Path] = {}
    with tarfile.open(source, "r:") as tar:
        for member in tar:
            stream: Any = tar.extractfile(member)
            parts[member.name] = scratch / member.name.replace("/", "-")
            with parts[member.name].open("wb") as out:
                shutil.copyfileobj(stream, out)
    if parts[bundle.SCORES].stat().st_size > MOST_BYTES:
        raise BadData(f"{source}: its scores are too large")
    scores = np.load(parts[bundle.SCORES], allow_pickle=False)
    spoilt = io.BytesIO()
    np.save(spoilt, np.float32(scores.max(initial=0) + 1) - scores, allow_pickle=False)  # the order of answers reversed
    parts[bundle.SCORES].write_bytes(spoilt.getvalue())
    manifest = bundle.read(str(parts[bundle.MANIFEST]))
    digests = {name: files.sha256(path) for name, path in sorted(parts.items()) if name != bundle.MANIFEST}
    files.write_json(parts[bundle.MANIFEST], bundle.as_json(manifest._replace(version=version, files=digests)))
    write_tar(made, parts)
    return parts[bundle.EVIDENCE]
