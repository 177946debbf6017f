"""One model file in a target's arithmetic and on this machine, over the same samples: for the pipeline and `check`.

What can be said of a model stands in an order: the runtime takes the file here, it runs in the target's arithmetic, it
runs on the emulated CPU, that gives the same answers. What fails ends the rest.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from pipeline.arithmetic import kinds
from pipeline.arithmetic.fp16.rounding import together
from pipeline.arithmetic.kinds import Plan
from pipeline.formats.own_names import OwnNames
from pipeline.predict.patience import most_cpu_s
from pipeline.processes.child import Place
from pipeline.processes.failures import Failed, Unemulated
from pipeline.processes.samples import Floats, Inputs, Samples
from pipeline.processes.side_by_side import Outputs, run
from pipeline.records.results import Audit, CloudBasis, Grade, RoundedLayer, SaturatedLayer
from pipeline.records.targets import Precision, Target
from pipeline.retest import audit
from pipeline.retest.proof import Budget, Job, Proof, prove, replay, without_capped_run
from pipeline.system.errors import InputError

START_S = 20.0  # CPU seconds for what a runtime does before it calculates: with MobileNetV2 none here took 3
ANALYSED = 8  # samples that the analysis of layers looks at
PATIENT = Budget(1800.0, "take fewer test samples")  # for whoever does not wait at the screen

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
    audited: int = audit.SAMPLES,
    outputs: Sequence[str] = (),
    budget: Budget | None = None,
) -> Emulation:
    """Run `model` (an OpenVINO IR or an ONNX file) over all `samples` in batches of `shape`.

    An emulation that an audit could prove stays without one unless it is to be `proven`, on so many samples as are
    `audited`. The emulated CPU may take as long as `budget` says; a kind that always calculates there takes the time
    that it needs. It answers the outputs named, several of them side by side as (N, values); without names, the first
    one.

    Raises:
        InputError: the model fits no runtime of this target, or this machine's crashes on it, hangs or refuses it.
    """
    kind = kinds.of(target)
    if refusal := kind.refusal(model, target):
        raise InputError(f"{model}: {refusal}")
    plan = _answering(kind.plan(target, precision), outputs)
    probes = _Probes(samples, audit.chosen(len(samples), audited))
    capped = None if kind.replays_everything else plan.target
    given = budget or PATIENT
    found = _run_all(model, probes, shape, plan, capped, _first_cpu_s(model, shape, given))

    def values(place: Place | None) -> Floats | None:
        outputs = None if place is None else found[place.description]
        return outputs.values if isinstance(outputs, Outputs) else None

    tried = None if capped is None else found[capped.description]
    names = OwnNames(model)
    ran: list[dict[str, Any]] | None = tried.facts.get("ran") if isinstance(tried, Outputs) else None
    proof = Proof(plan.grade, values(capped))
    emulated = plan.target if kind.replays_everything else plan.audit
    if emulated is not None:
        if kind.replays_everything:
            given = Budget(None, given.advice)
        job = Job(model, shape, target, precision, samples, emulated, given)
        if capped is None:
            proof = replay(job)
        elif isinstance(tried, Failed):
            proof = without_capped_run(job, tried, proven)
        elif proven and proof.outputs is not None:
            proof = prove(job, capped, proof.outputs, probes.inputs, probes.rows)
    ran = proof.ran if ran is None else ran  # where a capped run failed, the emulated CPU shows the kernels
    not_measured = dict(plan.not_measured)
    bounds = {name: found[place.description] for name, place in plan.bounds.items()}
    unfollowed = next((str(end) for end in bounds.values() if isinstance(end, Failed)), None)
    if unfollowed is not None:  # one end alone says nothing of where the device is
        bounds, proof = {}, Proof("not_measured", None, reason=unfollowed)
    if proof.reason:
        not_measured["accuracy.target"] = proof.reason
    cloud = values(plan.cloud)
    if plan.cloud and cloud is None:
        not_measured["accuracy.cloud"] = str(found[plan.cloud.description])
    layers: list[Any] = []
    if plan.analysis:
        floating = [layer["weights"] for layer in ran or () if layer["weights"] and not layer["in_8_bits"]]
        place = replace(plan.analysis, settings={**plan.analysis.settings, "floating": floating})
        try:
            found_layers = _analysed(model, probes.inputs[:ANALYSED], shape, place)
        except InputError as error:
            not_measured["layers"] = str(error)
        else:
            for layer in found_layers:
                weights = layer.pop("weights")
                layers.append({**layer, "name": names.of(layer["name"], weights)})
    elif plan.layers_from in bounds:
        end = _outputs(found, plan.bounds[plan.layers_from])
        layers = together([facts["layers"] for facts in (end.facts, *end.others)])
    return Emulation(
        target=proof.outputs,
        host=_outputs(found, plan.host).values,
        cloud=cloud,
        cloud_basis=None if cloud is None else plan.cloud_basis,
        grade=proof.grade,
        bounds={name: end.values for name, end in bounds.items() if isinstance(end, Outputs)},
        audit=proof.audit,
        layers=_LAYERS.validate_python(layers),
        float_layers=_named(names, ran, in_8_bits=False),
        int8_layers=_named(names, ran, in_8_bits=True),
        # In an emulator it would be the emulator's own.
        peak_memory_mib=tried.facts["peak_memory_mib"] if plan.audit and isinstance(tried, Outputs) else None,
        not_measured=not_measured,
    )


def _first_cpu_s(model: Path, shape: Sequence[int], budget: Budget) -> float:
    """CPU seconds that loading and a first batch may take on this machine; who gives more time is waited for longer."""
    return most_cpu_s(model, shape[1:], shape[0], max(START_S, (budget.seconds or 0.0) / 10))


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


def _run_all(
    model: Path, probes: "_Probes", shape: Sequence[int], plan: Plan, capped: Place | None, first_cpu_s: float
) -> dict[str, Outputs | Failed]:
    """What came of each place, by its description.

    Only a capped run or a simulation may fail, and arithmetic that an emulation does not follow.

    This machine as it is comes first: where its own runtime does not take the file, nobody's fault is looked for.
    """
    wanted = (plan.host, capped, *plan.bounds.values(), plan.cloud)
    places = [place for index, place in enumerate(wanted) if place is not None and place not in wanted[:index]]
    may_fail = [place for place in ((capped if plan.audit else None), plan.cloud) if place and place != plan.host]
    failed: dict[str, Outputs | Failed] = {}
    while True:
        try:
            found = run(model, probes.batches(shape[0]), len(probes), shape, places, first_cpu_s=first_cpu_s)
        except Failed as error:
            culprit = next(place for place in places if place.description == error.place)
            if culprit not in may_fail and not (isinstance(error, Unemulated) and culprit in plan.bounds.values()):
                raise
            failed[culprit.description] = error
            places.remove(culprit)
        else:
            return failed | {place.description: outputs for place, outputs in zip(places, found, strict=True)}


def _outputs(found: dict[str, Outputs | Failed], place: Place) -> Outputs:
    outputs = found[place.description]
    assert isinstance(outputs, Outputs)  # else the run would have ended
    return outputs


def _analysed(model: Path, inputs: Inputs, shape: Sequence[int], place: Place) -> list[Any]:
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
        self._kept: list[Inputs] = []

    def __len__(self) -> int:
        return len(self._samples)

    def batches(self, size: int) -> Iterator[Inputs]:
        self._kept = []
        start = 0
        for batch in self._samples.batches(size):
            self._kept += [batch[row - start].copy() for row in self.rows if start <= row < start + len(batch)]
            start += len(batch)
            yield batch

    @property
    def inputs(self) -> Inputs:
        """The inputs kept, (n, ...)."""
        return np.stack(self._kept)
