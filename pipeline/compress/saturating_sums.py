"""What saturation takes from a layer's 8-bit sums, in PyTorch: `pipeline.retest.saturation.kernel` for training.

The same rule on the same numbers, but only for pairs of weights and activations that can reach the limit at all, which
are few once the weights are fitted to the target: all of them together at once, as training needs it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.retest.saturation.kernel import HIGHEST, LOWEST

CHUNK = 1 << 21  # pair sums held at a time

Pair = tuple[int, int]


@dataclass(frozen=True)
class Input:
    """A layer's input as its kernel sees it: x / step + zero_point, 0 to 255."""

    step: float
    zero_point: int


def excess(
    values: Tensor,
    weights: Tensor,
    quantizer: Input,
    groups: int = 1,
    strides: Pair = (1, 1),
    pads: tuple[Pair, Pair] = ((0, 0), (0, 0)),
    dilations: Pair = (1, 1),
) -> Tensor:
    """The saturated minus the true sums (N, O, H, W) of a convolution, in units of both steps.

    `values` (N, C, H, W) are its input in real numbers, `weights` (O, C / groups, kh, kw) whole numbers from -128 to
    127; `pads` are (top, left) and (bottom, right).
    """
    (top, left), (bottom, right) = pads
    exact = values / quantizer.step
    whole = exact + (exact.round() - exact).detach() + quantizer.zero_point
    padded = functional.pad(whole, (left, right, top, bottom), value=quantizer.zero_point)
    outputs, channels, kernel_height, kernel_width = weights.shape
    height = (padded.shape[2] - dilations[0] * (kernel_height - 1) - 1) // strides[0] + 1
    width = (padded.shape[3] - dilations[1] * (kernel_width - 1) - 1) // strides[1] + 1
    columns = padded.transpose(0, 1)
    count = len(values) * height * width
    sums = [values.new_zeros(outputs // groups, count) for _ in range(groups)]
    odd = channels % 2
    for y in range(kernel_height):
        for x in range(kernel_width):
            above, before = y * dilations[0], x * dilations[1]
            rows = slice(above, above + (height - 1) * strides[0] + 1, strides[0])
            across = slice(before, before + (width - 1) * strides[1] + 1, strides[1])
            window = columns[:, :, rows, across].reshape(groups, channels, count)
            kernel = weights[:, :, y, x].reshape(groups, -1, channels)
            for group in range(groups):
                part = functional.pad(window[group], (0, 0, 0, odd)).reshape(-1, 2, count)
                pairs = functional.pad(kernel[group], (0, odd)).reshape(len(kernel[group]), -1, 2)
                sums[group] = sums[group] + _Lost.apply(part, pairs)  # type: ignore[no-untyped-call]
    return torch.cat(sums).reshape(outputs, len(values), height, width).transpose(0, 1)


class _Lost(torch.autograd.Function):
    """What pairs of activations (P, 2, M) and weights (O, P, 2) lose in sums (O, M).

    A pair at the limit passes no gradient to either of its activations and weights, as in clipping. Products are
    calculated again for the gradient rather than kept: they would be many times the size of the activations.
    """

    @staticmethod
    def forward(ctx: Any, activations: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(activations, weights)
        sums = activations.new_zeros(len(weights), activations.shape[2])
        for output, pair in _risky(activations, weights):
            products = _products(activations, weights, output, pair)
            sums.index_add_(0, output, products.clamp(LOWEST, HIGHEST) - products)
        return sums

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        activations, weights = ctx.saved_tensors
        by_activations, by_weights = torch.zeros_like(activations), torch.zeros_like(weights)
        for output, pair in _risky(activations, weights):
            products = _products(activations, weights, output, pair)
            stopped = torch.where((products > HIGHEST) | (products < LOWEST), -gradient[output], 0.0)
            by_weights[output, pair] = (activations[pair] * stopped[:, None]).sum(2)
            by_activations.index_add_(0, pair, weights[output, pair][:, :, None] * stopped[:, None])
        return by_activations, by_weights


def _risky(activations: Tensor, weights: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Output channels and pairs (R,) whose products could reach the limit, in parts that fit in memory."""
    largest = activations.amax(2)
    most, least = (largest * weights.clamp(min=0)).sum(2), (largest * weights.clamp(max=0)).sum(2)
    found = ((most > HIGHEST) | (least < LOWEST)).nonzero()
    for part in torch.split(found, max(1, CHUNK // activations.shape[2])):
        if len(part):
            yield part[:, 0], part[:, 1]


def _products(activations: Tensor, weights: Tensor, output: Tensor, pair: Tensor) -> Tensor:
    factors = weights[output, pair]
    return activations[pair, 0] * factors[:, :1] + activations[pair, 1] * factors[:, 1:]
