"""Convolutions and matrix products whose sums are kept in FP16, as a kernel of HFMA2 instructions keeps them.

An accumulator starts at zero, takes the products in the order of the weights (input channel, row, column) and is
rounded to FP16 after each of them; the bias comes last and rounds once more. PyTorch's `addcmul_` does this step on the
CPU: it multiplies FP16 numbers in FP32, which is exact, adds in FP32 and rounds to FP16. The instruction, `fma.rn.f16`,
rounds only once, and keeps subnormals as well (NVIDIA's PTX ISA, "Half Precision Floating Point Instructions: fma");
rounding twice changes fewer than one step in 10,000, by one unit in the last place.
"""

from typing import Any

import torch
from onnx import NodeProto, helper
from torch import Tensor
from torch.nn import functional

from pipeline.formats.axes import transposed_pads, window_pads
from pipeline.system.errors import BadModel

# Accumulators that stay in a core's cache, in rows that are long enough for its vector instructions.
_TILE = 1 << 18
_ROW = 1024


def calculate(node: NodeProto, inputs: list[Tensor]) -> Tensor:
    """The output of a Conv, ConvTranspose, Gemm or MatMul node; all tensors are FP16, of the shapes that ONNX gives.

    Raises:
        InputError: the node is of another kind, or uses a variant that is not emulated.
    """
    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    if node.op_type == "Conv":
        return _conv(attributes, *inputs)
    if node.op_type == "ConvTranspose":
        return _transposed_conv(attributes, *inputs)
    if node.op_type == "Gemm":
        return _gemm(attributes, *inputs)
    if node.op_type == "MatMul":
        return _matmul(*inputs)
    name = node.name or node.output[0]
    raise BadModel(f"this emulation knows no FP16 sums of such a {node.op_type} ({name}); the device itself may")


def _running_sum(left: Tensor, right: Tensor) -> Tensor:
    """The matrix product of (..., M, K) and (..., K, N), rounded after each of its K steps."""
    first, *others = zip(left.unsqueeze(-1).unbind(-2), right.unsqueeze(-2).unbind(-3), strict=True)
    total = first[0] * first[1]
    for column, row in others:
        total.addcmul_(column, row)
    return total


def _matmul(left: Tensor, right: Tensor) -> Tensor:
    """Also of vectors, which are a row on the left and a column on the right."""
    row, column = left.dim() == 1, right.dim() == 1
    total = _running_sum(left.unsqueeze(0) if row else left, right.unsqueeze(1) if column else right)
    total = total.squeeze(-1) if column else total
    return total.squeeze(-1 if column else -2) if row else total


def _gemm(attributes: dict[str, Any], left: Tensor, right: Tensor, bias: Tensor | None = None) -> Tensor:
    left = left.T if attributes.get("transA") else left
    right = right.T.contiguous() if attributes.get("transB") else right
    total = _running_sum(left, right).mul_(attributes.get("alpha", 1.0))
    return total if bias is None else total.add_(bias * attributes.get("beta", 1.0))


def _conv(attributes: dict[str, Any], images: Tensor, weights: Tensor, bias: Tensor | None = None) -> Tensor:
    axes = weights.dim() - 2
    groups = attributes.get("group", 1)
    windows = _windows(attributes, images, weights.shape[2:])
    space = windows.shape[2 : 2 + axes]
    result = images.new_empty(len(images), len(weights), *space)
    factors = weights.reshape(groups, len(weights) // groups, -1)
    # Of (image, channel, *space, *kernel) to what is summed, (channel, *kernel), before what it is summed for.
    order = (1, *range(2 + axes, 2 + 2 * axes), 0, *range(2, 2 + axes))
    row = max(_ROW, _TILE // len(weights))
    some_images = max(1, row // space.numel())
    some_lines = max(1, row // space[1:].numel())
    for image in range(0, len(images), some_images):
        for line in range(0, space[0], some_lines):
            tile = windows[image : image + some_images, :, line : line + some_lines].permute(order)
            total = _running_sum(factors, tile.reshape(groups, factors.shape[-1], -1))
            part = result[image : image + some_images, :, line : line + some_lines]
            part.copy_(total.reshape(len(weights), len(part), *part.shape[2:]).transpose(0, 1))
    return result if bias is None else result.add_(bias.reshape(-1, *[1] * axes))


def _transposed_conv(attributes: dict[str, Any], images: Tensor, weights: Tensor, bias: Tensor | None = None) -> Tensor:
    """A convolution of the image with zeros between its pixels, which change no sum."""
    kernel, sizes = weights.shape[2:], images.shape[2:]
    axes, groups = len(kernel), attributes.get("group", 1)
    strides, dilations = (attributes.get(name) or [1] * axes for name in ("strides", "dilations"))
    spaced = [(size - 1) * stride + 1 for size, stride in zip(sizes, strides, strict=True)]
    between = images.new_zeros(*images.shape[:2], *spaced)
    pixels: tuple[Any, ...] = (..., *(slice(None, None, stride) for stride in strides))
    between[pixels] = images
    pads = transposed_pads(attributes, sizes, kernel)
    padded = functional.pad(between, [width for pair in reversed(pads) for width in pair])
    # Of (input, output of a group, *kernel) to what a convolution has, (output, input of a group, *kernel).
    grouped = weights.reshape(groups, -1, *weights.shape[1:]).transpose(1, 2).flatten(0, 1)
    turned = grouped.flip(*range(2, 2 + axes)).contiguous()
    return _conv({"group": groups, "dilations": dilations}, padded, turned, bias)


def _windows(attributes: dict[str, Any], images: Tensor, kernel: torch.Size) -> Tensor:
    """A view of what each output of a convolution reads: (image, channel, *space, *kernel)."""
    pads = window_pads(attributes, images.shape[2:], kernel)
    view = functional.pad(images, [width for pair in reversed(pads) for width in pair])
    strides = attributes.get("strides", [1] * len(kernel))
    dilations = attributes.get("dilations", [1] * len(kernel))
    for axis, (size, stride, dilation) in enumerate(zip(kernel, strides, dilations, strict=True), start=2):
        view = view.unfold(axis, (size - 1) * dilation + 1, stride)[..., ::dilation]
    return view
