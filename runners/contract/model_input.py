"""input.json: how an exported model wants its images, and what its answers mean. It lies beside the model.

The cloud writes it; the device and `edgeproof check` read it, so that all of them frame and scale an image alike.
"""

import math
from typing import Any, Dict, List, NamedTuple, Tuple

from runners.contract import records

NAME = "input.json"

Rgb = Tuple[float, float, float]


class ModelInput(NamedTuple):
    """Regions of `size` x `size` pixels, RGB of 0 to 1, of which `mean` is taken and which are divided by `std`.

    `classes` are the names of the answers, in their order. Regions are squares (runners/edge/loop/regions.py). Scores
    divided by `temperature` are what probabilities come from; a file without one means 1.
    """

    size: int
    mean: Rgb
    std: Rgb
    classes: List[str]
    temperature: float = 1.0


def as_json(wanted: ModelInput) -> Dict[str, Any]:
    """The file's content."""
    return dict(wanted._asdict(), mean=list(wanted.mean), std=list(wanted.std))


def read(file: str) -> ModelInput:
    """What the file says.

    Raises:
        ValueError: it is damaged, or holds values that no model could want; the message is one line.
    """
    try:
        content = records.load(file)
        size, mean, std = content["size"], tuple(content["mean"]), tuple(content["std"])
        classes, temperature = content["classes"], content.get("temperature", 1.0)
        values = mean + std + (temperature,)
        numbers = all(type(value) in (int, float) and math.isfinite(value) for value in values)
        named = isinstance(classes, list) and all(isinstance(name, str) for name in classes)
        if type(size) is not int or size < 1 or len(mean) != 3 or len(std) != 3 or not numbers or not named:
            raise ValueError("a value in it is of another kind")
        if min(std) <= 0 or temperature <= 0:
            raise ValueError("std and temperature must be greater than 0")
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise ValueError("{}: does not say how the model wants its images ({})".format(file, error)) from error
    return ModelInput(size, mean, std, classes, float(temperature))
