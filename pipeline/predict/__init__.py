"""Prediction of inferences per second and watts from a network's file. Method, rows and errors: docs/prediction.md."""

from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from pipeline.formats.graph.graph import Graph
from pipeline.formats.network_file import held_precision, load
from pipeline.predict.fit import Fit, fit
from pipeline.predict.frame import Frame, Network, network_share_ms, predict_frame, unknown
from pipeline.predict.layers import Layer, layers_of
from pipeline.predict.machine import Machine, machine
from pipeline.predict.measurements import BoardResult, own, published
from pipeline.predict.power import PowerFit, fit_power
from pipeline.predict.roofline import Array, traffic, work
from pipeline.records.predictions import LayerTime, Prediction
from pipeline.records.targets import Precision, Target, calculated_in
from pipeline.system.errors import InputError, Refused, Unpredictable
from pipeline.system.stopwatch import part

__all__ = ["BoardResult", "precision_of", "predict", "predict_graph"]

_PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8")
_MIN_MODELS = 2  # fewer cannot tell how far off the prediction is
_DEPTHWISE_SHARE = 0.3  # of the time, from which a prediction for the TX2 carries a note


@part("predict")
def predict(
    model: Path,
    target: Target,
    precision: Precision,
    batch: int = 1,
    measurements: Iterable[BoardResult] = (),
    floating: Collection[str] | None = None,
    sample_shape: Sequence[int] | None = None,
) -> Prediction:
    """Predict rate, latency and power of an ONNX file or OpenVINO IR, float or quantised, on a target.

    Args:
        floating: names of the layers that a run on the target's runtime calculated in floating point, where there was
            one. Else the file tells, by OpenVINO's rule.
        sample_shape: the dimensions of one image, in the model's order, where the file leaves them open.
        measurements: results from our own boards, to which the fit is extended.

    Raises:
        BadModel: the file is damaged, or no network.
        Unpredictable: a size in it stays open, or see `predict_graph`.
    """
    return predict_graph(load(model, sample_shape), target, precision, batch, measurements, floating)


def precision_of(model: Path, target: Target, asked: Precision | None = None) -> Precision:
    """What to predict a file in: what is `asked` for, by default what the target calculates it in.

    An FP32 file can be asked about in any precision, to learn what compressing it would bring.

    Raises:
        BadModel: the file is damaged, or no network.
        Refused: the file has 8-bit weights, which nothing calculates in another precision.
    """
    held = held_precision(model)
    if asked is None or asked == held or held != "int8":
        return asked or calculated_in(held, target)
    raise Refused(target.refusal(held) or f"{model}: holds {held} weights; it cannot be predicted as {asked}")


def predict_graph(
    graph: Graph,
    target: Target,
    precision: Precision,
    batch: int = 1,
    measurements: Iterable[BoardResult] = (),
    floating: Collection[str] | None = None,
) -> Prediction:
    """Predict as `predict` does, from a network in memory. A floating-point graph is timed in `precision` throughout.

    A quantised one of which no layer is calculated in 8 bits is predicted, and said to be, in FP32.

    Raises:
        Unpredictable: the network has a layer without a cost, or nothing comparable to the target has been measured.
        InputError: the target refuses the precision, or the batch is not positive.
    """
    if refusal := target.refusal(precision):
        raise Refused(refusal)
    if batch < 1:
        raise InputError(f"batch must be at least 1, not {batch}")
    layers = layers_of(graph, floating)
    multiplying = [layer for layer in layers if layer.macs]
    left = [layer.name for layer in multiplying if layer.fp32] if precision == "int8" else []
    if left and len(left) == len(multiplying):
        precision = "fp32"
    own_results = tuple(measurements)
    fitted = _fitted(target, precision, own_results)
    times = _times(layers, target, precision, batch, fitted, own_results)
    rate = 1000 * batch / float(times.sum())
    latency_ratio = family_latency(target.measured_as, own_results)
    regions = target.objective.regions_per_frame
    frame_times = times if batch == regions else _times(layers, target, precision, regions, fitted, own_results)
    batch_ms = float(frame_times.sum()) * latency_ratio
    frame = predict_frame(target, Network(batch_ms, fitted.error_percent, regions, graph.values))
    share_ms = network_share_ms(target, target.objective.frames_per_s, regions, graph.values)
    power_w, basis, power_error = _power(target, precision, sum(layer.macs for layer in layers), rate, own_results)
    return Prediction(
        target=target.name,
        precision=precision,
        batch=batch,
        inferences_per_s=rate,
        frames_per_s=frame.per_s if frame else None,
        frames_range=frame.range_per_s if frame else None,
        parts_ms=frame.parts_ms if frame else {},
        network_share=share_ms / batch_ms if share_ms is not None else None,
        latency_ms=float(times.sum()) * latency_ratio,
        power_w=power_w,
        power_basis=basis,
        error_percent=fitted.error_percent,
        power_error_percent=power_error,
        notes=(
            *_notes(target, layers, times, fitted),
            *_frame_notes(target, frame),
            *_left(left, len(multiplying), target),
        ),
        layers=_layer_times(layers, machine(target, precision), batch, times),
    )


