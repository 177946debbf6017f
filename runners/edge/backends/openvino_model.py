"""OpenVINO: a network compiled for one device and one size of batch. NumPy and OpenVINO only.

The re-test compiles and runs with this very class (pipeline/processes/backends/openvino_cpu.py).
"""

import os
import queue
from typing import Any, Dict, List, Mapping

import numpy as np
import openvino

from runners.edge.backends.batch import check, padded
from runners.edge.backends.unusable import Unusable, in_one_line

# What a network calculates in on a device: never what OpenVINO would choose, which is BF16 on newer server CPUs.
PRECISIONS = {"CPU": "f32", "GPU": "f16"}
NO_GPU = "install intel-opencl-icd (Gen9: intel-opencl-icd-legacy1) and put the user into the group render"


class OpenVinoModel:
    """An `openvino.Model` of fixed shape, compiled for `device`: CPU, GPU, or GPU.1 where there are several.

    `settings` are properties of OpenVINO's beside ours.

    Raises:
        Unusable: there is no such device, or another device or precision would calculate.
        RuntimeError: OpenVINO does not take the network.
    """

    def __init__(self, model: Any, device: str, threads: int, settings: Mapping[str, Any]) -> None:
        core = openvino.Core()
        kind = device.split(".")[0]
        if kind not in PRECISIONS:
            raise Unusable("OpenVINO's device {} may calculate anywhere: ask for CPU or GPU".format(device))
        here = core.available_devices
        if not here:
            core.get_property(kind, "FULL_DEVICE_NAME")  # it says why what calculates there does not load
        if not any(_is(device, name) for name in here):
            fix = NO_GPU if kind == "GPU" else "ask for one of these"
            raise Unusable("OpenVINO sees no {} here, only {}; {}".format(device, ", ".join(here) or "nothing", fix))
        ours: Dict[str, Any] = {"NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": PRECISIONS[kind]}
        if kind == "CPU":
            ours["INFERENCE_NUM_THREADS"] = threads
        ours.update(settings)
        self.compiled = core.compile_model(model, device, ours)
        self._rows = int(model.input(0).shape[0])
        computes = [str(name) for name in self.compiled.get_property("EXECUTION_DEVICES")]
        precision = self.compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        if not computes or not all(_is(device, name) for name in computes) or precision != PRECISIONS[kind]:
            found = "{} in {}".format(", ".join(computes) or "nothing", precision)
            raise Unusable("OpenVINO was asked for {} in {} and runs on {}".format(device, PRECISIONS[kind], found))
        self._facts = {
            "runtime": "OpenVINO {}".format(openvino.__version__.split("-")[0]),
            "device": str(core.get_property(computes[0], "FULL_DEVICE_NAME")).strip(),
            "computes": computes,
            "precision": precision,
            "threads": self.compiled.get_property("INFERENCE_NUM_THREADS") if kind == "CPU" else None,
        }

    def run(self, batch: Any) -> List[Any]:
        """Every output, with all rows the network was compiled for; those behind `batch` (n, ...) are of zeros."""
        answers = self.compiled(padded(batch, self._rows))
        return [answers[index] for index in range(len(answers))]

    def facts(self) -> Dict[str, Any]:
        """The runtime, and the device and the precision that really calculate."""
        return dict(self._facts)


def _is(device: str, name: str) -> bool:
    """Whether a device that was asked for is the one of that name: GPU is any of several, GPU.1 is one."""
    return device in (name, name.split(".")[0])


class Backend:
    """The IR `model.xml` in a folder, for up to `most` regions of `size` pixels.

    On a CPU each core has a region of its own: nobody waits for others at the end of each layer, so that a batch takes
    less time, and much less where other work runs beside it. A core that is done with one batch goes on with the next.
    A GPU takes the regions of a batch together; fewer are padded.
    """

    def __init__(self, folder: str, size: int, device: str, threads: int, most: int, _cache: str) -> None:
        path = os.path.join(folder, "model.xml")
        self._most, self._size, device = most, size, device or "CPU"
        streams = min(threads, most) if device == "CPU" else 1
        self.at_once = 2 if device == "CPU" else 1
        rows = 1 if device == "CPU" else most
        try:
            model = openvino.Core().read_model(path)
            declared = model.input(0).partial_shape
            if not declared.compatible(openvino.PartialShape([-1, 3, size, size])):
                raise Unusable("{}: wants {} and not regions of {} pixels".format(path, declared, size))
            model.reshape({0: openvino.PartialShape([rows, 3, size, size])})
            self._model = OpenVinoModel(model, device, threads, {"NUM_STREAMS": streams})
        except RuntimeError as error:
            raise Unusable(
                "{}: OpenVINO does not take it: is it whole? ({})".format(path, in_one_line(error))
            ) from error
        self._rows = rows
        self._idle: "queue.Queue[List[Any]]" = queue.Queue()  # requests for a batch each
        for _ in range(self.at_once):
            self._idle.put([self._model.compiled.create_infer_request() for _ in range(most // rows)])

    def infer(self, batch: Any) -> Any:
        """The first output (n, values) in float32 for `batch` (n, 3, size, size), n at most `most`."""
        check(batch, self._most, self._size)
        rows = self._rows
        parts = [padded(batch[start : start + rows], rows) for start in range(0, len(batch), rows)]
        requests = self._idle.get()
        try:
            for request, part in zip(requests, parts):
                request.start_async({0: part})
            for request, _ in zip(requests, parts):
                request.wait()
            found = [request.get_output_tensor(0).data.reshape(rows, -1) for request, _ in zip(requests, parts)]
            return np.concatenate(found).astype(np.float32)[: len(batch)]
        finally:
            self._idle.put(requests)

    def facts(self) -> Dict[str, Any]:
        """The runtime, and the device and the precision that really calculate."""
        return self._model.facts()

    def close(self) -> None:
        """Let go of the network and its memory."""
        del self._idle, self._model
