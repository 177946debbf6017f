"""`edgeproof check`: anyone's model file, on this machine and as a target calculates, with nothing else needed."""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.boards import host
from pipeline.boards.child import Place, run
from pipeline.check.advice import advise
from pipeline.check.left_in_float import left_in_float
from pipeline.check.readability import reading_of
from pipeline.check.record import CheckReport, Data, Difference, Model
from pipeline.data.own import LabelledSamples
from pipeline.formats import readers
from pipeline.formats.model_file import ModelFile
from pipeline.formats.runtimes import Reading
from pipeline.predict import predict
from pipeline.records import results
from pipeline.records.gates import Check, Quantity, Value, judge, worst
from pipeline.records.predictions import Prediction
from pipeline.records.results import RoundedLayer, SaturatedLayer
from pipeline.records.targets import Precision, Target, calculated_in
from pipeline.retest.emulate import Emulation, emulate
from pipeline.retest.score import Scores, agreement_percent, score
from pipeline.system.errors import InputError, Unpredictable, shown
from pipeline.system.versions import versions

Floats = NDArray[np.float32]
RANDOM_SAMPLES = 32  # enough to see that two arithmetics differ


def check(
    model: ModelFile,
    target: Target,
    samples: LabelledSamples,
    *,
    precision: Precision | None = None,
    reference: ModelFile | None = None,
    random: bool = False,
    max_drop_points: float = 1.0,
) -> CheckReport:
    """Run a model over samples on this machine and in the target's arithmetic, and hold it against the limits.

    `precision` is what the target calculates in, by default what the file holds (on a GPU target FP32 files run in
    FP16). `reference` is the FP32 original. `random` says that the samples are noise, which can give no verdict.

    Raises:
        InputError: the target refuses the precision, the reference is not FP32 or of another shape, a runtime cannot
            run a model, or labels do not fit the outputs.
    """
    precision = precision or calculated_in(model.precision, target)
    if refusal := target.refusal(precision):
        raise InputError(refusal)
    if (precision == "int8") != (model.precision == "int8"):
        raise InputError(f"{model.path}: holds {model.precision} weights; it cannot be checked as {precision}")
    shape = (model.batch or target.objective.regions_per_frame, *model.sample_shape)
    reading = reading_of(model, target)
    try:
        emulation = emulate(model.path, precision, samples, shape, target)
    except InputError as error:
        if not reading.unreadable:
            raise
        return _unread(model, target, samples, precision, random, reading, str(error))
    fp32 = _reference_outputs(model, reference, samples, shape, emulation)
    scores = _scores(model, emulation, samples.labels, fp32)
    prediction, unpredicted = _prediction(model, target, precision, shape[0], emulation.float_layers)
    outputs = scores.target_outputs
    agreement = _agreement(outputs, fp32 if reference else emulation.cloud)
    accuracy = scores.accuracy
    checks = _judged(accuracy, None if random else agreement, prediction, target, max_drop_points, reading)
    not_measured = {**emulation.not_measured, **unpredicted}
    if samples.labels is None:
        not_measured["accuracy"] = "the samples have no labels"
    layers = sorted(emulation.layers, key=_cost, reverse=True)
    return CheckReport(
        target=target.name,
        precision=precision,
        model=_facts(model),
        reference=_facts(reference) if reference else None,
        data=_data(samples, random),
        runtime=reading,
        verdict=worst(item.verdict for item in checks),
        advice=" ".join([*left_in_float(emulation, precision, target), advise(checks, layers, target, reading)]),
        accuracy=accuracy,
        bounds=scores.bounds,
        cloud_basis=emulation.cloud_basis,
        agreement=agreement,
        agreement_with=None if agreement is None else "reference" if reference else "cloud",
        difference=_difference(outputs, emulation.cloud),
        grade=emulation.grade,
        audit=emulation.audit,
        worst_layer=layers[0].name if layers and any(_cost(layers[0])) else None,
        layers=layers,
        float_layers=sorted(emulation.float_layers or ()) if precision == "int8" else [],
        prediction=prediction,
        peak_memory_mib=emulation.peak_memory_mib,
        checks=list(checks),
        not_measured=not_measured,
        host_isa=host.isa(),
        versions=versions("openvino", "onnxruntime", "numpy"),
    )


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
    checks = judge(_read(reading), {"unreadable_nodes": 0})
    return CheckReport(
        target=target.name,
        precision=precision,
        model=_facts(model),
        data=_data(samples, random),
        runtime=reading,
        verdict=worst(item.verdict for item in checks),
        advice=advise(checks, [], target, reading),
        grade="not_measured",
        checks=list(checks),
        not_measured={"accuracy.target": reason},
        host_isa=host.isa(),
        versions=versions("openvino", "onnxruntime", "numpy"),
    )


def _data(samples: LabelledSamples, random: bool) -> Data:
    return Data(
        description=samples.description,
        samples=len(samples),
        labelled=samples.labels is not None,
        random=random,
        sha256=samples.sha256,
        notes=list(samples.notes),
    )


def _read(reading: Reading) -> dict[Quantity, Value]:
    return {"unreadable_nodes": Value(None if reading.unreadable is None else len(reading.unreadable))}


