"""Proof that a capped run is the target's own arithmetic: the same inputs on an emulated CPU, bits compared.

QEMU executes the target's instructions one by one, a few hundred times slower than the capped run, so only a few
samples are replayed. What it answered is kept in the cache by model, inputs, OpenVINO and QEMU version; the
comparison itself is made every time.
"""

import hashlib
import io
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline import emulators
from pipeline.boards.child import Outputs, Place, run
from pipeline.records.results import Audit
from pipeline.records.targets import Precision, Target
from pipeline.system import cache, files
from pipeline.system.errors import InputError
from pipeline.system.files import sha256

SAMPLES = 8
FP32_TOLERANCE = 1e-5  # of the largest output: float kernels add in another order, integers do not

Floats = NDArray[np.float32]


def chosen(total: int, samples: int = SAMPLES) -> list[int]:
    """Which samples are replayed: at most `samples`, spread evenly."""
    return sorted({int(index) for index in np.linspace(0, total - 1, min(samples, total))})


def audit(
    model: Path,
    shape: Sequence[int],
    capped: Place,
    emulated: Place,
    target: Target,
    precision: Precision,
    inputs: Floats,
    outputs: Floats,
) -> Audit:
    """Compare the `outputs` (n, ...) of `inputs` (n, C, H, W) in the place `capped` with those of the emulated CPU.

    The target's emulator is started for the place `emulated`.

    INT8 models must agree in every bit, FP32 ones within `FP32_TOLERANCE`. An audit that cannot be made says why.
    """
    name = target.emulation.emulator
    assert name is not None
    tolerance = 0.0 if precision == "int8" else FP32_TOLERANCE
    record = Audit(emulator=name, samples=len(inputs), tolerance=tolerance)
    try:
        launcher, qemu = emulators.launcher(name), emulators.qemu_version(name)
        emulated = replace(emulated, launcher=launcher)
        replayed = _replay(model, shape, emulated, inputs, qemu)
    except InputError as error:
        return record.model_copy(update={"reason": str(error)})
    unit = max(float(np.abs(replayed).max()), 1e-30) if tolerance else 1.0
    both_undefined = np.isnan(outputs) & np.isnan(replayed)
    difference = float(np.where(both_undefined, 0, np.abs(outputs - replayed)).max()) / unit
    agrees = difference <= tolerance
    first = None if agrees else _first_difference(model, shape, [capped, emulated], tolerance, inputs[:1])
    return record.model_copy(
        update={
            "qemu_version": qemu,
            "agrees": agrees,
            "largest_difference": difference,
            "first_difference": first,
        }
    )


def _replay(model: Path, shape: Sequence[int], place: Place, inputs: Floats, qemu: str) -> Floats:
    weights = model.with_suffix(".bin")
    identity = [sha256(model), sha256(weights) if weights.exists() else "", version("openvino"), qemu, str(shape)]
    identity += place.settings.get("output", [])
    key = hashlib.sha256("\n".join([*identity, hashlib.sha256(inputs.tobytes()).hexdigest()]).encode()).hexdigest()
    kept = cache.folder("audits") / f"{key}.npy"
    if kept.exists():
        try:
            found: Floats = np.load(kept, allow_pickle=False)
            return found
        except (ValueError, EOFError):
            kept.unlink()
    [outputs] = _run(model, shape, [place], inputs)
    buffer = io.BytesIO()
    np.save(buffer, outputs.values)
    files.write_bytes(kept, buffer.getvalue())
    return outputs.values


def _first_difference(
    model: Path, shape: Sequence[int], places: Sequence[Place], tolerance: float, inputs: Floats
) -> str | None:
    """The first layer, in the network's order, whose output differs between the capped run and the emulated CPU."""
    shown = [_with_layers(place) for place in places]
    capped, replayed = _run(model, shape, shown, inputs)
    start = 0
    for layer in capped.facts["layers"]:
        part = slice(start, start + layer["values"])
        start += layer["values"]
        expected = replayed.values[:, part]
        allowed = tolerance * max(float(np.abs(expected).max()), 1e-30)
        if float(np.abs(capped.values[:, part] - expected).max()) > allowed:
            return str(layer["name"])
    return None


def _with_layers(place: Place) -> Place:
    return replace(place, settings={**place.settings, "layers": True})


def _run(model: Path, shape: Sequence[int], places: Sequence[Place], inputs: Floats) -> list[Outputs]:
    batches = (inputs[start : start + shape[0]] for start in range(0, len(inputs), shape[0]))
    return run(model, batches, len(inputs), shape, places)
