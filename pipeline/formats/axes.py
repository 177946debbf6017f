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
