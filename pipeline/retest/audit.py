"""Proof that a capped run is the target's own arithmetic: the same inputs on an emulated CPU, bits compared.

QEMU executes the target's instructions one by one, a few hundred times slower than the capped run, so only a few
samples are replayed. What it answered is kept in the cache by model, inputs, OpenVINO, QEMU version and emulated CPU;
the comparison itself is made every time.
"""

import hashlib
import io
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.formats import readers
from pipeline.formats.contents import identity
from pipeline.processes.child import Place
from pipeline.processes.failures import TooSlow
from pipeline.processes.samples import Inputs
from pipeline.processes.side_by_side import Outputs, run
from pipeline.records.results import Audit
from pipeline.records.targets import Precision
from pipeline.system import cache, files, npy
from pipeline.system.errors import InputError

SAMPLES = 8
LOADED = "as it is"  # how files are, which decides their graph: what is kept of another way is not taken
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
    record: Audit,
    precision: Precision,
    inputs: Inputs,
    outputs: Floats,
    budget_s: float | None = None,
) -> Audit:
    """Compare the `outputs` (n, ...) of `inputs` (n, C, H, W) in the place `capped` with those of the emulated CPU.

    `emulated` has the emulator as its launcher, whose QEMU's version `record` names. FP32 models must agree within
    `FP32_TOLERANCE`, INT8 models in every bit. Where one does not, some layers may be in floating point: then every
    quantizer's values must agree in every bit, and the answer within the tolerance. The answer is the record, filled.

    Raises:
        Failed: the emulated CPU does not run the model, or not within `budget_s` seconds.
    """
    start = time.monotonic()
    replayed = _replay(model, shape, emulated, inputs, str(record.qemu_version), budget_s)
    tolerance = 0.0 if precision == "int8" else FP32_TOLERANCE
    largest = difference(outputs, replayed, relative=tolerance > 0)
    agrees, first = largest <= tolerance, None
    if not agrees:
        left_s = None if budget_s is None else budget_s - (time.monotonic() - start)
        in_floats = difference(outputs, replayed, relative=True)
        may_agree = precision == "int8" and in_floats <= FP32_TOLERANCE
        try:
            apart = _layers_apart(model, shape, [capped, emulated], inputs, left_s)
        except TooSlow as error:
            if may_agree and budget_s is not None:  # which nobody knows then
                raise TooSlow(model, budget_s, emulated.where) from error
            apart = None
        first = None if apart is None else next(iter(apart), None)
        if may_agree and apart == []:
            agrees, tolerance, largest = True, FP32_TOLERANCE, in_floats
    return record.model_copy(
        update={
            "samples": len(inputs),
            "tolerance": tolerance,
            "agrees": agrees,
            "largest_difference": largest,
            "first_difference": first,
        }
    )


def difference(outputs: Floats, expected: Floats, *, relative: bool) -> float:
    """The largest one between outputs (N, ...), as a share of the largest value expected if it is `relative`.

    What is no number equals its like, and else lies infinitely far; so do outputs of another shape.
    """
    if outputs.shape != expected.shape:
        return float("inf")
    same = (outputs == expected) | (np.isnan(outputs) & np.isnan(expected))
    with np.errstate(invalid="ignore"):  # of infinities
        apart = np.where(same, 0, np.abs(outputs - expected)).astype(np.float64)
    largest = float(np.nan_to_num(apart, nan=np.inf).max(initial=0))
    if not relative or not largest:
        return largest
    finite = np.abs(expected[np.isfinite(expected)])
    return largest / max(float(finite.max(initial=0)), 1e-30)


def _replay(
    model: Path, shape: Sequence[int], place: Place, inputs: Inputs, qemu: str, budget_s: float | None
) -> Floats:
    weights, _ = identity(readers.of(model).contents(model).files)
    identities = [LOADED, weights, version("openvino"), qemu, str(shape), hashlib.sha256(inputs.tobytes()).hexdigest()]
    identities += [*place.settings.get("output", []), *(Path(part).name for part in place.launcher)]  # the CPU emulated
    key = hashlib.sha256("\n".join(identities).encode()).hexdigest()
    kept = cache.folder("audits") / f"{key}.npy"
    if kept.exists():
        try:
            return npy.read(kept)
        except ValueError:
            kept.unlink()
    [outputs] = _run(model, shape, [place], inputs, budget_s)
    buffer = io.BytesIO()
    np.save(buffer, outputs.values)
    files.write_bytes(kept, buffer.getvalue())
    return outputs.values


def _layers_apart(
    model: Path, shape: Sequence[int], places: Sequence[Place], inputs: Inputs, budget_s: float | None
) -> list[str] | None:
    """The layers, in the network's order, whose outputs differ between the capped run and the emulated CPU.

    Quantized values differ if a bit does, others beyond the tolerance. None where it cannot be found out.

    Raises:
        TooSlow: that takes more than `budget_s` seconds.
    """
    try:
        capped, replayed = _run(model, shape, [_with_layers(place) for place in places], inputs, budget_s)
    except TooSlow:
        raise
    except InputError:
        return None
    start, apart = 0, []
    layers: list[dict[str, Any]] = capped.facts["layers"]
    for layer in layers:
        part = slice(start, start + layer["values"])
        start += layer["values"]
        tolerance = 0.0 if layer["quantized"] else FP32_TOLERANCE
        if difference(capped.values[:, part], replayed.values[:, part], relative=tolerance > 0) > tolerance:
            apart.append(str(layer["name"]))
    return apart


def _with_layers(place: Place) -> Place:
    return replace(place, settings={**place.settings, "layers": True})


def _run(
    model: Path, shape: Sequence[int], places: Sequence[Place], inputs: Inputs, budget_s: float | None
) -> list[Outputs]:
    batches = (inputs[start : start + shape[0]] for start in range(0, len(inputs), shape[0]))
    return run(model, batches, len(inputs), shape, places, budget_s)
