"""recipe.json: how the board builds a TensorRT engine from the ONNX file beside it.

The cloud writes it, the board reads it. An engine only runs on the GPU and the TensorRT version that it was built with,
so it is never shipped.
"""

import json
from typing import Any, Dict, List, NamedTuple

NAME = "recipe.json"
MODEL, ENGINE = "model.onnx", "model.engine"
INPUT = "input"  # of every exported model, (N, 3, S, S) float32
REGIONS = (1, 4, 4)  # in one batch: least, best, most
WORKSPACE_MIB = 1024
RUNTIME = "TensorRT 8.2 (JetPack 4.6)"


class Recipe(NamedTuple):
    """What the builder is told: side of a region in pixels, whether it may use FP16, which nodes stay in FP32."""

    size: int
    half: bool
    fp32_layers: List[str]


def as_json(recipe: Recipe) -> Dict[str, Any]:
    """The file's content, with the commands that do the same by hand.

    There are two equal ways, but one alone where nodes stay in FP32: with FP16 allowed, TensorRT chooses each layer's
    precision again, whatever the types in the ONNX file, and the `trtexec` of 8.2 cannot hold it to one.
    """
    content = {
        "runtime": RUNTIME,
        "size": recipe.size,
        "half": recipe.half,
        "fp32_layers": recipe.fp32_layers,
        "python": "python3 -m runners.edge.backends.build_engine {} {}".format(NAME, ENGINE),
    }  # type: Dict[str, Any]
    if recipe.fp32_layers:
        content["note"] = "use python: the trtexec of TensorRT 8.2 cannot keep single layers in FP32"
        return content
    shapes = " ".join(
        "--{}Shapes={}:{}x3x{}x{}".format(name, INPUT, count, recipe.size, recipe.size)
        for name, count in zip(("min", "opt", "max"), REGIONS)
    )
    half = " --fp16" if recipe.half else ""
    content["trtexec"] = "trtexec --onnx={} --saveEngine={} {} --workspace={}{}".format(
        MODEL, ENGINE, shapes, WORKSPACE_MIB, half
    )
    return content


def read(file: str) -> Recipe:
    """The recipe in a file.

    Raises:
        ValueError: it is missing, damaged or no recipe; the message is one line.
    """
    try:
        with open(file, encoding="utf-8") as stream:
            content = json.load(stream)
        size, half, fp32_layers = content["size"], content["half"], content["fp32_layers"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError("{}: no recipe for an engine: {}".format(file, error)) from error
    named = isinstance(fp32_layers, list) and all(isinstance(name, str) for name in fp32_layers)
    if type(size) is not int or size < 1 or type(half) is not bool or not named:
        raise ValueError("{}: no recipe for an engine: a value in it is of another kind".format(file))
    return Recipe(size, half, fp32_layers)
