"""The golden bundle: a small network whose answers are known, which tells a sick board from a bad candidate.

Three convolutions with weights drawn from a fixed seed, some fifteen million multiply-accumulates a region. It is made
anew where it is needed, the same each time.
"""

import shutil
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from pipeline.formats.onnx_file import OPSET
from pipeline.formats.pack import pack
from pipeline.records.targets import Target
from pipeline.system import files
from runners.contract import engine_recipe, model_input
from runners.contract.model_input import ModelInput
from runners.edge.loop.regions import normalise

SIZE, CLASSES, SEED = 64, 10, 20
WANTED = ModelInput(SIZE, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), [f"answer-{index}" for index in range(CLASSES)])
REGIONS = 400  # a hundred batches of four: fewer say little of a speed
KNOWN = 4  # of which the answers are calculated here
# Of the largest answer: FP32 sums in another order, and what FP16 layers may add.
IN_FP32, IN_FP16 = 1e-4, 2e-2

Floats = NDArray[np.float32]


def regions() -> NDArray[np.uint8]:
    """The regions that it is asked about, (REGIONS, SIZE, SIZE, 3)."""
    return np.random.default_rng(SEED).integers(0, 256, (REGIONS, SIZE, SIZE, 3), dtype=np.uint8)


@cache
def known() -> Floats:
    """The answers to the first KNOWN regions, (KNOWN, CLASSES)."""
    return answers(regions()[:KNOWN])


def answers(images: NDArray[np.uint8]) -> Floats:
    """What it answers to images (N, SIZE, SIZE, 3) by ONNX's reference implementation, (N, CLASSES)."""
    batch = normalise(images, WANTED.mean, WANTED.std)
    found: list[Floats] = ReferenceEvaluator(_network()).run(None, {engine_recipe.INPUT: batch})  # type: ignore[assignment]
    return found[0]


def tolerance(target: Target) -> float:
    """How far its answers on a sound board may be from the known ones, as a share of the largest."""
    return IN_FP16 if target.gpu else IN_FP32


def download(target: Target, room: Path) -> Path:
    """The bundle as a download for the target's runtime, in the new folder `room`."""
    folder = room / "golden"
    network = room / "golden.onnx"
    onnx.save(_network(), network)
    if target.runtime.name == "openvino":
        from pipeline.formats.to_openvino import write_openvino

        write_openvino(network, folder)
    else:
        folder.mkdir()
        shutil.copyfile(network, folder / engine_recipe.MODEL)
    if target.runtime.name == "tensorrt":
        recipe = engine_recipe.Recipe(SIZE, True, [])
        files.write_json(folder / engine_recipe.NAME, engine_recipe.as_json(recipe))
    files.write_json(folder / model_input.NAME, model_input.as_json(WANTED))
    packed = room / "golden.tar.xz"
    pack(folder, packed)
    return packed


def _network() -> Any:
    random = np.random.default_rng(SEED)
    nodes, weights, before, channels = [], [], engine_recipe.INPUT, 3
    for place, (width, stride) in enumerate(((32, 2), (64, 2), (64, 1))):
        kernel = random.normal(0, (2 / (9 * channels)) ** 0.5, (width, channels, 3, 3)).astype(np.float32)
        weights.append(numpy_helper.from_array(kernel, f"kernel-{place}"))
        names = [before, f"kernel-{place}"]
        nodes.append(helper.make_node("Conv", names, [f"sum-{place}"], pads=[1, 1, 1, 1], strides=[stride, stride]))
        nodes.append(helper.make_node("Relu", [f"sum-{place}"], [f"map-{place}"]))
        before, channels = f"map-{place}", width
    last = random.normal(0, 1, (channels, CLASSES)).astype(np.float32)
    weights.append(numpy_helper.from_array(last, "last"))
    nodes += [
        helper.make_node("GlobalAveragePool", [before], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("MatMul", ["flat", "last"], ["output"]),
    ]
    source = helper.make_tensor_value_info(engine_recipe.INPUT, TensorProto.FLOAT, ["N", 3, SIZE, SIZE])
    answer = helper.make_tensor_value_info("output", TensorProto.FLOAT, ["N", CLASSES])
    graph = helper.make_graph(nodes, "golden", [source], [answer], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