def _fitted(target: Target, precision: Precision, results: tuple[BoardResult, ...]) -> Fit:
    fitted = family_fit(target.measured_as, precision, results)
    if fitted is None:
        raise Unpredictable(
            f"no published measurements for {target.name} at {precision}; only a board can show its speed"
        )
    return fitted


@lru_cache(maxsize=32)
def family_fit(name: str, precision: Precision, results: tuple[BoardResult, ...] = ()) -> Fit | None:
    """The fit to all rows of a target family at a precision; None when they are of fewer than two models."""
    rows = [*published(name, precision), *own(results, name, precision)]
    return fit(rows) if len({row.model for row in rows}) >= _MIN_MODELS else None


@lru_cache(maxsize=32)
def family_power(name: str, results: tuple[BoardResult, ...] = ()) -> PowerFit | None:
    """The power model of a target family over all its precisions; None without enough measured power."""
    fits = [fitted for precision in _PRECISIONS if (fitted := family_fit(name, precision, results))]
    rows = [row for fitted in fits for row in fitted.rows]
    return fit_power(rows, [float(rate) for fitted in fits for rate in fitted.unseen_rates])


@lru_cache(maxsize=32)
def family_latency(name: str, results: tuple[BoardResult, ...] = ()) -> float:
    """Measured latency of a family over the time between two results (OpenVINO's streams overlap a little)."""
    rows = [row for precision in _PRECISIONS for row in [*published(name, precision), *own(results, name, precision)]]
    ratios = [row.latency_ms * row.rate / row.batch / 1000 for row in rows if row.latency_ms]
    return float(np.median(ratios)) if ratios else 1.0


def _times(
    layers: Sequence[Layer],
    target: Target,
    precision: Precision,
    batch: int,
    fitted: Fit,
    results: tuple[BoardResult, ...],
) -> Array:
    """Milliseconds of each layer; what an INT8 or FP16 file leaves in FP32 is timed in FP32."""
    times = work(layers, machine(target, precision), batch).times(fitted.parameters)
    if precision == "fp32" or not any(layer.fp32 for layer in layers):
        return times
    single = work(layers, machine(target, "fp32"), batch).times(_fitted(target, "fp32", results).parameters)
    return np.where([layer.fp32 for layer in layers], single, times)


def _power(
    target: Target, precision: Precision, macs: int, rate: float, results: tuple[BoardResult, ...]
) -> tuple[float | None, str, float | None]:
    """Watts, what kind of number they are, and their error in per cent."""
    power = family_power(target.measured_as, results)
    if power is not None:
        watts = power.model.watts(machine(target, precision), precision, macs, rate)
        return watts, "fitted to measured power", power.error_percent(precision)
    if target.power.tdp_w is not None:
        return target.power.tdp_w, "tdp upper bound", None
    return None, "not predicted", None


def _notes(target: Target, layers: Sequence[Layer], times: Array, fitted: Fit) -> tuple[str, ...]:
    notes = []
    here = machine(target, fitted.rows[0].precision)
    if all(row.machine.gmac_s != here.gmac_s for row in fitted.rows):
        notes.append(f"never measured on {target.name}: scaled by cores and clock from another part of its family")
    depthwise = float(times[[layer.kind == "depthwise" for layer in layers]].sum() / times.sum())
    if here.is_gpu and depthwise > _DEPTHWISE_SHARE:
        notes.append(
            f"{depthwise:.0%} of the time is in depthwise layers, where published stacks differ by more than a "
            "factor of 2; the rows fitted to are the slow ones of 2018"
        )
    return tuple(notes)


def _frame_notes(target: Target, frame: Frame | None) -> tuple[str, ...]:
    return () if frame else (unknown(target),)


def _left(names: Sequence[str], of: int, target: Target) -> tuple[str, ...]:
    """A note on layers of a quantized file that are calculated in FP32."""
    if not names:
        return ()
    which = "" if len(names) == of else f": {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"
    return (f"of its {of} layers with weights {target.runtime.name} calculates {len(names)} in FP32{which}",)


def _layer_times(layers: Sequence[Layer], on: Machine, batch: int, times: Array) -> list[LayerTime]:
    return [
        LayerTime(
            name=layer.name, kind=layer.kind, macs=layer.macs, bytes=traffic(layer, on, batch), time_ms=float(time)
        )
        for layer, time in zip(layers, times, strict=True)
    ]
