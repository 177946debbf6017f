"""What a CPU without VNNI does to a sum of 8-bit products, in NumPy, bit for bit.

oneDNN's SSE4.1 to AVX2 kernels multiply unsigned activations with signed weights by `pmaddubsw`: the products of two
neighbouring input channels are added into 16 bits, which saturate, and only then widened to 32 bits (Intel 64
Software Developer's Manual, volume 2, PMADDUBSW). Depthwise convolutions widen first and never saturate.

Throughout, `activations` (N, C, H, W) hold 0 to 255, `weights` (O, C, kh, kw) -128 to 127, and padding holds the
zero point.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LOWEST, HIGHEST = -(1 << 15), (1 << 15) - 1
CHUNK = 1 << 22  # pair sums held at a time: 16 MiB

Ints = NDArray[np.int32]


@dataclass(frozen=True)
class Geometry:
    """How a convolution moves over its input (y, x); a matrix product is a convolution over one point."""

    strides: tuple[int, int] = (1, 1)
    pads_begin: tuple[int, int] = (0, 0)
    pads_end: tuple[int, int] = (0, 0)
    dilations: tuple[int, int] = (1, 1)


@dataclass(frozen=True)
class Excess:
    """What saturation adds to the sums of one layer.

    `sums` (N, O, H, W) is the saturated minus the true sum, `channels` (O,) how many pair sums of each output channel
    hit the limit, `pairs` how many pair sums the layer has in all.
    """

    sums: NDArray[np.int64]
    channels: NDArray[np.int64]
    pairs: int


def accumulate(activations: Ints, weights: Ints, geometry: Geometry, zero_point: int = 0) -> NDArray[np.int64]:
    """The sums (N, O, H, W) as the kernel leaves them in 32 bits, before any scale or bias."""
    sums: NDArray[np.int64] = np.zeros(1, np.int64)
    for first, second, low, high in _pairs(activations, weights, geometry, zero_point):
        sums = sums + np.clip(_products(first, second, low, high), LOWEST, HIGHEST).astype(np.int64)
    return sums


def excess(activations: Ints, weights: Ints, geometry: Geometry, zero_point: int = 0) -> Excess:
    """`accumulate` minus the true sums, calculated only where a pair of weights is large enough to saturate at all."""
    outputs = len(weights)
    sums: NDArray[np.int64] | None = None
    channels = np.zeros(outputs, np.int64)
    pairs = 0
    for first, second, low, high in _pairs(activations, weights, geometry, zero_point):
        if sums is None:
            sums = np.zeros((first.shape[0], outputs, *first.shape[1:]), np.int64)
        pairs += first.size * outputs
        most = first.max() * np.maximum(low, 0) + second.max() * np.maximum(high, 0)
        least = first.max() * np.minimum(low, 0) + second.max() * np.minimum(high, 0)
        risky = np.flatnonzero((most > HIGHEST) | (least < LOWEST))
        for part in np.array_split(risky, -(-len(risky) * first.size // CHUNK) or 1):
            products = _products(first, second, low[part], high[part])
            lost = np.clip(products, LOWEST, HIGHEST) - products
            sums[:, part] += lost
            channels[part] += np.count_nonzero(lost, axis=(0, 2, 3))
    assert sums is not None
    return Excess(sums, channels, pairs)


def convolve(activations: Ints, weights: NDArray[Any], geometry: Geometry, zero_point: int = 0) -> NDArray[np.float32]:
    """The true sums of `(activations - zero_point) * weights` (N, O, H, W) in floats, whatever the weights are."""
    sums: NDArray[np.float32] = np.zeros(1, np.float32)
    for window, kernel in _taps(activations - zero_point, weights, geometry, 0):
        columns = window.reshape(*window.shape[:2], -1).astype(np.float32)
        sums = sums + (kernel.astype(np.float32) @ columns).reshape(len(window), len(weights), *window.shape[2:])
    return sums


def _products(first: Ints, second: Ints, low: Ints, high: Ints) -> Ints:
    return first[:, None] * low[None, :, None, None] + second[:, None] * high[None, :, None, None]


def _pairs(
    activations: Ints, weights: Ints, geometry: Geometry, zero_point: int
) -> Iterator[tuple[Ints, Ints, Ints, Ints]]:
    """Two neighbouring input channels at one position of the kernel: both activations (N, H, W), both weights (O,)."""
    for window, kernel in _taps(activations, weights, geometry, zero_point):
        nothing = np.zeros_like(window[:, 0])
        for pair in range(0, window.shape[1] - 1, 2):
            yield window[:, pair], window[:, pair + 1], kernel[:, pair], kernel[:, pair + 1]
        if window.shape[1] % 2:
            yield window[:, -1], nothing, kernel[:, -1], np.zeros_like(kernel[:, -1])


def _taps(
    activations: Ints, weights: NDArray[Any], geometry: Geometry, padding: int
) -> Iterator[tuple[Ints, NDArray[Any]]]:
    """For each position of the kernel the part of the input it sees (N, C, H, W) and its weights (O, C)."""
    (top, left), (bottom, right) = geometry.pads_begin, geometry.pads_end
    (stride_y, stride_x), (spread_y, spread_x) = geometry.strides, geometry.dilations
    margins = ((0, 0), (0, 0), (top, bottom), (left, right))
    padded = np.pad(activations.astype(np.int32), margins, constant_values=padding)
    kernel_height, kernel_width = weights.shape[2:]
    height = (padded.shape[2] - spread_y * (kernel_height - 1) - 1) // stride_y + 1
    width = (padded.shape[3] - spread_x * (kernel_width - 1) - 1) // stride_x + 1
    for y in range(kernel_height):
        for x in range(kernel_width):
            above, before = y * spread_y, x * spread_x
            rows = slice(above, above + (height - 1) * stride_y + 1, stride_y)
            columns = slice(before, before + (width - 1) * stride_x + 1, stride_x)
            yield padded[:, :, rows, columns], weights[:, :, y, x]
