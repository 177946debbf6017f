"""The dimensions of an image: in which order a network wants them, and how a sliding window pads them."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

from pipeline.system.errors import BadModel

Layout = Literal["nchw", "nhwc"]
Size = TypeVar("Size", int, int | None)


def channels_height_width(shape: tuple[Size, Size, Size], layout: Layout) -> tuple[Size, Size, Size]:
    """The dimensions of one sample, given in the order of `layout`, as (channels, height, width)."""
    if layout == "nchw":
        return shape
    height, width, channels = shape
    return channels, height, width


def window_pads(
    attributes: Mapping[str, Any], sizes: Sequence[int], kernel: Sequence[int]
) -> tuple[tuple[int, int], ...]:
    """How much a Conv or a pooling pads each axis of an image of these sizes: at its beginning and at its end.

    Pads given by name follow from the sizes, as ONNX defines `auto_pad`: SAME_* gives as many windows as strides fit,
    with the odd pixel at the end (UPPER) or at the beginning (LOWER); VALID pads nothing. Strides that leave two or
    more pixels of an axis unread would need negative pads, which runtimes understand in different ways (BadModel).
    """
    axes = len(kernel)
    name = attributes.get("auto_pad", b"NOTSET")
    mode = name.decode() if isinstance(name, bytes) else name
    if mode in ("NOTSET", ""):
        pads = attributes.get("pads") or [0] * 2 * axes
        return tuple(zip(pads[:axes], pads[axes:], strict=True))
    if mode == "VALID":
        return ((0, 0),) * axes
    strides, dilations = attributes.get("strides") or [1] * axes, attributes.get("dilations") or [1] * axes
    found = []
    for size, window, stride, dilation in zip(sizes, kernel, strides, dilations, strict=True):
        total = (-(-size // stride) - 1) * stride + (window - 1) * dilation + 1 - size
        if total < -1:
            raise BadModel(
                f"auto_pad {mode} of a window of {window} pixels and strides of {stride} on {size} pixels would pad "
                f"{total}, which runtimes understand differently: export it with pads as numbers"
            )
        total = max(0, total)
        less, more = total // 2, total - total // 2
        found.append((less, more) if mode == "SAME_UPPER" else (more, less))
    return tuple(found)


def transposed_pads(
    attributes: Mapping[str, Any], sizes: Sequence[int], kernel: Sequence[int]
) -> tuple[tuple[int, int], ...]:
    """How much each axis of an image of these sizes is padded, its pixels being strides apart, for a ConvTranspose to
    be a convolution: at its beginning and at its end, less than nothing where it is cut.

    Where the size of the output is given, or its padding by name, the pads follow from it (ONNX, `ConvTranspose`).
    """
    axes = len(kernel)
    strides, dilations = attributes.get("strides") or [1] * axes, attributes.get("dilations") or [1] * axes
    longer = attributes.get("output_padding") or [0] * axes
    name = attributes.get("auto_pad", b"NOTSET")
    mode = name.decode() if isinstance(name, bytes) else name
    pads = attributes.get("pads") or [0] * 2 * axes
    given = list(attributes.get("output_shape") or ())[-axes:]
    by_name = [size * stride for size, stride in zip(sizes, strides, strict=True)] if mode.startswith("SAME") else []
    wanted = given or by_name
    found = []
    for axis, (size, window, stride, dilation) in enumerate(zip(sizes, kernel, strides, dilations, strict=True)):
        reach = (window - 1) * dilation
        begin, end = (0, 0) if mode == "VALID" else (pads[axis], pads[axes + axis])
        if wanted:
            total = stride * (size - 1) + longer[axis] + reach + 1 - wanted[axis]
            total = total if given else max(0, total)  # more than there is comes of a size alone, and at the end
            begin = max(0, total // 2 if mode == "SAME_UPPER" else total - total // 2)
            end = total - begin
        found.append((reach - begin, reach - end + longer[axis]))
    return tuple(found)
