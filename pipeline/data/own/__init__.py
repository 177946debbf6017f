"""Where the samples of a check come from: images with or without classes, prepared arrays, or seeded noise.

Whatever the source, samples are read batch by batch and as often as asked: memory grows with the batch, never with
the data. Nothing is dropped in silence: a file that is no image is an error, since the accuracy would otherwise be
about other samples than were asked for.
"""

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.data.importing import MARK
from pipeline.data.own.arrays import open_arrays
from pipeline.data.own.image_samples import open_images
from pipeline.data.own.noise import random_samples
from pipeline.data.own.preprocessing import Preprocessing
from pipeline.formats.axes import Layout
from pipeline.processes.samples import Samples
from pipeline.system.errors import BadData

__all__ = ["LabelledSamples", "Preprocessing", "is_imported", "open_samples", "random_samples"]


class LabelledSamples(Samples, Protocol):
    """A data set as a network takes it, read anew by every call of `batches`."""

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """The class of every sample (N,), of each of its heads (N, k) or pixels (N, H, W); None without labels."""

    @property
    def sha256(self) -> str:
        """Identity of the chosen samples and their labels, as 64 hexadecimal digits; pre-processing is not part of it.

        Of an array file its bytes count, of image files their names and sizes.
        """

    @property
    def description(self) -> str:
        """What was read, for people: the source, its split if it has any, and the number of samples."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of the data, a line each: what was left out, classes that a split lacks."""


def is_imported(source: Path) -> bool:
    """Whether a folder was made by `edgeproof data import`."""
    return (source / MARK).is_file()


def open_samples(
    source: Path,
    *,
    shape: tuple[int, int, int],
    layout: Layout = "nchw",
    classes: int | None = None,
    preprocessing: Preprocessing | None = None,
    labels: Path | None = None,
    limit: int | None = None,
    labelled: bool = True,
    pixels: bool = False,
) -> LabelledSamples:
    """The samples of `source` for a network whose input is (N, *shape) in this `layout` and that answers `classes`.

    `source` is one of:

    - a manifest CSV, or a folder with a `manifest.csv`, with the columns `file` and `class` or `class_index`; files
      beside it or in `images/` beside it; with a column `split` the `test` rows count, or else `val`, or else all;
    - a folder with one folder per class, with or without `train/val/test` above, of which one is chosen likewise;
    - a folder of images without classes (hidden files count in neither kind of folder, which `notes` say);
    - an `.npz` file with `inputs`, pre-processed (N, *shape) float32 or pixels in uint8, and optionally `labels`, N
      integers or (N, k) or (N, H, W) of them.

    A network that takes `pixels` gets them as they are, 0 to 255. Class names are indices in sorted order. `labels` is
    a text file that gives another order, one class name a line. Where `source` has no class names, `labels` is a text
    file with one class index a line or an `.npy` file of N integers, for images in the order of their names; it
    replaces the labels of an `.npz`. For a folder it may also be a manifest CSV kept elsewhere. `limit` takes that many
    samples, spread evenly, since sorted data starts with one class. Without `preprocessing` images are prepared as for
    ImageNet. Unless they are to be `labelled`, samples come without labels, whatever `source` says of classes, and a
    manifest needs the column `file` only.

    Raises:
        InputError: the data is missing, empty, unreadable, or does not fit the network.
    """
    if limit is not None and limit < 1:
        raise BadData(f"a limit of {limit} leaves no samples; give at least 1")
    if source.suffix.lower() == ".npz":
        return open_arrays(source, shape, classes, labels, limit, labelled, pixels)
    prepared = preprocessing or Preprocessing()
    return open_images(source, shape, layout, classes, prepared, labels, limit, labelled, pixels)
