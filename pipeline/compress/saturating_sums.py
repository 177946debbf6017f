"""What saturation takes from a layer's 8-bit sums, in PyTorch: `pipeline.arithmetic.saturation.kernel` for training.

The same rule on the same numbers, but only for pairs of weights and activations that can reach the limit at all, which
are few once the weights are fitted to the target.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.arithmetic.saturation.kernel import HIGHEST, LOWEST

CHUNK = 1 << 22  # pair sums held at a time

Pair = tuple[int, int]
Risk = tuple[int, Tensor, Tensor]  # a pair, its output channels, the places


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
                if risks := list(_risks(part.detach(), pairs.detach())):
                    sums[group] = sums[group] + _Lost.apply(part, pairs, risks)  # type: ignore[no-untyped-call]
    return torch.cat(sums).reshape(outputs, len(values), height, width).transpose(0, 1)


class _Lost(torch.autograd.Function):
    """What pairs of activations (P, 2, M) and weights (O, P, 2) lose in sums (O, M), of those at risk.

    A pair at the limit passes no gradient to either of its activations and weights, as in clipping. Products are
    calculated again for the gradient rather than kept: they would be many times the size of the activations.
    """

    @staticmethod
    def forward(ctx: Any, activations: Tensor, weights: Tensor, risks: list[Risk]) -> Tensor:
        ctx.save_for_backward(activations, weights)
        ctx.risks = risks
        sums = activations.new_zeros(len(weights), activations.shape[2])
        for pair, outputs, places in risks:
            products = weights[outputs, pair] @ activations[pair][:, places]
            sums[outputs[:, None], places] += products.clamp(LOWEST, HIGHEST) - products
        return sums

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        activations, weights = ctx.saved_tensors
        by_activations, by_weights = torch.zeros_like(activations), torch.zeros_like(weights)
        for pair, outputs, places in ctx.risks:
            kernel, values = weights[outputs, pair], activations[pair][:, places]
            products = kernel @ values
            stopped = gradient[outputs[:, None], places]
            stopped = torch.where((products > HIGHEST) | (products < LOWEST), -stopped, 0.0)
            by_weights[outputs, pair] += stopped @ values.T
            by_activations[pair, :, places] += kernel.T @ stopped
        return by_activations, by_weights, None


def _risks(activations: Tensor, weights: Tensor) -> Iterator[Risk]:
    """Where products could reach the limit, in parts that fit in memory.

    Most pairs never can, and of the others only the few places where both activations are large.
    """
    largest = activations.amax(2)
    most, least = (largest * weights.clamp(min=0)).sum(2), (largest * weights.clamp(max=0)).sum(2)
    risky = (most > HIGHEST) | (least < LOWEST)
    for pair in risky.any(0).nonzero()[:, 0].tolist():
        outputs = risky[:, pair].nonzero()[:, 0]
        kernel = weights[outputs, pair]
        most, least = kernel.clamp(min=0).amax(0) @ activations[pair], kernel.clamp(max=0).amin(0) @ activations[pair]
        places = ((most > HIGHEST) | (least < LOWEST)).nonzero()[:, 0]
        for part in torch.split(places, max(1, CHUNK // len(outputs))):
            if len(part):
                yield pair, outputs, part
