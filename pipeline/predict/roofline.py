"""Time of a layer: the slower of arithmetic and memory, each at a fitted share of its ceiling, plus overhead."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.predict.layers import Kind, Layer
from pipeline.predict.machine import Machine

Array = NDArray[np.float64]

_KINDS: tuple[Kind, ...] = ("pointwise", "spatial", "grouped", "depthwise", "gemm", "pool", "elementwise", "copy")
_EFFICIENCY: tuple[int, ...] = (0, 1, 1, 2, 0, 0, 0, 0)  # which parameter each kind's arithmetic uses


@dataclass(frozen=True)
class Prior:
    """Where the parameters are before any measurement, and how far a factor may stray (natural logarithm).

    The parameters, in order: share of the arithmetic peak reached by pointwise (and fully connected), spatial and
    depthwise layers; share of the memory bandwidth; cycles to start a layer, in thousands; cycles per element of
    a dot product, during which too few outputs are in flight (batch 1 on a GPU), 0 where that is not modelled.
    """

    centre: tuple[float, ...]
    spread: tuple[float, ...]


GPU_PRIOR = Prior((0.7, 0.7, 0.02, 0.7, 40.0, 5.0), (0.3, 0.3, 1.5, 0.3, 1.0, 1.0))
CPU_PRIOR = Prior((0.6, 0.65, 0.2, 0.6, 30.0), (0.3, 0.3, 0.7, 0.4, 1.0))


@dataclass(frozen=True)
class Work:
    """Layers as arrays, one element each: how long each bound takes in ms at a share of 1."""

    efficiency: NDArray[np.intp]
    arithmetic: Array
    memory: Array
    start: Array  # per thousand cycles
    dot_product: Array  # per cycle

    def times(self, parameters: Array) -> Array:
        """Milliseconds of each layer."""
        bounds = np.maximum(self.arithmetic / parameters[self.efficiency], self.memory / parameters[3])
        times: Array = bounds + parameters[4] * self.start
        return times + parameters[5] * self.dot_product if len(parameters) > 5 else times


def work(layers: Sequence[Layer], machine: Machine, batch: int) -> Work:
    """What `batch` images ask of a machine, layer by layer. Weights are read once per batch."""
    rows = [_bounds(layer, machine, batch) for layer in layers]
    efficiency = np.array([_EFFICIENCY[_KINDS.index(layer.kind)] for layer in layers], dtype=np.intp)
    return Work(efficiency, *np.array(rows, dtype=np.float64).reshape(-1, 4).T)


def join(parts: Sequence[Work]) -> Work:
    """Several lists of layers as one."""
    return Work(*(np.concatenate([getattr(part, name) for part in parts]) for name in Work.__dataclass_fields__))


def traffic(layer: Layer, machine: Machine, batch: int) -> int:
    """Bytes that a layer reads and writes for a whole batch."""
    return (batch * (layer.inputs + layer.outputs) + layer.weights) * machine.bytes_per_element


def _bounds(layer: Layer, machine: Machine, batch: int) -> tuple[float, float, float, float]:
    macs, peak = float(layer.macs), machine.gmac_s
    if layer.kind == "depthwise":
        tile = machine.depthwise_tile
        pixels = -(-layer.outputs // layer.channels)
        macs *= -(-pixels // tile) * tile / pixels
        peak = machine.float_gmac_s if machine.is_gpu else peak
    memory = traffic(layer, machine, batch) / machine.bandwidth_gb_s
    return batch * macs / peak * 1e-6, memory * 1e-6, 1e-3 / machine.clock_ghz, layer.depth / machine.clock_ghz * 1e-6
