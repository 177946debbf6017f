"""OpenVINO on the CPU, as a device runs it, and what a re-test asks beside: ONNX files, layers, kernels."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray

from pipeline.formats.layer_names import clean_name, layers_in, weights_name
from pipeline.processes.answers import answer
from runners.edge.backends.openvino_model import OpenVinoModel

BOUNDARIES = ("FakeQuantize",)
LAYERS = ("Convolution", "GroupConvolution", "MatMul")
FOLDED = ("BatchNormInference", "Identity")
IN_8_BITS = ("I8", "i8", "u8")  # how the names of such kernels end


def read(job: dict[str, Any]) -> openvino.Model:
    """The model of a job (an IR or an ONNX file) for its fixed shape, as a device reads it."""
    return _shaped(openvino.Core().read_model(job["model"]), job)


def converted(job: dict[str, Any]) -> openvino.Model:
    """The same with constants and normalisations folded, as in an IR."""
    is_onnx = job["model"].endswith(".onnx")
    return _shaped(openvino.convert_model(job["model"]), job) if is_onnx else read(job)


def _shaped(model: openvino.Model, job: dict[str, Any]) -> openvino.Model:
    model.reshape({0: openvino.PartialShape(job["shape"])})
    return model


def positions(model: openvino.Model, names: Sequence[str]) -> list[int]:
    """Which of a model's outputs are called `names`, by their tensors or their results; the first without names.

    Conversion keeps the names of an ONNX file's tensors among others.

    Raises:
        LookupError: OpenVINO knows one of them by another name.
    """
    known = [{*output.get_names(), str(output.get_node().get_friendly_name())} for output in model.outputs]
    found = [[index for index, own in enumerate(known) if name in own] for name in names]
    if not all(found):
        raise LookupError(f"OpenVINO calls the output {names[found.index([])]!r} otherwise")
    return [indices[0] for indices in found] or [0]


def open_backend(job: dict[str, Any]) -> "OpenVino":
    """Load `model` for `shape` inputs with `threads`; it answers the outputs named in `output`, else its first."""
    return OpenVino(job)


class OpenVino:
    """A compiled model.

    Without `saturating`, quantized layers are calculated in floating point, whose sums cannot overflow. With `layers`,
    the answer is every layer's output instead of the network's, side by side; the facts give each one's name, how many
    values it has, and whether they are `quantized`.
    """

    def __init__(self, job: dict[str, Any]) -> None:
        self._rows = job["shape"][0]
        model = read(job)
        self._outputs = positions(model, job.get("output", ()))
        self._layers: list[dict[str, Any]] = []
        self._own = [_names(op) for op in layers_in(model)]
        if job.get("layers"):
            model = _showing_layers(model, self._outputs, self._layers)
        settings = {} if job.get("saturating", True) else {"LP_TRANSFORMS_MODE": "NO"}
        self._model = OpenVinoModel(model, "CPU", job["threads"], settings)

    def infer(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """The outputs asked for (see `answer`) for `batch` (n, ...), n at most the batch it was compiled for."""
        answers = self._model.run(batch)
        if self._layers:
            shown = [np.asarray(values, np.float32).reshape(self._rows, -1) for values in answers]
            for layer, values in zip(self._layers, shown, strict=True):
                layer["values"] = values.shape[1]
            return np.concatenate(shown, axis=1)[: len(batch)]
        return answer([answers[index] for index in self._outputs], self._rows, len(batch))

    def facts(self) -> dict[str, Any]:
        """Kernels of the convolutions and matrix products, such as `jit_sse42_1x1_I8`, and what really calculates.

        `ran` has each of these layers that was found again: its name, the constant that its weights are, its kernel,
        and whether that multiplies 8-bit numbers.
        """
        nodes = [node.get_rt_info() for node in self._model.compiled.get_runtime_model().get_ops()]
        kernels = {
            node["primitiveType"].astype(str)
            for node in nodes
            if node["layerType"].astype(str) in ("Convolution", "FullyConnected", "MatMul")
        }
        return {
            **self._model.facts(),
            "kernels": sorted(kernels),
            "layers": self._layers,
            "ran": _ran(self._own, nodes),
        }


def _names(op: Any) -> tuple[str, str | None, list[str]]:
    """What a layer is called, the constant that its weights are, and what its kernel may be called.

    That is called as whatever was folded into it: it may have lost a layer's own name.
    """
    calculated = [op]
    for node in calculated:
        takers = (taker.get_node() for taker in node.output(0).get_target_inputs())
        calculated += [taker for taker in takers if taker.get_type_name() in FOLDED]
    names = [clean_name(node.get_friendly_name()) for node in calculated]
    return names[0], weights_name(op), names


def _ran(own: list[tuple[str, str | None, list[str]]], nodes: list[Any]) -> list[dict[str, Any]]:
    kernels = {
        clean_name(name): node["primitiveType"].astype(str)
        for node in nodes
        if node["layerType"].astype(str) in ("Convolution", "Deconvolution", "FullyConnected", "MatMul")
        for name in node["originalLayersNames"].astype(str).split(",")
    }
    found = []
    for name, weights, perhaps in own:
        kernel = next((kernels[each] for each in perhaps if each in kernels), None)
        if kernel is not None:
            found.append({"name": name, "weights": weights, "kernel": kernel, "in_8_bits": kernel.endswith(IN_8_BITS)})
    return found


def _showing_layers(model: Any, outputs: Sequence[int], layers: list[dict[str, Any]]) -> Any:
    """The model with the output of every quantizer of activations, or without any of every layer, as its outputs."""
    constants = {"Constant", "Convert"}
    kinds = [op.get_type_name() for op in model.get_ordered_ops()]
    wanted = BOUNDARIES if "FakeQuantize" in kinds else LAYERS
    shown = []
    for op in model.get_ordered_ops():
        source = op.input_value(0).get_node().get_type_name() if op.get_input_size() else "Constant"
        if op.get_type_name() in wanted and source not in constants:
            shown.append(op.output(0))
            layers.append({"name": _layer_name(op), "quantized": op.get_type_name() in BOUNDARIES})
    for index in outputs:
        last = model.output(index).get_node().input_value(0)
        shown.append(last)
        layers.append({"name": _layer_name(last.get_node()), "quantized": False})
    return openvino.Model(shown, model.get_parameters())


def _layer_name(op: Any) -> str:
    """The layer whose result an operation holds: itself, or the nearest layer above a quantizer."""
    while op.get_type_name() not in LAYERS and op.get_input_size():
        op = op.input_value(0).get_node()
    return clean_name(str(op.get_friendly_name()))
