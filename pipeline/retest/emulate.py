"""One model file in a target's arithmetic and on this machine, over the same samples: for the pipeline and `check`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from pipeline import emulators
from pipeline.arithmetic import kinds
from pipeline.arithmetic.kinds import Plan
from pipeline.boards.child import Outputs, Place, run
from pipeline.boards.samples import Floats, Samples
from pipeline.formats.own_names import OwnNames
from pipeline.records.results import Audit, CloudBasis, Grade, RoundedLayer, SaturatedLayer
from pipeline.records.targets import Precision, Target
from pipeline.retest import audit
from pipeline.system.errors import InputError, Missing

ANALYSED = 8  # samples that the analysis of layers looks at

ChangedLayer = SaturatedLayer | RoundedLayer
_LAYERS: TypeAdapter[list[ChangedLayer]] = TypeAdapter(list[ChangedLayer])


@dataclass(frozen=True)
class Emulation:
    """Outputs (N, ...) of every sample, and how far they can be trusted.

    `bounds` holds the outputs at either end where the target's arithmetic is known as an interval only; `target` is
    None then, since which end is worse shows in the accuracy. `float_layers` and `int8_layers` are the layers that the
    target's runtime was seen to calculate in floating point and in 8 bits, by their names in the file; None where it
    does not tell. A field that could not be had is None and `not_measured` says why.
    """

    target: Floats | None
    host: Floats
    cloud: Floats | None
    cloud_basis: CloudBasis | None
    grade: Grade
    bounds: dict[str, Floats] = field(default_factory=dict)
    audit: Audit | None = None
    layers: list[ChangedLayer] = field(default_factory=list)
    float_layers: frozenset[str] | None = None
    int8_layers: frozenset[str] | None = None
    peak_memory_mib: int | None = None
    not_measured: dict[str, str] = field(default_factory=dict)


def emulate(
    model: Path,
    precision: Precision,
    samples: Samples,
    shape: Sequence[int],
    target: Target,
    *,
    proven: bool = True,
    outputs: Sequence[str] = (),
) -> Emulation:
    """Run `model` (an OpenVINO IR or an ONNX file) over all `samples` in batches of `shape`.

    An emulation that an audit could prove stays without one unless it is to be `proven`. It answers the outputs named,
    several of them side by side as (N, values); without names, the first one.

    Raises:
        InputError: the model fits no runtime of this target, crashes or hangs it, or needs more memory than it has.
    """
    kind = kinds.of(target)
    if refusal := kind.refusal(model, target):
        raise InputError(f"{model}: {refusal}")
    plan = _answering(kind.plan(target, precision), outputs)
    if kind.replays_everything:
        plan = _in_emulator(plan, target)
    probes = _Probes(samples, audit.chosen(len(samples)))
    wanted = (plan.target, *plan.bounds.values(), plan.host, plan.cloud)
    places = [place for index, place in enumerate(wanted) if place is not None and place not in wanted[:index]]
    found = run(model, probes.batches(shape[0]), len(samples), shape, places)

    def at(place: Place) -> Outputs:
        return found[places.index(place)]

    names = OwnNames(model)
    ran: list[dict[str, Any]] | None = at(plan.target).facts.get("ran") if plan.target else None
    answers = at(plan.target).values if plan.target else None
    grade, not_measured = plan.grade, dict(plan.not_measured)
    audited = None
    if proven and plan.audit and plan.target and answers is not None:
        audited = audit.audit(
            model, shape, plan.target, plan.audit, target, precision, probes.inputs, answers[probes.rows]
        )
        if audited.agrees:
            grade = "exact"
        elif audited.agrees is False:
            grade, answers = "not_measured", None
            where = f", first in the layer {audited.first_difference}" if audited.first_difference else ""
            not_measured["accuracy.target"] = f"the audit on {audited.emulator} disagrees{where}"
    layers: list[Any] = []
    if plan.analysis:
        floating = [layer["place"] for layer in ran or () if not layer["in_8_bits"]]
        place = replace(plan.analysis, settings={**plan.analysis.settings, "floating": floating})
        found_layers = _analysed(model, probes.inputs[:ANALYSED], shape, place)
        for layer in found_layers:
            weights = layer.pop("weights")
            layers.append({**layer, "name": names.of(layer["name"], weights)})
    elif plan.layers_from:
        layers = at(plan.bounds[plan.layers_from]).facts["layers"]
    return Emulation(
        target=answers,
        host=at(plan.host).values,
        cloud=at(plan.cloud).values if plan.cloud else None,
        cloud_basis=plan.cloud_basis,
        grade=grade,
        bounds={name: at(place).values for name, place in plan.bounds.items()},
        audit=audited,
        layers=_LAYERS.validate_python(layers),
        float_layers=_named(names, ran, in_8_bits=False),
        int8_layers=_named(names, ran, in_8_bits=True),
        # In an emulator it would be the emulator's own.
        peak_memory_mib=at(plan.target).facts["peak_memory_mib"] if plan.target and plan.audit else None,
        not_measured=not_measured,
    )


def _named(names: OwnNames, ran: list[dict[str, Any]] | None, *, in_8_bits: bool) -> frozenset[str] | None:
    if ran is None:
        return None
    return frozenset(names.of(layer["name"], layer["weights"]) for layer in ran if layer["in_8_bits"] == in_8_bits)


def _answering(plan: Plan, outputs: Sequence[str]) -> Plan:
    """The plan with every place answering `outputs`."""
    if not outputs:
        return plan

    def at(place: Place) -> Place:
        return replace(place, settings={**place.settings, "output": list(outputs)})

    return replace(
        plan,
        host=at(plan.host),
        target=plan.target and at(plan.target),
        cloud=plan.cloud and at(plan.cloud),
        audit=plan.audit and at(plan.audit),
        analysis=plan.analysis and at(plan.analysis),
        bounds={name: at(place) for name, place in plan.bounds.items()},
    )


def _in_emulator(plan: Plan, target: Target) -> Plan:
    """The plan with the target's place in its emulator, or without that place where the emulator is not installed."""
    assert plan.target is not None
    assert target.emulation.emulator is not None  # the record of an exact target has one
    try:
        launcher = emulators.launcher(target.emulation.emulator)
    except Missing as error:
        not_measured = {**plan.not_measured, "accuracy.target": str(error)}
        return replace(plan, target=None, grade="not_measured", not_measured=not_measured)
    return replace(plan, target=replace(plan.target, launcher=launcher))


def _analysed(model: Path, inputs: Floats, shape: Sequence[int], place: Place) -> list[Any]:
    """What the analysis in `place` says of each layer."""
    # Full batches only; a model of batch 4 on 3 samples sees one of them twice.
    rows = np.resize(np.arange(len(inputs)), -(-len(inputs) // shape[0]) * shape[0])
    batches = (inputs[part] for part in rows.reshape(-1, shape[0]))
    [analysis] = run(model, batches, len(rows), shape, [place])
    layers: list[Any] = analysis.facts["layers"]
    return layers


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
