"""Samples that are image files, decoded batch by batch."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.data.images import SAVE_IT, looks_like_image, read_image, undecoded
from pipeline.data.own.labels import class_indices
from pipeline.data.own.listing import list_images, list_manifest
from pipeline.data.own.preprocessing import Preprocessing
from pipeline.data.own.selection import fingerprint, spread
from pipeline.formats.axes import Layout, channels_height_width
from pipeline.processes.samples import Inputs
from pipeline.system.errors import BadData


@dataclass(frozen=True, eq=False)
class ImageSamples:
    """Image files in their order; see `Samples`."""

    files: list[Path]
    labels: NDArray[np.int64] | None
    shape: tuple[int, int, int]
    layout: Layout
    preprocessing: Preprocessing
    sha256: str
    description: str
    notes: tuple[str, ...] = ()
    pixels: bool = False

    def __len__(self) -> int:
        return len(self.files)

    def taken_by(
        self, shape: tuple[int, int, int], layout: Layout, preprocessing: Preprocessing, *, pixels: bool
    ) -> "ImageSamples":
        """The same images as another network takes them."""
        return replace(self, shape=shape, layout=layout, preprocessing=preprocessing, pixels=pixels)

    def batches(self, size: int) -> Iterator[Inputs]:
        """(n, *shape), pre-processed."""
        for start in range(0, len(self.files), size):
            images = (read_image(file) for file in self.files[start : start + size])  # one large one at a time
            yield self.preprocessing(images, self.shape, self.layout, pixels=self.pixels)


def open_images(
    source: Path,
    shape: tuple[int, int, int],
    layout: Layout,
    classes: int | None,
    preprocessing: Preprocessing,
    labels: Path | None,
    limit: int | None,
    labelled: bool = True,
    pixels: bool = False,
) -> ImageSamples:
    """The image files of `source`; see `open_samples` for the arguments.

    Raises:
        InputError: see `open_samples`.
    """
    preprocessing.check(channels_height_width(shape, layout)[0])
    if labels is not None and labels.suffix.lower() == ".csv":
        listing, labels = list_manifest(labels, folder=source), None
    else:
        listing = list_images(source, labelled)
    indices = class_indices(listing, labels, classes) if labelled else None
    chosen = spread(len(listing.files), limit)
    names = [listing.files[index] for index in chosen]
    taken = None if indices is None else indices[chosen]
    sizes = _sizes(listing.folder, names)
    return ImageSamples(
        files=[listing.folder / name for name in names],
        labels=taken,
        shape=shape,
        layout=layout,
        preprocessing=preprocessing,
        sha256=fingerprint(*zip(names, sizes, strict=True), labels=taken),
        description=f"{listing.description}, {len(names):,} images",
        notes=listing.notes,
        pixels=pixels,
    )


def _sizes(folder: Path, names: list[str]) -> list[int]:
    """Bytes of every file. Only their first bytes are looked at: a damaged image shows itself when it is decoded.

    Raises:
        InputError: a file is missing or is no image; the first such file is named.
    """
    sizes = []
    unusable: list[tuple[str, str]] = []
    remedy = "take out of the data what is no image"
    for name in names:
        path = folder / name
        try:
            if not path.is_file():
                unusable.append((name, "no such file"))
            elif not looks_like_image(path):
                kind = undecoded(path)
                remedy = SAVE_IT if kind and not unusable else remedy
                unusable.append((name, kind or "not an image"))
            else:
                sizes.append(path.stat().st_size)
        except OSError as error:
            unusable.append((name, f"cannot be read ({error.strerror or error})"))
    if unusable:
        name, reason = unusable[0]
        others = f"; {len(unusable):,} of {len(names):,} files are unusable" if len(unusable) > 1 else ""
        raise BadData(f"{folder / name}: {reason}{others}; {remedy}")
    return sizes
