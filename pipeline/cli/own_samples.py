"""Somebody's data as the networks of a command take it, by what its options say."""

from pathlib import Path
from typing import Any

import click

from pipeline.system.errors import shown


def judged_on_calibration(
    calibration: Path, samples: Any, model: Any, limit: int, images: dict[str, Any], judge: dict[str, Any]
) -> Any:
    """Calibration samples with their labels, or without them where they do not fit the model."""
    from pipeline.system.errors import BadData

    try:
        return samples_for(calibration, model, None, limit, images, **judge)
    except BadData as error:
        click.echo(f"{error}; without labels, changed answers count", err=True)
        return samples


def as_taken_by(original: Any, model: Any, samples: Any, data: Path | None, images: dict[str, Any]) -> Any:
    """The samples of `model` as the original takes them, which may be another array of the same images."""
    from pipeline.check.original import takes_alike
    from pipeline.data.own.image_samples import ImageSamples
    from pipeline.system.errors import BadData

    if takes_alike(original, model):
        return samples
    if data is None or not isinstance(samples, ImageSamples):
        taken = [f"{'pixels' if file.takes_pixels else 'numbers'} {file.sample_shape}" for file in (original, model)]
        fault = f"{shown(original.path)}: takes {taken[0]}, {shown(model.path)} takes {taken[1]}"
        raise BadData(f"{fault}; give --data as image files, which each gets as it takes them")
    prepared = _preprocessing(data, original, about(original, images))
    return samples.taken_by(original.sample_shape, original.layout, prepared, pixels=original.takes_pixels)


def about(model: Any, images: dict[str, Any]) -> dict[str, Any]:
    """What of the options is about a model's images: one that takes pixels scales them itself."""
    return {"resize": images["resize"]} if model.takes_pixels else images


def _preprocessing(source: Path, model: Any, images: dict[str, Any]) -> Any:
    from pipeline.data import own

    imported = own.is_imported(source)
    return own.Preprocessing.chosen(**images, own=model.wanted, imported=imported, pixels=model.takes_pixels)


def samples_for(
    source: Path,
    model: Any,
    labels: Path | None,
    limit: int | None,
    images: dict[str, Any],
    outputs: tuple[str, ...] = (),
    task: str | None = None,
    option: str = "--output",
    labelled: bool = True,
) -> Any:
    """The samples of `source` with as many classes as the output that is judged; `option` is what names that output."""
    from pipeline.check.outputs import choose, classes_of
    from pipeline.data import own

    def opened(classes: int | None) -> Any:
        return own.open_samples(
            source,
            shape=model.sample_shape,
            layout=model.layout,
            classes=classes,
            preprocessing=_preprocessing(source, model, images),
            labels=labels,
            limit=limit,
            labelled=labelled,
            pixels=model.takes_pixels,
        )

    if not labelled:
        return opened(None)
    if len(model.outputs) == 1 or outputs:
        return opened(classes_of(choose(model, None, outputs, option), task))
    # Which output is meant shows in the labels; how many classes these may have, in the output.
    unchecked = opened(None)
    return opened(classes_of(choose(model, unchecked.labels, outputs, option), task))
