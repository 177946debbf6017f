"""In which order a network wants the dimensions of an image."""

from typing import Literal, TypeVar

Layout = Literal["nchw", "nhwc"]
Size = TypeVar("Size", int, int | None)


def channels_height_width(shape: tuple[Size, Size, Size], layout: Layout) -> tuple[Size, Size, Size]:
    """The dimensions of one sample, given in the order of `layout`, as (channels, height, width)."""
    if layout == "nchw":
        return shape
    height, width, channels = shape
    return channels, height, width
