"""One model file in a target's arithmetic and on this machine, over the same samples: for the pipeline and `check`."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline import emulators
from pipeline.errors import InputError
from pipeline.results import Audit, Grade, RoundedLayer, SaturatedLayer
from pipeline.retest import audit, capped_isa
from pipeline.retest.child import Outputs, Place, run
from pipeline.targets import Precision, Target

ANALYSED = 8  # samples that the saturation report looks at
CORES = os.cpu_count() or 1

Floats = NDArray[np.float32]


class Samples(Protocol):
    """Inputs that can be gone through more than once, held a batch at a time."""

    def __len__(self) -> int: ...

    def batches(self, size: int) -> Iterator[Floats]:
        """Batches (n <= size, ...) of float32 inputs as the model takes them."""
        ...


@dataclass(frozen=True)
class Emulation:
    """Outputs (N, ...) of every sample, and how far they can be trusted.

    `bounds` holds the outputs at either end where the target's arithmetic is known as an interval only; `target` is
    None then, since which end is worse shows in the accuracy. A field that could not be had is None and
    `not_measured` says why.
    """

    target: Floats | None
    host: Floats
    cloud: Floats | None
    cloud_basis: Literal["measured", "simulated"] | None
    grade: Grade
    bounds: dict[str, Floats] = field(default_factory=dict)
    audit: Audit | None = None
    layers: list[SaturatedLayer | RoundedLayer] = field(default_factory=list)
    peak_memory_mib: int | None = None
    not_measured: dict[str, str] = field(default_factory=dict)


def emulate(
    model: Path, precision: Precision, samples: Samples, shape: Sequence[int], target: Target, *, proven: bool = True
) -> Emulation:
    """Run `model` (an OpenVINO IR or an ONNX file) over all `samples` in batches of `shape`.

    An emulation that an audit could prove stays without one unless it is to be `proven`.

    Raises:
        InputError: the model fits no runtime of this target, crashes or hangs it, or needs more memory than it has.
    """
    match target.emulation.kind:
        case "capped-isa":
            return _capped(model, precision, samples, shape, target, proven)
        case "fp16-boundaries":
            return _bounded(model, precision, samples, shape, target)
        case "qemu-aarch64":
            return _aarch64(model, precision, samples, shape, target)


def _capped(
    model: Path, precision: Precision, samples: Samples, shape: Sequence[int], target: Target, proven: bool
) -> Emulation:
    # Only 8-bit sums saturate, so FP32 on this machine is FP32 in any cloud.
    simulated = precision == "int8" and capped_isa.host_saturates()
    places = [capped_isa.target_place(target), capped_isa.host_place(target)]
    if simulated:
        places.append(capped_isa.host_place(target, saturating=False))
    probes = _Probes(samples, audit.chosen(len(samples)))
    capped, host, *cloud = _run(model, probes, shape, places)
    audited = None
    if proven:
        audited = audit.audit(model, shape, target, precision, probes.inputs, capped.values[probes.rows])
    agrees = audited.agrees if audited else None
    disagrees = agrees is False
    where = f", first in the layer {audited.first_difference}" if audited and audited.first_difference else ""
    reason = f"the audit on {target.emulation.emulator} disagrees{where}"
    return Emulation(
        target=None if disagrees else capped.values,
        host=host.values,
        cloud=cloud[0].values if cloud else host.values,
        cloud_basis="simulated" if simulated else "measured",
        grade="exact" if agrees else "not_measured" if disagrees else "unaudited",
        audit=audited,
        layers=_saturation(model, probes.inputs[:ANALYSED], shape, target) if precision == "int8" else [],
        peak_memory_mib=capped.facts["peak_memory_mib"],
        not_measured={"accuracy.target": reason} if disagrees else {},
    )


def _saturation(
    model: Path, inputs: Floats, shape: Sequence[int], target: Target
) -> list[SaturatedLayer | RoundedLayer]:
    # Full batches only; a model of batch 4 on 3 samples sees one of them twice.
    rows = np.resize(np.arange(len(inputs)), -(-len(inputs) // shape[0]) * shape[0])
    batches = (inputs[part] for part in rows.reshape(-1, shape[0]))
    [analysis] = run(model, batches, len(rows), shape, [capped_isa.analysis_place(target)])
    return [SaturatedLayer.model_validate(layer) for layer in analysis.facts["layers"]]


def _bounded(model: Path, precision: Precision, samples: Samples, shape: Sequence[int], target: Target) -> Emulation:
    _needs_onnx(model, target)
    places = [Place("this machine", "onnxruntime_cpu", CORES)]
    if precision == "fp16":
        places += [
            Place(f"{target.name}, sums in {sums.upper()}", "parker_fp16", CORES, settings={"accumulate": sums})
            for sums in ("fp32", "fp16")
        ]
    host, *bounds = _run(model, samples, shape, places)
    common: dict[str, Any] = {"host": host.values, "cloud": host.values, "cloud_basis": "measured", "grade": "bounded"}
    if not bounds:
        return Emulation(target=host.values, **common)
    return Emulation(
        target=None,
        **common,
        bounds={"fp32_sums": bounds[0].values, "fp16_sums": bounds[1].values},
        layers=[RoundedLayer.model_validate(layer) for layer in bounds[1].facts["layers"]],
    )


def _aarch64(model: Path, precision: Precision, samples: Samples, shape: Sequence[int], target: Target) -> Emulation:
    _needs_onnx(model, target)
    [host] = _run(model, samples, shape, [Place("this machine", "onnxruntime_cpu", CORES)])
    common: dict[str, Any] = {"host": host.values, "cloud": host.values, "cloud_basis": "measured"}
    not_measured = {}
    if precision == "int8" and capped_isa.host_saturates():
        common |= {"cloud": None, "cloud_basis": None}
        not_measured["accuracy.cloud"] = f"ONNX Runtime's 8-bit sums saturate on this machine ({capped_isa.host_isa()})"
    name = target.emulation.emulator
    assert name is not None
    try:
        place = Place(f"{target.name} in QEMU", "onnxruntime_cpu", 1, launcher=emulators.launcher(name))
    except InputError as error:
        return Emulation(
            target=None, grade="not_measured", **common, not_measured={**not_measured, "accuracy.target": str(error)}
        )
    [emulated] = _run(model, samples, shape, [place])
    return Emulation(target=emulated.values, grade="exact", **common, not_measured=not_measured)


def _needs_onnx(model: Path, target: Target) -> None:
    if model.suffix == ".xml":
        raise InputError(
            f"{model}: {target.name} runs {target.runtime.name}, which takes ONNX files; give the ONNX file"
        )


def _run(model: Path, samples: Samples, shape: Sequence[int], places: Sequence[Place]) -> list[Outputs]:
    return run(model, samples.batches(shape[0]), len(samples), shape, places)


class _Probes:
    """Samples whose inputs in some rows are kept while they pass, for what looks at a few of them again."""

    def __init__(self, samples: Samples, rows: list[int]) -> None:
        self._samples, self.rows = samples, rows
        self._kept: list[Floats] = []

    def __len__(self) -> int:
        return len(self._samples)

    def batches(self, size: int) -> Iterator[Floats]:
        self._kept = []
        start = 0
        for batch in self._samples.batches(size):
            self._kept += [batch[row - start].copy() for row in self.rows if start <= row < start + len(batch)]
            start += len(batch)
            yield batch

    @property
    def inputs(self) -> Floats:
        """The inputs kept, (n, ...)."""
        return np.stack(self._kept)
