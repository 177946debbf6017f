"""Bundles with a real model in them: it tells red regions from blue ones, on ONNX Runtime."""

import hashlib
import io
import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from pipeline.formats.pack import pack
from runners.contract import bundle, model_input
from runners.edge.backends.onnxruntime_session import OnnxRuntimeSession
from runners.edge.loop.regions import normalise
from runners.edge.update import unpack
from tests import clips
from tests.agent.registry import TARGET

BUILT_S = 1790000000


@cache
def model() -> tuple[bytes, bytes, bytes]:
    """model.tar.xz, and its samples: regions and what it answers, as .npy files."""
    with TemporaryDirectory() as scratch:
        folder = clips.bundle(Path(scratch) / "exported", "onnxruntime")
        pack(folder, Path(scratch) / bundle.PACKED)
        wanted = model_input.read(str(folder / model_input.NAME))
        regions = np.random.default_rng(0).integers(0, 256, (6, clips.SIZE, clips.SIZE, 3), np.uint8)
        taken = normalise(regions, wanted.mean, wanted.std)
        [scores] = OnnxRuntimeSession(str(folder / "model.onnx"), "CPU", 1).run(taken)
        return (Path(scratch) / bundle.PACKED).read_bytes(), npy(regions), npy(np.asarray(scores, np.float32))


def npy(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def files(version: str, target: str = TARGET, verdict: str = "pass", **manifest: Any) -> dict[str, bytes]:
    """A bundle's files; `manifest` changes values of its manifest."""
    packed, regions, scores = model()
    evidence = json.dumps({"target": target, "verdict": verdict, "records": []}).encode()
    content = {
        bundle.PACKED: packed, bundle.REGIONS: regions, bundle.SCORES: scores, bundle.EVIDENCE: evidence,
        bundle.SBOM: b"{}", bundle.NOTICE: version.encode(),
    }  # fmt: skip
    return described(content, version, target, **manifest)


def described(content: dict[str, bytes], version: str, target: str = TARGET, **manifest: Any) -> dict[str, bytes]:
    """The same files with a manifest that names them."""
    content = {name: data for name, data in content.items() if name != bundle.MANIFEST}
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in content.items()}
    about = bundle.Manifest("tiny", "fp32", target, version, "onnxruntime", clips.CLASSES, 0.0, BUILT_S, sums, {})
    content[bundle.MANIFEST] = json.dumps({**bundle.as_json(about), **manifest}).encode()
    return content


def tar(content: dict[str, bytes]) -> bytes:
    """As a release packs them."""
    return b"".join(entry(name, content[name]) for name in sorted(content)) + unpack.END


def entry(name: str, data: bytes) -> bytes:
    return unpack.header(name, len(data)) + data + bytes(-len(data) % unpack.RECORD)
