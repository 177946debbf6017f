"""Measure the parts of a frame and the yardsticks on this machine, in turns, and write `measured.csv`.

`python -m pipeline.predict.frame CLIP`. Each process measures CPU time on one core and prints rows as JSON; the cap on
instructions is read when oneDNN loads. Some ten minutes, most of them quantizing.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from time import process_time, thread_time
from typing import Any

import numpy as np

from pipeline.predict.frame import measured
from pipeline.predict.frame.measured import Row

YARDSTICKS = ("mobilenet_v2", "ssdlite_mobilenet_v2", "mobilenet_ssd", "resnet_50_v1.5", "inception_v3")
# Kernels of 128 bits, as the published cores have. In 8 bits AVX's encoding of them is taken, whose instructions are
# the same: SSE's own take up to five times as long on a core whose registers are wider.
CAPS = {"fp32": "SSE41", "int8": "AVX"}
ROUNDS = 3
SIZES = (224, 112)  # of regions, in pixels
FRAMES = 400
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENCV_FOR_THREADS_NUM": "1"}


def main() -> None:
    """All of it."""
    clip = Path(sys.argv[1]).resolve()
    found: dict[tuple[str, str, int], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for precision in CAPS:
            _child("networks", precision, folder)
        for _ in range(ROUNDS):
            for row in [row for precision in CAPS for row in _child("yardsticks", precision, folder)]:
                found.setdefault(tuple(row[:3]), []).append(row[3])
            for row in [row for size in SIZES for row in _child("frames", str(clip), str(size))]:
                found.setdefault(tuple(row[:3]), []).append(row[3])
    rows = [Row(*key, median(times), _machine()) for key, times in found.items()]
    measured.write(sorted(rows, key=lambda row: (row.precision != "", row)))


def _child(*arguments: str) -> list[Any]:
    cap = {"ONEDNN_MAX_CPU_ISA": CAPS[arguments[1]]} if arguments[1] in CAPS else {}
    command = [sys.executable, "-m", "pipeline.predict.frame", *arguments]
    done = subprocess.run(command, env={**os.environ, **ONE_THREAD, **cap}, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(arguments)}: failed")
    rows: list[Any] = json.loads(done.stdout.splitlines()[-1])
    return rows


def networks(precision: str, folder: str) -> Iterator[Row]:
    """Make the published networks, with random weights: what is multiplied takes no other time."""
    import nncf
    import onnx
    import openvino

    from pipeline.predict.networks import ARCHITECTURES

    for name in YARDSTICKS:
        model = ARCHITECTURES[name]().model()
        random = np.random.default_rng(0)
        for tensor in model.graph.initializer:
            if not tensor.raw_data and tensor.data_type == onnx.TensorProto.FLOAT and not tensor.float_data:
                deviation = (2 / max(np.prod(tensor.dims[1:]), 1)) ** 0.5  # He et al. 2015: nothing fades or explodes
                weights = (random.standard_normal(tensor.dims) * deviation).astype(np.float32)
                tensor.CopyFrom(onnx.numpy_helper.from_array(weights, tensor.name))
        onnx.save(model, f"{folder}/{name}.onnx")
        network = openvino.convert_model(f"{folder}/{name}.onnx")
        if precision == "int8":
            images = [random.random(tuple(network.input(0).shape), dtype=np.float32) for _ in range(4)]
            network = nncf.quantize(network, nncf.Dataset(images), subset_size=len(images))
        openvino.save_model(network, f"{folder}/{name}.{precision}.xml", compress_to_fp16=False)
    return iter(())


def yardsticks(precision: str, folder: str) -> Iterator[Row]:
    """Milliseconds of one image of each network."""
    import openvino

    settings = {"NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    for name in YARDSTICKS:
        network = openvino.Core().compile_model(f"{folder}/{name}.{precision}.xml", "CPU", settings)
        image = np.random.default_rng(0).random(tuple(network.input(0).shape), dtype=np.float32)
        request = network.create_infer_request()
        request.infer([image])
        times: list[float] = []
        while len(times) < 5 or sum(times) < 2:
            times.append(_taken(lambda: request.infer([image]), process_time))  # noqa: B023
        yield Row(name, precision, 0, 1000 * median(times), "")


def frames(clip: str, size: str) -> Iterator[Row]:
    """Milliseconds a frame of what the camera program does beside the network, on a clip scaled to 1280x720."""
    import resource

    import cv2

    from runners.edge.bell import Bell
    from runners.edge.camera.camera import Camera
    from runners.edge.camera.source import parse
    from runners.edge.loop.proposer import Proposer
    from runners.edge.loop.regions import FRAME_HEIGHT, FRAME_WIDTH, Box, Cropper
    from runners.edge.tracking.tracker import Tracker

    cv2.setNumThreads(1)
    bell, sizes = Bell(), (FRAME_WIDTH, FRAME_HEIGHT)
    propose, tracker = Proposer(), Tracker()
    crop = Cropper((0.5,) * 3, (0.25,) * 3)
    batch = np.empty((measured.REGIONS, 3, int(size), int(size)), np.float32)
    buffer = np.empty((FRAME_HEIGHT, FRAME_WIDTH, 3), np.uint8)
    taken, count, boxes = dict.fromkeys(("propose", "track", "crop"), 0.0), 0, [Box(600, 300, 60, 150)]
    camera = Camera(parse(clip), bell, size=sizes, every_frame=True)
    began_s = process_time()
    while count < FRAMES and not camera.is_over:
        bell.wait(0.5)
        frame = camera.newest()
        if frame is None:
            continue
        count += 1
        image = frame.bgr(buffer)
        taken["propose"] += _taken(lambda: _keep(boxes, propose(image)))  # noqa: B023
        taken["track"] += _taken(lambda: tracker(boxes, count / 10, image))  # noqa: B023
        four = [boxes[index % len(boxes)] for index in range(measured.REGIONS)]
        for box, planes in zip(four, batch, strict=True):
            taken["crop"] += _taken(lambda: crop(image, box, planes))  # noqa: B023
    taken["rest"] = process_time() - began_s - sum(taken.values())  # with what takes frames over from the reader
    camera.close()
    reader = resource.getrusage(resource.RUSAGE_CHILDREN)
    taken["decode"] = reader.ru_utime + reader.ru_stime
    for name, seconds in taken.items():
        yield Row(name, "", int(size) ** 2 if name == "crop" else 0, 1000 * seconds / count, "")


def _keep(boxes: list[Any], found: list[Any]) -> None:
    boxes[:] = found or boxes


def _taken(work: Callable[[], Any], clock: Callable[[], float] = thread_time) -> float:
    began_s = clock()
    work()
    return clock() - began_s


def _machine() -> str:
    """The processor's name, and its family and model where the name tells little."""
    lines = (line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines())
    facts = {key.strip(): value.strip() for key, _, value in lines}
    return f"{facts.get('model name')} (family {facts.get('cpu family')} model {facts.get('model')})"


if __name__ == "__main__":
    if len(sys.argv) == 2:
        main()
    else:
        print(
            json.dumps(
                list({"networks": networks, "yardsticks": yardsticks, "frames": frames}[sys.argv[1]](*sys.argv[2:]))
            )
        )
