"""Films of squares that walk through a picture, and a network that tells red ones from blue ones."""

from pathlib import Path

import cv2
import numpy as np
import onnx
import openvino

from pipeline.system import files
from runners.contract import model_input
from runners.contract.model_input import ModelInput
from runners.edge.camera.slot import Frame
from tests.graphs import Array, model, node

CLASSES = ["background", "red", "blue"]
SIZE = 16  # of the network's regions
RED, BLUE = (40, 40, 220), (220, 40, 40)  # BGR
GROUND = cv2.resize(np.random.default_rng(0).integers(80, 120, (9, 16, 3), np.uint8), (1280, 720))
RATE = 10  # frames a second
SPEED = 160  # pixels a second
COME_S, GONE_S, LENGTH_S = 2.0, 5.5, 10.0  # when both squares come and leave, and when the film is over


def picture(time_s: float) -> Array:
    """An empty place; then a red square walks to the right and a blue one to the left, and both are gone."""
    image = GROUND.copy()
    if COME_S <= time_s < GONE_S:
        way = round(SPEED * (time_s - COME_S))
        image[200:340, 100 + way : 170 + way] = RED
        image[450:590, 1100 - way : 1170 - way] = BLUE
    return image


def frame(image: Array, number: int, time_s: float, camera: str = "door") -> Frame:
    """As a camera hands it over."""
    return Frame(camera, number, time_s, cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_BGR2YUV_I420))


def film(path: Path, seconds: float = GONE_S, rate: int = RATE, size: tuple[int, int] = (1280, 720)) -> Path:
    """A file of it, played again from the start where it is to be longer."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), rate, size)
    for number in range(round(seconds * rate)):
        image = picture(number / rate % LENGTH_S)
        writer.write(image if size == (1280, 720) else cv2.resize(image, size))
    writer.release()
    return path


def weights(sure: float) -> Array:
    """Of the mean colour (R, G, B) for each class; where `sure` is below 0, red is called blue."""
    return np.array([[0, sure, -sure], [0, 0, 0], [0, -sure, sure]], np.float32)


def bundle(folder: Path, runtime: str = "openvino", sure: float = 40) -> Path:
    """What would have been exported: the mean colour of a region decides, the surest for pure red or blue."""
    nodes = [node("GlobalAveragePool", "x", "a"), node("Flatten", "a", "b"), node("MatMul", "b m", "y")]
    of = model(nodes, {"m": weights(sure)}, ("n", 3, SIZE, SIZE))
    folder.mkdir(parents=True)
    onnx.save(of, folder / "model.onnx")
    if runtime == "openvino":
        converted = openvino.convert_model(folder / "model.onnx")
        openvino.save_model(converted, folder / "model.xml", compress_to_fp16=False)
        (folder / "model.onnx").unlink()
    wanted = ModelInput(SIZE, (0.5, 0.5, 0.5), (1.0, 1.0, 1.0), CLASSES)
    files.write_json(folder / model_input.NAME, model_input.as_json(wanted))
    return folder
