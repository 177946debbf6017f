"""From decoded images to what a network takes."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.data.images import Image
from pipeline.formats.axes import Layout, channels_height_width
from pipeline.processes.samples import Inputs
from pipeline.system.errors import BadData
from runners.contract.model_input import ModelInput
from runners.edge.loop.regions import normalise, squared

Preset = Literal["imagenet", "tensorflow"]
Framing = Literal["crop", "stretch", "square"]
PRESETS: dict[Preset, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "tensorflow": ((0.5,), (0.5,)),
}
# What ImageNet networks are evaluated with: the short side is resized to 256, then the middle 224x224 are cut out.
CROP_MARGIN = 256 / 224
LONGEST = 16  # times the short side: what is left of an image before it is resized


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes an input: RGB (or grey), resized, scaled to 0..1, then (x - mean) / std per channel.

    `resize` is "crop" for the ImageNet convention, resizing so that the short side is 256/224 of the input's and
    cutting out the centre; "stretch", resizing the whole image to the input's size whatever its aspect, for images
    that are crops already; or "square", making it square by repeating its edge pixels first, as the pipeline does with
    imported images. One number in `mean` or `std` stands for every channel.

    Raises:
        InputError: a number is not finite, or `std` is not positive.
    """

    mean: tuple[float, ...] = PRESETS["imagenet"][0]
    std: tuple[float, ...] = PRESETS["imagenet"][1]
    resize: Framing = "crop"

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (*self.mean, *self.std))) or not all(value > 0 for value in self.std):
            raise BadData("mean and std must be finite numbers, std greater than 0")

    @classmethod
    def chosen(
        cls,
        preset: Preset | None = None,
        mean: tuple[float, ...] | None = None,
        std: tuple[float, ...] | None = None,
        resize: Framing | None = None,
        *,
        own: ModelInput | None = None,
        imported: bool = False,
        pixels: bool = False,
    ) -> "Preprocessing":
        """What the user chose, else what the model says itself (`own`), else the convention of ImageNet.

        Images that were `imported` into a project are squared, as in its training and re-tests.

        Raises:
            InputError: how to scale them is said of a network that takes `pixels` and scales them itself.
        """
        if pixels and (preset, mean, std) != (None, None, None):
            raise BadData(
                "the model takes pixels in uint8 and scales them itself: leave --preset, --mean and --std away"
            )
        usual = (own.mean, own.std) if own and preset is None else PRESETS[preset or "imagenet"]
        return cls(mean or usual[0], std or usual[1], resize or ("square" if own or imported else "crop"))

    def check(self, channels: int) -> None:
        """Whether images can become inputs of this many channels.

        Raises:
            InputError: they cannot.
        """
        if channels not in (1, 3):
            raise BadData(f"the model takes {channels} channels, image files give 3 or 1; give the data as .npz")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, channels):
                takes = f"the model takes {channels} channel{'s' if channels > 1 else ''}"
                one = "one number" if channels == 1 else f"one number or {channels}"
                raise BadData(f"{name} has {len(values)} values, {takes}; give --mean and --std with {one} each")

    def __call__(
        self, images: Iterable[Image], shape: tuple[int, int, int], layout: Layout, *, pixels: bool = False
    ) -> Inputs:
        """Images (H, W, 3; uint8 BGR, each of its own size) as inputs (N, *shape); `pixels` stay what they are."""
        channels, height, width = channels_height_width(shape, layout)
        resized = np.stack([self._resize(image, height, width) for image in images])
        colours = cv2.COLOR_BGR2RGB if channels == 3 else cv2.COLOR_BGR2GRAY
        coloured = np.stack([cv2.cvtColor(image, colours).reshape(height, width, channels) for image in resized])
        if pixels:
            return coloured if layout == "nhwc" else np.ascontiguousarray(coloured.transpose(0, 3, 1, 2))
        inputs: NDArray[np.float32] = normalise(coloured, self.mean, self.std)
        return inputs if layout == "nchw" else np.ascontiguousarray(inputs.transpose(0, 2, 3, 1))

    def _resize(self, image: Image, height: int, width: int) -> Image:
        if self.resize == "square":
            image = np.asarray(squared(image))
        if self.resize != "crop":
            return _scaled(image, height, width, cv2.INTER_LINEAR_EXACT)  # as runners/edge/loop/regions.py does
        # What the crop cannot show is cut off first: a strip of 1x60000 pixels would grow to gigabytes.
        image = _centre(image, *(min(side, LONGEST * min(image.shape[:2])) for side in image.shape[:2]))
        scale = CROP_MARGIN * max(height / image.shape[0], width / image.shape[1])
        # Averaging keeps a large photo from being reduced to a few of its pixels.
        interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR_EXACT
        larger = _scaled(image, round(scale * image.shape[0]), round(scale * image.shape[1]), interpolation)
        return _centre(larger, height, width)


def _scaled(image: Image, height: int, width: int, interpolation: int) -> Image:
    return cast(Image, cv2.resize(image, (width, height), interpolation=interpolation))


def _centre(image: Image, height: int, width: int) -> Image:
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return image[top : top + height, left : left + width]
