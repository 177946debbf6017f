"""Measured rates to fit to: published rows and our own board results."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from pipeline.formats.network_file import load
from pipeline.predict.layers import Kind, Layer, layers_of
from pipeline.predict.machine import Machine, cpu, gpu, machine
from pipeline.records.targets import Precision, load_target

PUBLISHED = Path(__file__).parent / "published"
MEASUREMENTS_FILE = PUBLISHED / "measurements.csv"
LAYERS_FILE = PUBLISHED / "published-layers.csv"
_SIZES = ("macs", "weights", "inputs", "outputs", "depth", "channels")


class BoardResult(BaseModel):
    """A measurement of our own on the real target, which counts as much as `Measurement.weight` published ones."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Path
    target: str
    precision: Precision
    batch: int = Field(default=1, gt=0)
    inferences_per_s: float = Field(gt=0)
    system_per_s: float | None = Field(default=None, gt=0)
    latency_ms: float | None = Field(default=None, gt=0)
    power_w: float | None = Field(default=None, gt=0)
    idle_w: float | None = Field(default=None, gt=0)


@dataclass(frozen=True)
class Measurement:
    """One row to fit to. `model` is what leave-one-model-out leaves out; rates are images a second."""

    id: str
    model: str
    layers: tuple[tuple[Layer, int], ...]  # distinct layers, each with how often it occurs
    machine: Machine
    precision: Precision
    batch: int
    rate: float
    system_rate: float | None = None  # with the host's work between two runs
    latency_ms: float | None = None
    power_w: float | None = None
    idle_w: float | None = None
    weight: float = 1.0

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image."""
        return sum(layer.macs * count for layer, count in self.layers)


def published(name: str, precision: Precision, excluded: bool = False) -> list[Measurement]:
    """The committed rows of a target family that the fit uses, or those it leaves out and says why."""
    with MEASUREMENTS_FILE.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["family"] == name and row["precision"] == precision]
    return [_measurement(row, precision) for row in rows if bool(row["excluded"]) == excluded]


def own(results: Iterable[BoardResult], name: str, precision: Precision) -> list[Measurement]:
    """Board results of a target family, with the layers read from their ONNX files."""
    chosen = [result for result in results if result.precision == precision]
    return [
        Measurement(
            id=str(result.model),
            model=str(result.model),
            layers=counted(layers_of(load(result.model))),
            machine=machine(target, precision),
            precision=precision,
            batch=result.batch,
            rate=result.inferences_per_s,
            system_rate=result.system_per_s,
            latency_ms=result.latency_ms,
            power_w=result.power_w,
            idle_w=result.idle_w,
            weight=3.0,
        )
        for result in chosen
        if (target := load_target(result.target)).measured_as == name
    ]


def counted(layers: Sequence[Layer]) -> tuple[tuple[Layer, int], ...]:
    """Distinct layers, names aside, each with how often it occurs."""
    counts: dict[tuple[object, ...], tuple[Layer, int]] = {}
    for layer in layers:
        key = astuple(layer)[1:]
        counts[key] = (layer, counts[key][1] + 1 if key in counts else 1)
    return tuple(counts.values())


def write_layer_lists(networks: Mapping[str, Sequence[Layer]], path: Path) -> None:
    """Write the layers of each published network, names aside."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["network", "count", "kind", *_SIZES])
        for network, layers in networks.items():
            for layer, count in counted(layers):
                writer.writerow([network, count, layer.kind, *(getattr(layer, size) for size in _SIZES)])


@cache
def layer_lists() -> dict[str, tuple[tuple[Layer, int], ...]]:
    """The layers of each published network."""
    networks: dict[str, list[tuple[Layer, int]]] = {}
    with LAYERS_FILE.open(newline="") as file:
        for row in csv.DictReader(file):
            kind: Kind = row["kind"]  # type: ignore[assignment]
            macs, weights, inputs, outputs, depth, channels = (int(row[name]) for name in _SIZES)
            layer = Layer("", kind, macs, weights, inputs, outputs, depth, channels)
            networks.setdefault(row["network"], []).append((layer, int(row["count"])))
    return {network: tuple(layers) for network, layers in networks.items()}


def _measurement(row: dict[str, str], precision: Precision) -> Measurement:
    build = gpu if row["processor"] == "gpu" else cpu
    return Measurement(
        id=row["id"],
        model=row["model"],
        layers=layer_lists()[row["network"]],
        machine=build(int(row["cores"]), float(row["clock_ghz"]), float(row["bandwidth_gb_s"]), precision),
        precision=precision,
        batch=int(row["batch"]),
        rate=float(row["inferences_per_s"]),
        system_rate=_optional(row["system_per_s"]),
        latency_ms=_optional(row["latency_ms"]),
        power_w=_optional(row["power_w"]),
        idle_w=_optional(row["idle_w"]),
    )


def _optional(text: str) -> float | None:
    return float(text) if text else None
