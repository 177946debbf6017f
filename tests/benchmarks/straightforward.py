"""`straightforward.py CLIP FP32.xml SECONDS`: the camera loop as one would first write it, and the parts that ours had.

OpenCV reads the clip; MOG2 works at full size; each of the four largest boxes is cut, scaled and normalised with NumPy
and given to OpenVINO, one after the other, in FP32. Prints frames a second and CPU milliseconds a frame. Then the CPU
milliseconds that a frame's proposals and crops took in the program's first version: MOG2 at half the size, and the same
crops.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import openvino

REGIONS, SIZE = 4, 224
FP32 = {"INFERENCE_PRECISION_HINT": "f32"}  # else BF16 on newer server CPUs
MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
OPEN = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
CLOSE = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 11))
Box = tuple[int, int, int, int]


def frames(clip: str) -> Iterator[np.ndarray]:
    while True:
        video = cv2.VideoCapture(clip)
        while True:
            got, image = video.read()
            if not got:
                break
            yield image


def proposer(scale: float) -> Callable[[np.ndarray], list[Box]]:
    background = cv2.createBackgroundSubtractorMOG2(history=300, varThreshold=25, detectShadows=True)

    def propose(frame: np.ndarray) -> list[Box]:
        small = frame if scale == 1 else cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        mask = cv2.threshold(background.apply(small), 200, 255, cv2.THRESH_BINARY)[1]
        mask = cv2.morphologyEx(cv2.morphologyEx(mask, cv2.MORPH_OPEN, OPEN), cv2.MORPH_CLOSE, CLOSE)
        found = []
        for x, y, w, h, area in cv2.connectedComponentsWithStats(mask, connectivity=8)[2][1:]:
            if h >= 56 * scale and w >= 24 * scale and area >= 0.2 * w * h:
                found.append((round(x / scale), round(y / scale), round(w / scale), round(h / scale)))
        return sorted(found, key=lambda box: -box[2] * box[3])

    return propose


def crop(frame: np.ndarray, box: Box) -> np.ndarray:
    """(1, 3, S, S) float32."""
    x, y, w, h = box
    side = max(round(1.2 * max(w, h)), 8)
    left, top = x + w // 2 - side // 2, y + h // 2 - side // 2
    rows = np.clip(np.arange(top, top + side), 0, frame.shape[0] - 1)
    columns = np.clip(np.arange(left, left + side), 0, frame.shape[1] - 1)
    region = cv2.cvtColor(cv2.resize(frame[rows][:, columns], (SIZE, SIZE)), cv2.COLOR_BGR2RGB)
    scaled = (region.astype(np.float32) / np.float32(255) - MEAN) / STD
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None])


def four(boxes: list[Box]) -> list[Box]:
    return (boxes + [(256 * (n + 1), 360, 60, 160) for n in range(REGIONS)])[:REGIONS]


def main(clip: str, model: str, seconds: float) -> dict[str, Any]:
    network, source, propose = openvino.compile_model(model, "CPU", FP32), frames(clip), proposer(1)
    for _ in range(20):
        propose(next(source))
    count, began_s, before_s = 0, time.monotonic(), time.process_time()
    while time.monotonic() - began_s < seconds:
        frame = next(source)
        for box in four(propose(frame)):
            network(crop(frame, box))
        count += 1
    fps, cpu_ms = count / (time.monotonic() - began_s), 1000 * (time.process_time() - before_s) / count
    cv2.setNumThreads(1)
    propose, taken_s = proposer(0.5), 0.0
    for number in range(140):
        frame = next(source)
        before_s = time.process_time()
        for box in four(propose(frame)):
            crop(frame, box)
        taken_s += time.process_time() - before_s if number >= 20 else 0
    return {"fps": fps, "cpu_ms": cpu_ms, "first_version_ms": 1000 * taken_s / 120}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], float(sys.argv[3]))))