def default_precision(model: ModelFile, target: Target) -> Precision:
    """What the target would calculate this file in."""
    if model.precision == "int8":
        return "int8"
    return "fp16" if target.gpu else "fp32"


def _reference_outputs(
    model: ModelFile, reference: ModelFile | None, samples: LabelledSamples, shape: Sequence[int], emulation: Emulation
) -> Floats | None:
    if reference is None:
        return emulation.host if model.precision == "fp32" else None
    if reference.precision != "fp32":
        raise InputError(
            f"{reference.path}: holds {reference.precision} weights; the reference must be the FP32 original"
        )
    if reference.sample_shape != model.sample_shape:
        raise InputError(
            f"{reference.path}: takes {reference.sample_shape} inputs, {model.path} takes {model.sample_shape}"
        )
    shape = (reference.batch or shape[0], *reference.sample_shape)
    place = Place("FP32 reference", readers.reader(reference.format).BACKEND, host.CORES)
    [outputs] = run(reference.path, samples.batches(shape[0]), len(samples), shape, [place])
    if outputs.values.shape != emulation.host.shape:
        raise InputError(
            f"{reference.path}: answers {outputs.values.shape[1:]}, {model.path} {emulation.host.shape[1:]}"
        )
    return outputs.values


def _scores(model: ModelFile, emulation: Emulation, labels: NDArray[np.int64] | None, fp32: Floats | None) -> Scores:
    if labels is not None:
        classes = emulation.host[0].size
        if emulation.host.ndim != 2 and max(emulation.host.shape[1:]) != classes:
            raise InputError(
                f"{model.path}: answers {emulation.host.shape[1:]} a sample; labels need one value a class"
            )
        if int(labels.max()) >= classes:
            raise InputError(
                f"a label is {int(labels.max())}, but {model.path} answers {classes} classes (0 to {classes - 1})"
            )
        return score(emulation, labels, fp32)
    # Without labels the bound that agrees less with the cloud's classes counts.
    target = emulation.target
    if emulation.bounds and emulation.cloud is not None:
        cloud = emulation.cloud
        target = min(emulation.bounds.values(), key=lambda outputs: agreement_percent(outputs, cloud))
    return Scores(accuracy=results.Accuracies(), target_outputs=target)


def _agreement(outputs: Floats | None, others: Floats | None) -> float | None:
    if outputs is None or others is None or not _classifies(outputs):
        return None
    return agreement_percent(outputs, others)


def _classifies(outputs: Floats) -> bool:
    """Whether there is one value for each class: (N, classes), perhaps with dimensions of 1."""
    return bool(1 < outputs[0].size == max(outputs.shape[1:], default=0))


def _difference(outputs: Floats | None, cloud: Floats | None) -> Difference | None:
    if outputs is None or cloud is None:
        return None
    apart = outputs.astype(np.float64) - cloud
    if not np.isfinite(apart).all():
        return None
    rms, size = (float(np.sqrt(np.square(values).mean())) for values in (apart, cloud.astype(np.float64)))
    return Difference(largest=float(np.abs(apart).max()), rms=rms, relative_percent=100 * rms / size if size else 0.0)


def _judged(
    accuracy: results.Accuracies,
    agreement: float | None,
    prediction: Prediction | None,
    target: Target,
    max_drop_points: float,
    reading: Reading,
) -> tuple[Check, ...]:
    """Accuracy where there are labels, else how many answers change; the objective's speed; and what can be read."""
    before = accuracy.cloud if accuracy.fp32 is None else accuracy.fp32
    measured: dict[Quantity, Value] = {
        "regions_per_s": Value(prediction.inferences_per_s if prediction else None, predicted=True),
        **_read(reading),
    }
    first: Quantity
    if before is not None:
        first = "accuracy_drop_points"
        measured[first] = Value(before.percent - accuracy.target.percent if accuracy.target else None)
    else:
        first = "changed_answers_percent"
        measured[first] = Value(None if agreement is None else 100 - agreement)
    limits: dict[Quantity, float] = {first: max_drop_points, "regions_per_s": target.objective.regions_per_s}
    return judge(measured, {**limits, "unreadable_nodes": 0})


def _prediction(
    model: ModelFile, target: Target, precision: Precision, batch: int, floating: Collection[str] | None
) -> tuple[Prediction | None, dict[str, str]]:
    try:
        sample_shape = model.sample_shape
        return predict(model.path, target, precision, batch, floating=floating, sample_shape=sample_shape), {}
    except Unpredictable as error:
        return None, {"prediction": str(error)}


def _cost(layer: SaturatedLayer | RoundedLayer) -> tuple[float, ...]:
    if isinstance(layer, SaturatedLayer):
        return (layer.output_error, layer.saturated)
    return (layer.overflow, layer.flushed, layer.subnormal)


def _facts(model: ModelFile) -> Model:
    facts: dict[str, Any] = {name: getattr(model, name) for name in ("format", "sha256", "size_bytes", "precision")}
    return Model(path=shown(model.path), input_shape=list(model.input_shape), **facts)
