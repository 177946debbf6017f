"""`edgeproof check`: anyone's model file, on this machine and as a target calculates, with nothing else needed."""

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.check import verdict
from pipeline.check.advice import advise
from pipeline.check.answered import asked
from pipeline.check.difference import difference, percent
from pipeline.check.first_samples import try_out
from pipeline.check.left_in_float import left_in_float
from pipeline.check.losses import losses
from pipeline.check.original import answers_of, takes_alike
from pipeline.check.outputs import choose, matching
from pipeline.check.readability import reading_of, refused_by, unknown_to
from pipeline.check.record import CheckReport, Data, Judged, Model
from pipeline.check.second_opinion import Opinion, opinion, runs
from pipeline.check.task import VOID, Name, Task, find, labels_of
from pipeline.data.own import LabelledSamples
from pipeline.formats.model_file import ModelFile
from pipeline.formats.runtimes import Reading
from pipeline.predict import predict
from pipeline.predict.frame import unknown
from pipeline.processes import host
from pipeline.processes.failures import Failed, Misshapen, RefusedByRuntime
from pipeline.processes.samples import Samples
from pipeline.records import results
from pipeline.records.gates import Quantity, Value, judge, proof_limit, worst
from pipeline.records.paired import CONFIDENCE, kept
from pipeline.records.predictions import Prediction
from pipeline.records.results import RoundedLayer, SaturatedLayer
from pipeline.records.targets import Precision, Target, calculated_in
from pipeline.records.words import uncertain
from pipeline.retest.emulate import Emulation, emulate
from pipeline.retest.proof import Budget
from pipeline.retest.score import Scores, agreement_percent, score
from pipeline.system.errors import InputError, Unpredictable, shown
from pipeline.system.versions import versions

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]
RANDOM_SAMPLES = 32  # enough to see that two arithmetics differ
AUDIT_SECONDS = 300.0
MORE_TIME = "give --audit-seconds or --limit"


