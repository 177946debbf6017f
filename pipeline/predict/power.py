"""Watts: idle power of the mode plus a dynamic part that grows with the clock and with how busy the arithmetic is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.predict.fit import median_error
from pipeline.predict.machine import Machine
from pipeline.predict.measurements import Measurement
from pipeline.predict.robust import minimise
from pipeline.predict.roofline import Array
from pipeline.records.targets import Precision

# Dynamic W at the highest measured clock: a fixed part, and a part per share of the arithmetic peak; exponent of the
# clock (frequency times voltage squared lies between 1 and 3); factor of FP32 over narrower numbers.
_CENTRE, _SPREAD = (3.0, 8.0, 2.0, 1.1), (0.7, 0.7, 0.5, 0.3)
_NOISE = 0.05  # of a power measurement, as a natural logarithm
_BOUND = 4.0  # spreads that a parameter may move at most


@dataclass(frozen=True)
class PowerModel:
    """Fitted parameters, with the rows' host pause between two runs and their idle power by clock."""

    parameters: Array
    top_ghz: float
    host_ms_ghz: float
    idle_ghz: tuple[float, ...]
    idle_w: tuple[float, ...]

    def watts(self, machine: Machine, precision: Precision, macs: int, rate: float) -> float:
        """Power while images of `macs` multiply-accumulates run at a compute rate, with pauses as the rows had them."""
        system_rate = 1000 / (1000 / rate + self.host_ms_ghz / machine.clock_ghz)
        idle = float(np.interp(machine.clock_ghz, self.idle_ghz, self.idle_w))
        return idle + float(_dynamic(self.parameters, *_load(machine, precision, macs, system_rate, self.top_ghz)))


@dataclass(frozen=True)
class PowerFit:
    """A power model, with its signed errors in per cent on the models left out, by precision."""

    model: PowerModel
    errors: dict[Precision, dict[str, Array]]

    def error_percent(self, precision: Precision) -> float | None:
        """Median over the models left out of their median error; None without rows at this precision."""
        return median_error(self.errors[precision]) if precision in self.errors else None


@dataclass(frozen=True)
class _Row:
    """A measurement that has all the power model needs; `unseen_rate` is predicted without its model."""

    measurement: Measurement
    unseen_rate: float
    system_rate: float
    power_w: float
    idle_w: float


def fit_power(rows: Sequence[Measurement], unseen_rates: Sequence[float]) -> PowerFit | None:
    """Fit to the rows that have power, idle power and system rate; None when they are of fewer than two models."""
    usable = [
        _Row(row, rate, row.system_rate, row.power_w, row.idle_w)
        for row, rate in zip(rows, unseen_rates, strict=True)
        if row.system_rate and row.power_w and row.idle_w
    ]
    models = sorted({row.measurement.model for row in usable})
    if len(models) < 2:
        return None
    errors: dict[Precision, dict[str, Array]] = {}
    for name in models:
        without = _fit([row for row in usable if row.measurement.model != name])
        for precision in sorted({row.measurement.precision for row in usable}):
            unseen = [r for r in usable if r.measurement.model == name and r.measurement.precision == precision]
            if unseen:
                errors.setdefault(precision, {})[name] = np.array([_error(row, without) for row in unseen])
    return PowerFit(_fit(usable), errors)


def _error(row: _Row, model: PowerModel) -> float:
    measured = row.measurement
    watts = model.watts(measured.machine, measured.precision, measured.macs, row.unseen_rate)
    return (watts / row.power_w - 1) * 100


def _fit(rows: Sequence[_Row]) -> PowerModel:
    top = max(row.measurement.machine.clock_ghz for row in rows)
    loads = [
        _load(row.measurement.machine, row.measurement.precision, row.measurement.macs, row.system_rate, top)
        for row in rows
    ]
    busy, clock, is_fp32 = np.array(loads).T
    idle, measured = np.array([row.idle_w for row in rows]), np.log([row.power_w for row in rows])
    centre, spread = np.log(_CENTRE), np.array(_SPREAD)

    def residuals(logs: Array) -> Array:
        off = np.log(idle + _dynamic(np.exp(logs), busy, clock, is_fp32)) - measured
        return np.concatenate([off / _NOISE, (logs - centre) / spread])

    parameters = np.exp(minimise(residuals, centre, _BOUND * spread))
    pauses = [
        (1000 / row.system_rate - 1000 / row.measurement.rate) * row.measurement.machine.clock_ghz for row in rows
    ]
    idle_w: dict[float, list[float]] = {}
    for row in rows:
        idle_w.setdefault(row.measurement.machine.clock_ghz, []).append(row.idle_w)
    clocks = tuple(sorted(idle_w))
    watts = tuple(float(np.median(idle_w[clock])) for clock in clocks)
    return PowerModel(parameters, top, max(0.0, float(np.median(pauses))), clocks, watts)


def _load(machine: Machine, precision: Precision, macs: int, rate: float, top_ghz: float) -> tuple[float, float, float]:
    """Share of the arithmetic peak in use, clock as a share of the highest, and whether numbers are FP32 (0 or 1)."""
    return macs * rate / (machine.gmac_s * 1e9), machine.clock_ghz / top_ghz, float(precision == "fp32")


def _dynamic(parameters: Array, busy: Array | float, clock: Array | float, is_fp32: Array | float) -> Array:
    fixed, per_busy, exponent, fp32 = parameters
    watts: Array = (fixed + per_busy * busy) * clock**exponent * fp32**is_fp32
    return watts
