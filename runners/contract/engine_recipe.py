"""recipe.json: how the board builds a TensorRT engine from the ONNX file beside it.

The cloud writes it, the board reads it. An engine only runs on the GPU and the TensorRT version that it was built with,
so it is never shipped.
"""

from typing import Any, Dict, List, NamedTuple

from runners.contract import records

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
        recipe = Recipe(**records.checked(records.load(file), {"size": int, "half": bool, "fp32_layers": list}))
        if recipe.size < 1 or not all(isinstance(name, str) for name in recipe.fp32_layers):
            raise ValueError("a value in it is of another kind")
    except ValueError as error:
        raise ValueError("{}: no recipe for an engine: {}".format(file, error)) from error
    return recipe