def check(
    model: ModelFile,
    target: Target,
    samples: LabelledSamples,
    *,
    precision: Precision | None = None,
    reference: ModelFile | None = None,
    reference_samples: Samples | None = None,
    random: bool = False,
    outputs: Sequence[str] = (),
    task: Name | None = None,
    max_drop_points: float = 1.0,
    max_difference_percent: float | None = None,
    accept_unaudited: bool = False,
    confidence: float | None = None,
    audit_seconds: float = AUDIT_SECONDS,
) -> CheckReport:
    """Run a model over samples on this machine and in the target's arithmetic, and hold it against the limits.

    `precision` is what the target calculates in, by default what the file holds (on a GPU target FP32 files run in
    FP16). `reference` is the FP32 original, which gets `reference_samples` where it takes the same images in another
    array, or as pixels. `random` says that the samples are noise, which can give no verdict.
    `outputs` names those that are judged, `task` says as what; both are found where the user does not say.
    `max_difference_percent` limits how far the outputs may be apart.
    With a `confidence`, 0 to 1, the whole interval of what is lost and of the speed must keep the limit.
    Answers that nobody has audited pass only if `accept_unaudited`; where the target's CPU is emulated to prove them,
    that may take `audit_seconds`.

    Raises:
        InputError: the target refuses the precision, the reference is not FP32 or takes other samples, a runtime cannot
            run a model, several outputs may be meant, or labels do not fit the outputs.
    """
    precision = precision or calculated_in(model.precision, target)
    if refusal := target.refusal(precision):
        raise InputError(refusal)
    if (precision == "int8") != (model.precision == "int8"):
        raise InputError(f"{model.path}: holds {model.precision} weights; it cannot be checked as {precision}")
    if reference and reference_samples is None and not takes_alike(reference, model):
        raise InputError(f"{reference.path}: takes another array than {model.path}; give the samples for it too")
    chosen = choose(model, samples.labels, outputs)
    if any(None in (output.shape or (None, None))[1:] for output in chosen):
        with suppress(Failed):  # what cannot run is told below, by its place
            try_out(model, samples, chosen, task)
    shape = (model.batch or target.objective.regions_per_frame, *model.sample_shape)
    reading = reading_of(model, target)
    notes = reading.notes
    names = asked(model, [output.name for output in chosen])
    budget = Budget(audit_seconds, MORE_TIME)
    try:
        emulation = emulate(model.path, precision, samples, shape, target, outputs=names, budget=budget)
    except InputError as error:
        if isinstance(error, RefusedByRuntime | Misshapen) and not reading.unreadable:
            reading = unknown_to(error, model, target) or reading
            if not reading.unreadable and runs(model, samples, shape, names):
                reading = refused_by(error, target) or reading
        if not reading.unreadable:
            raise
        reading = reading.model_copy(update={"notes": notes})
        return _unread(model, target, samples, precision, random, reading, str(error))
    fp32 = emulation.host if model.precision == "fp32" else None
    if reference:
        names = asked(reference, matching(model, chosen, reference))
        fp32 = answers_of(reference, model, names, reference_samples or samples, shape[0])
        if fp32.shape != emulation.host.shape:
            raise InputError(f"{reference.path}: answers {fp32.shape[1:]}, {model.path} {emulation.host.shape[1:]}")
    labels = labels_of(samples, task)
    known = model.wanted is not None  # which only networks of this project have, and those classify
    found = find(chosen, emulation.host.shape[1:], labels, task, classifier=known)
    labels = None if labels is None else labels.reshape(len(labels), *found.decide(emulation.host[:1]).shape[1:])
    void = None if labels is None else found.void(labels)
    counted: Callable[[Floats], Labels] = found.decide
    if labels is not None and void is not None:
        labels, counted = labels[~void], lambda outputs: found.decide(outputs)[~void]
    original = fp32 if reference else emulation.cloud
    scores = _scores(found, counted, emulation, labels, fp32, original)
    prediction, unpredicted = _prediction(model, target, precision, shape[0], emulation.float_layers)
    answers = scores.target_outputs
    agreement = None
    if found.name != "values" and answers is not None and original is not None:
        agreement = agreement_percent(answers, original, found.decide)
    not_measured = {**emulation.not_measured, **unpredicted}
    quantity: Quantity = "changed_answers_percent"
    value, reason, changed = None, None, scores.paired
    if random:
        reason = "the samples are noise; give --data"
    elif labels is not None and (scores.accuracy.fp32 or scores.accuracy.cloud):
        quantity = "accuracy_drop_points"
        value, reason = verdict.accuracy_drop(scores.accuracy, labels, max_drop_points)
    elif found.name != "values":
        before = None if original is None else found.decide(original)
        changed = None if before is None or answers is None else kept(before, found.decide(answers))
        value, reason = verdict.changed_answers(changed, before, max_drop_points)
    elif max_difference_percent is None:
        reason = verdict.undecided(chosen, emulation.host.shape[1:], task, labelled=samples.labels is not None)
    apart: tuple[float | None, float] | None = None
    if max_difference_percent is not None:
        far, doubt = (None, None) if random else verdict.difference_percent(answers, original)
        apart, reason = (far, max_difference_percent), reason or doubt
    second = Opinion() if random else opinion(model, target, precision, samples, shape, names, emulation.host)
    # What it loses was held against the same runtime's answers where there is no reference.
    if doubted := second.mixed or (second.misread if reference is None else None):
        value, reason = (value if value is not None and value > max_drop_points else None), doubted
        apart = (None, apart[1]) if apart else None
    held = Value(value, interval=changed.interval(confidence or CONFIDENCE) if changed and value is not None else None)
    first = None if apart and found.name == "values" else (quantity, held, max_drop_points)
    proven = proof_limit(emulation.grade, accept_unaudited)
    certain = confidence is not None
    checks = verdict.judged(emulation.grade, proven, first, apart, prediction, target, reading, certain=certain)
    for item in checks:
        if item.name == quantity and item.uncertain:
            reason = uncertain(item, changed, confidence or CONFIDENCE)
    if labels is None:
        not_measured["accuracy"] = (
            "the samples have no labels" if samples.labels is None else "the outputs are judged as values"
        )
    if reason is not None:
        not_measured["accuracy" if labels is not None else "answers"] = reason
    layers = sorted(emulation.layers, key=_cost, reverse=True)
    lost = losses(found, scores.accuracy, fp32, emulation.cloud, answers)
    report = CheckReport(
        target=target.name,
        precision=precision,
        model=_facts(model),
        reference=_facts(reference) if reference else None,
        data=_data(
            samples, random, [] if void is None else [f"{void.mean():.1%} of the pixels have no class ({VOID})"]
        ),
        runtime=reading,
        judged=Judged(
            outputs=[output.name for output in chosen],
            of=len(model.outputs),
            task=found.name,
            classes=found.count,
            undecided=None if answers is None else found.undecided(answers),
        ),
        verdict=worst(item.verdict for item in checks),
        accuracy=scores.accuracy,
        paired=changed,
        confidence=confidence,
        bounds=scores.bounds,
        cloud_basis=emulation.cloud_basis,
        agreement=agreement,
        agreement_with=None if agreement is None else "reference" if reference else "cloud",
        difference=difference(answers, emulation.cloud),
        difference_with_reference=difference(answers, fp32) if reference else None,
        losses=lost,
        grade=emulation.grade,
        audit=emulation.audit,
        unaudited_accepted=accept_unaudited and emulation.grade == "unaudited",
        worst_layer=layers[0].name if layers and _cost(layers[0])[0] else None,
        layers=layers,
        float_layers=sorted(emulation.float_layers or ()) if precision == "int8" else [],
        prediction=prediction,
        peak_memory_mib=emulation.peak_memory_mib,
        checks=list(checks),
        not_measured=not_measured,
        host_isa=host.isa(),
        versions=versions("openvino", "onnxruntime", "numpy"),
    )
    in_float = left_in_float(emulation, precision, target)
    advice = advise(report, target, reason, second.mixed or second.misread, in_float)
    return report.model_copy(update={"advice": advice})


def _unread(
    model: ModelFile,
    target: Target,
    samples: LabelledSamples,
    precision: Precision,
    random: bool,
    reading: Reading,
    reason: str,
) -> CheckReport:
    """What is left to say of a file that the target's runtime does not read, where the emulation does not either."""
    checks = judge(verdict.unreadable(reading), {"unreadable_nodes": 0})
    report = CheckReport(
        target=target.name,
        precision=precision,
        model=_facts(model),
        data=_data(samples, random),
        runtime=reading,
        verdict=worst(item.verdict for item in checks),
        grade="not_measured",
        checks=list(checks),
        not_measured={"accuracy.target": reason},
        host_isa=host.isa(),
        versions=versions("openvino", "onnxruntime", "numpy"),
    )
    return report.model_copy(update={"advice": advise(report, target)})


def _data(samples: LabelledSamples, random: bool, notes: Sequence[str] = ()) -> Data:
    return Data(
        description=samples.description,
        samples=len(samples),
        labelled=samples.labels is not None,
        random=random,
        sha256=samples.sha256,
        notes=[*samples.notes, *notes],
    )


def _scores(
    task: Task,
    counted: Callable[[Floats], Labels],
    emulation: Emulation,
    labels: Labels | None,
    fp32: Floats | None,
    original: Floats | None,
) -> Scores:
    """`counted` gives those of the task's answers that labels are held against."""
    if labels is not None:
        return score(emulation, labels, fp32, counted)
    # Without labels the bound that is further from the outputs that the target's are held against counts.
    target = emulation.target
    if emulation.bounds and original is not None:

        def kept(outputs: Floats) -> float:
            if task.name == "values":
                return -(percent(outputs, original) or 0.0)
            return agreement_percent(outputs, original, task.decide)

        target = min(emulation.bounds.values(), key=kept)
    return Scores(accuracy=results.Accuracies(), target_outputs=target)


def _prediction(
    model: ModelFile, target: Target, precision: Precision, batch: int, floating: Collection[str] | None
) -> tuple[Prediction | None, dict[str, str]]:
    try:
        sample_shape = model.sample_shape
        found = predict(model.path, target, precision, batch, floating=floating, sample_shape=sample_shape)
        return found, {} if found.frames_per_s else {"prediction": unknown(target)}
    except Unpredictable as error:
        return None, {"prediction": str(error)}


def _cost(layer: SaturatedLayer | RoundedLayer) -> tuple[float, ...]:
    """The costliest layer has the highest; nothing is lost where all have nothing in the first place."""
    if isinstance(layer, SaturatedLayer):
        return (layer.output_error, layer.saturated)
    return (layer.overflow, layer.flushed)  # FP16 has subnormal numbers, and what it flushes hardly matters


def _facts(model: ModelFile) -> Model:
    facts: dict[str, Any] = {name: getattr(model, name) for name in ("format", "sha256", "size_bytes", "precision")}
    return Model(path=shown(model.path), input_shape=list(model.input_shape), **facts)
