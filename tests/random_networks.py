"""Small random classifiers as strangers' files: operators, opsets, precisions and outputs drawn from a seed."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static

CLASSES = 4
SAMPLES = 48
Floats = NDArray[np.float32]

# By the first opset that has it, the operators of one input that are drawn as activations.
ACTIVATIONS = {
    11: ("Relu", "LeakyRelu", "Sigmoid", "Tanh", "Elu", "Selu", "HardSigmoid", "Softplus", "ThresholdedRelu", "Abs"),
    12: ("Celu",), 14: ("HardSwish",), 18: ("Mish",), 20: ("Gelu",),
}  # fmt: skip
# Of what is drawn, TensorRT 8.2 has no importer for these.
UNREAD = {"HardSwish", "Mish", "Gelu", "LayerNormalization", "GroupNormalization"}


@dataclass(frozen=True)
class Drawn:
    """A network with its FP32 original, samples (N, 3, H, W), and the labels (N,) that the original gives.

    `output` is the one that is judged, None where there is one. `size` is None unless the file leaves its own open.
    """

    model: ModelProto
    original: ModelProto
    inputs: Floats
    labels: NDArray[np.int64]
    precision: str
    output: str | None
    size: tuple[int, int] | None
    recipe: str

    @property
    def kernels(self) -> set[str]:
        """The kinds of operators in which the file has its 8-bit sums, if it does not leave them to the runtime."""
        return {kind for node in self.model.graph.node for kind in ("Integer", "QLinear") if kind in node.op_type}

    @property
    def unread(self) -> bool:
        """Whether TensorRT 8.2 has no importer for one of its operators."""
        return any(node.op_type in UNREAD for node in self.model.graph.node)


class _Builder:
    """A graph under construction; each step takes tensors' names and answers that of its result."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.opset = int(self.pick(11, 12, 13, 13, 14, 15, 16, 17, 18, 19, 20, 21))
        self.nodes: list[NodeProto] = []
        self.weights: list[TensorProto] = []
        self.channels = 3
        self.narrow = False  # a picture of a single column, in which no kernel fits without padding

    def pick(self, *choices: Any) -> Any:
        return choices[int(self.random.integers(len(choices)))]

    def chance(self, share: float) -> bool:
        return bool(self.random.random() < share)

    def normal(self, *shape: int, scale: float = 1.0) -> Floats:
        return (self.random.standard_normal(shape) * scale).astype(np.float32)

    def constant(self, values: Any) -> str:
        name = f"c{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def add(self, op: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        name = f"{op}_{len(self.nodes)}"
        results = [f"{name}_out", *(f"{name}_out{index}" for index in range(1, outputs))]
        self.nodes.append(helper.make_node(op, list(inputs), results, name=name, **attributes))
        return results[0]

    # Parts of networks

    def convolution(self, x: str, outputs: int, kernel: int = 3, groups: int = 1, **attributes: Any) -> str:
        scale = (kernel * kernel * self.channels / groups) ** -0.5
        weights = self.normal(outputs, self.channels // groups, kernel, kernel, scale=1.5 * scale)
        bias = [self.constant(self.normal(outputs, scale=0.1))] if self.chance(0.5) else []
        padding: dict[str, Any] = {"pads": [kernel // 2] * 4}
        if not attributes and self.chance(0.25):
            padding = {"auto_pad": self.pick("SAME_UPPER", "SAME_LOWER")}
        elif not attributes and self.chance(0.1) and not self.narrow:
            padding = {"pads": [0, 0, kernel // 2, kernel // 2]}
        self.channels = outputs
        given = {"group": groups, "kernel_shape": [kernel] * 2, **padding, **attributes}
        return self.add("Conv", x, self.constant(weights), *bias, **given)

    def normalised(self, x: str) -> str:
        kind = self.pick(*["BatchNormalization"] * 4, "InstanceNormalization", "over channels", "GroupNormalization")
        scale = self.constant(1 + np.abs(self.normal(self.channels, scale=0.2)))
        shift = self.constant(self.normal(self.channels, scale=0.1))
        if kind == "InstanceNormalization":
            return self.add("InstanceNormalization", x, scale, shift)
        if kind == "over channels" and self.opset >= 17:
            last = self.add("Transpose", x, perm=[0, 2, 3, 1])
            return self.add("Transpose", self.add("LayerNormalization", last, scale, shift, axis=-1), perm=[0, 3, 1, 2])
        if kind == "GroupNormalization" and self.opset >= 21:
            return self.add("GroupNormalization", x, scale, shift, num_groups=2)
        moments = [self.normal(self.channels, scale=0.1), 1 + np.abs(self.normal(self.channels))]
        return self.add("BatchNormalization", x, scale, shift, *map(self.constant, moments))

    def activation(self, x: str) -> str:
        kinds = [kind for since, kinds in ACTIVATIONS.items() if self.opset >= since for kind in kinds]
        kind = self.pick("Relu", "Relu", "Clip", "PRelu", "silu", "hard swish", "erf", *kinds)
        if kind == "Clip":
            return self.add("Clip", x, *map(self.constant, np.array([0, 6], np.float32)[: self.pick(1, 2, 2)]))
        if kind == "PRelu":
            return self.add("PRelu", x, self.constant(np.abs(self.normal(self.channels, 1, 1, scale=0.2))))
        if kind == "silu":
            return self.add("Mul", x, self.add("Sigmoid", x))
        if kind == "hard swish":
            return self.add("Mul", x, self.add("HardSigmoid", x, alpha=1 / 6, beta=0.5))
        if kind == "erf":
            part = self.add("Erf", self.add("Div", x, self.constant(np.float32(2**0.5))))
            return self.add("Mul", x, self.add("Add", part, self.constant(np.float32(1))))
        return self.add(kind, x)

    def block(self, x: str) -> str:
        kind = self.pick(
            *["plain"] * 4, *["separable"] * 2, *["residual"] * 2, "branches", "squeeze", "transposed", "pooled",
            "resized", "shuffled", "split", "padded", "attention", "large",
        )  # fmt: skip
        part: str = getattr(self, f"_{kind}")(x)
        return part

    def _plain(self, x: str) -> str:
        dilated = {"dilations": [2, 2], "pads": [2] * 4} if self.chance(0.1) else {}
        x = self.convolution(x, self.pick(8, 12, 16, 24), self.pick(1, 3, 3, 5) if not dilated else 3, **dilated,
                             **({"strides": [2, 2]} if self.chance(0.2) else {}))  # fmt: skip
        return self.activation(self.normalised(x) if self.chance(0.6) else x)

    def _separable(self, x: str) -> str:
        x = self.activation(self.normalised(self.convolution(x, self.channels, self.pick(3, 5), groups=self.channels)))
        return self.normalised(self.convolution(x, self.pick(8, 16, 24), 1))

    def _residual(self, x: str) -> str:
        channels = self.channels
        inner = self.activation(self.convolution(x, channels, 3, pads=[1] * 4))
        inner = self.convolution(inner, channels, 3, pads=[1] * 4)
        return self.activation(self.add("Add", x, inner))

    def _branches(self, x: str) -> str:
        channels, parts, total = self.channels, [], 0
        for kernel in (1, 3):
            self.channels = channels
            parts.append(self.convolution(x, self.pick(4, 8), kernel, pads=[kernel // 2] * 4))
            total += self.channels
        self.channels = total
        return self.activation(self.add("Concat", *parts, axis=1))

    def _squeeze(self, x: str) -> str:
        channels = self.channels
        gate = self.add("Relu", self.convolution(self._mean(x, keep=True), 4, 1))
        gate = self.add(self.pick("Sigmoid", "HardSigmoid"), self.convolution(gate, channels, 1))
        return self.add("Mul", x, gate)

    def _transposed(self, x: str) -> str:
        outputs = self.pick(4, 8)
        weights = self.constant(self.normal(self.channels, outputs, 2, 2, scale=(self.channels * 2) ** -0.5))
        self.channels = outputs
        return self.activation(self.add("ConvTranspose", x, weights, kernel_shape=[2, 2], strides=[2, 2]))

    def _pooled(self, x: str) -> str:
        kind = self.pick("MaxPool", "AveragePool")
        extra = {"count_include_pad": self.pick(0, 1)} if kind == "AveragePool" else {}
        if self.chance(0.5) or self.narrow:
            extra |= {"pads": [1] * 4}
        return self.add(kind, x, kernel_shape=[3, 3], strides=[self.pick(1, 2)] * 2, **extra)

    def _resized(self, x: str) -> str:
        mode = self.pick("nearest", "linear")
        where = "asymmetric" if mode == "nearest" else self.pick("half_pixel", "align_corners")
        scales = self.constant(np.array([1, 1, 2, 2], np.float32))
        extra = {"nearest_mode": "floor"} if mode == "nearest" else {}
        roi = self.constant(np.zeros(0, np.float32)) if self.opset < 13 else ""
        return self.add("Resize", x, roi, scales, mode=mode, coordinate_transformation_mode=where, **extra)

    def _shuffled(self, x: str) -> str:
        x = self.add("DepthToSpace", self.convolution(x, 8, 1), blocksize=2, mode=self.pick("DCR", "CRD"))
        return self.add("SpaceToDepth", x, blocksize=2)

    def _split(self, x: str) -> str:
        half = self.channels // 2
        sizes = [half, self.channels - half]
        if self.opset >= 13:
            first = self.add("Split", x, self.constant(np.array(sizes, np.int64)), outputs=2, axis=1)
        else:
            first = self.add("Split", x, outputs=2, axis=1, split=sizes)
        return self.add("Concat", f"{first}1", self.add(self.pick("Relu", "Sigmoid", "Tanh"), first), axis=1)

    def _padded(self, x: str) -> str:
        pads = self.constant(np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64))
        return self.add("Pad", x, pads, mode=self.pick("constant", "edge" if self.narrow else "reflect", "edge"))

    def _attention(self, x: str) -> str:
        shape = self.constant(np.array([0, self.channels, -1], np.int64))
        tokens = self.add("Transpose", self.add("Reshape", x, shape), perm=[0, 2, 1])
        query, key, values = (
            self.add("MatMul", tokens, self.constant(self.normal(self.channels, 8, scale=self.channels**-0.5)))
            for _ in range(3)
        )
        scores = self.add("MatMul", query, self.add("Transpose", key, perm=[0, 2, 1]))
        mixed = self.add("MatMul", self.add("Softmax", scores, axis=2), values)
        self.channels, self.narrow = 8, True
        column = self.add("Transpose", mixed, perm=[0, 2, 1])  # the tokens become a picture of a single column
        if self.opset >= 13:
            return self.add("Unsqueeze", column, self.constant(np.array([3], np.int64)))
        return self.add("Unsqueeze", column, axes=[3])

    def _large(self, x: str) -> str:
        """Values that 16 bits may not hold."""
        factor = float(self.pick(300, 3000, 30_000))
        up = self.add("Mul", x, self.constant(np.float32(factor)))
        return self.add("Mul", self._plain(up), self.constant(np.float32(1 / factor)))

    def _mean(self, x: str, keep: bool) -> str:
        kind = self.pick("GlobalAveragePool", "GlobalAveragePool", "ReduceMean") if keep else "ReduceMean"
        if kind == "GlobalAveragePool":
            return self.add("GlobalAveragePool", x)
        if self.opset >= 18:
            return self.add("ReduceMean", x, self.constant(np.array([2, 3], np.int64)), keepdims=int(keep))
        return self.add("ReduceMean", x, axes=[2, 3], keepdims=int(keep))

    def flat(self, x: str) -> str:
        """(N, C) of (N, C, H, W), in the ways of exporters."""
        kind = self.pick("Flatten", "Flatten", "Reshape", "by its shape", "Squeeze", "mean")
        if kind == "mean":
            return self._mean(x, keep=False)
        x = self.add("GlobalMaxPool", x) if self.chance(0.3) else self._mean(x, keep=True)
        if kind == "Reshape":
            return self.add("Reshape", x, self.constant(np.array([-1, self.channels], np.int64)))
        if kind == "by its shape":
            batch = self.add("Gather", self.add("Shape", x), self.constant(np.array([0], np.int64)), axis=0)
            return self.add("Reshape", x, self.add("Concat", batch, self.constant(np.array([-1], np.int64)), axis=0))
        if kind == "Squeeze":
            if self.opset >= 13:
                return self.add("Squeeze", x, self.constant(np.array([2, 3], np.int64)))
            return self.add("Squeeze", x, axes=[2, 3])
        return self.add("Flatten", x)

    def dense(self, x: str, outputs: int) -> str:
        bias = self.normal(outputs, scale=0.1)
        weights = self.normal(self.channels, outputs, scale=2 * self.channels**-0.5)
        self.channels = outputs
        if self.chance(0.5):
            return self.add("Gemm", x, self.constant(weights.T.copy()), self.constant(bias), transB=1)
        return self.add("Add", self.add("MatMul", x, self.constant(weights)), self.constant(bias))


def draw(seed: int) -> Drawn:
    """The network of a seed; the same every time."""
    build = _Builder(seed)
    side = build.pick(8, 12, 16)
    x = build.activation(build.convolution("x", build.pick(8, 12, 16)))
    for _ in range(build.pick(1, 2, 2, 3)):
        x = build.block(x)
    x = build.flat(x)
    if build.chance(0.25):
        x = build.dense(x, 12)
        slopes = build.constant(np.abs(build.normal(12, scale=0.2))) if build.chance(0.3) else None
        x = build.add("PRelu", x, slopes) if slopes else build.add("Relu", x)
    features, channels = x, build.channels
    scores = build.dense(features, CLASSES)
    inputs = build.normal(3 * SAMPLES, 3, 1, 1) + build.normal(3 * SAMPLES, 3, side, side)
    # Every class comes up, and as in trained networks few samples are close calls.
    found = _run(_model(build, {scores: CLASSES}, ("N", side, side)), inputs)
    bias = next(tensor for tensor in reversed(build.weights) if list(tensor.dims) == [CLASSES])
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) - found.mean(0), bias.name))
    found -= found.mean(0)
    margins = np.diff(np.sort(found, axis=1)[:, -2:], axis=1)[:, 0]
    by_class = [np.flatnonzero(found.argmax(1) == index) for index in range(CLASSES)]
    clear = [rows[np.argsort(margins[rows])[-SAMPLES // CLASSES :]] for rows in by_class]
    chosen = np.sort(np.concatenate(clear))
    inputs = inputs[chosen[: len(chosen) // 4 * 4]]
    ending = build.pick("Softmax", "Softmax", "LogSoftmax", "")
    judged = build.add(ending, scores, axis=1) if ending else scores
    outputs = {judged: CLASSES}
    if build.chance(0.2):  # boxes or an embedding beside the classes
        build.channels, width = channels, build.pick(6, 10)
        outputs = {build.dense(features, width): width, judged: CLASSES}
    batch, is_open = build.pick("N", "N", "N", 1, 4), build.chance(0.15)
    shape = (batch, "H", "W") if is_open else (batch, side, side)
    original = _model(build, outputs, shape)
    answers = _run(_model(build, outputs, ("N", side, side)), inputs, len(outputs) - 1)
    precision, made = _in_a_precision(build, original, inputs[:12], batch if isinstance(batch, int) else 4)
    words = " ".join(node.op_type for node in build.nodes)
    return Drawn(
        made,
        original,
        inputs,
        answers.argmax(1),
        precision,
        judged if len(outputs) > 1 else None,
        (side, side) if is_open else None,
        f"seed {seed}, opset {build.opset}, {precision}, {len(outputs)} outputs, input {shape}: {words}",
    )


def _model(build: _Builder, outputs: dict[str, int], shape: tuple[Any, Any, Any]) -> ModelProto:
    graph = helper.make_graph(
        build.nodes,
        "drawn",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [shape[0], 3, *shape[1:]])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [shape[0], width]) for name, width in outputs.items()],
        build.weights,
    )
    opsets = [helper.make_opsetid("", build.opset)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=max(8, helper.find_min_ir_version_for(opsets)))
    onnx.checker.check_model(made, full_check=True)
    return made


def _run(model: ModelProto, inputs: Floats, place: int = 0) -> Floats:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": inputs})[place])


class _Reader(CalibrationDataReader):
    def __init__(self, inputs: Floats, batch: int) -> None:
        self._left = iter([inputs[row : row + batch] for row in range(0, len(inputs), batch)])

    def get_next(self) -> dict[str, Floats] | None:
        found = next(self._left, None)
        return None if found is None else {"x": found}


def _in_a_precision(build: _Builder, original: ModelProto, inputs: Floats, batch: int) -> tuple[str, ModelProto]:
    """The network as it is, or quantized in one of the ways in which people do."""
    kind = build.pick(*["fp32"] * 5, *["int8"] * 6, "weights only", "dynamic")
    if kind == "fp32":
        return kind, original
    with tempfile.TemporaryDirectory() as folder:
        plain, made = Path(folder) / "plain.onnx", Path(folder) / "made.onnx"
        onnx.save(original, plain)
        if kind == "dynamic":
            # Of what stands behind an operator that it does not know, it has to be told the type.
            options = {"DefaultTensorType": TensorProto.FLOAT}
            quantize_dynamic(
                plain, made, weight_type=build.pick(QuantType.QInt8, QuantType.QUInt8), extra_options=options
            )
            return "int8, dynamic", onnx.load(made)
        if kind == "weights only":
            return "int8, weights only", _with_quantized_weights(original)
        activations, weights = (
            build.pick(QuantType.QUInt8, QuantType.QUInt8, QuantType.QInt8),
            build.pick(QuantType.QInt8, QuantType.QInt8, QuantType.QUInt8),
        )
        form = QuantFormat.QDQ if build.chance(0.85) else QuantFormat.QOperator
        if build.opset >= 21 and form == QuantFormat.QDQ and build.chance(0.3):
            activations = QuantType.QUInt16
        per_channel = build.opset >= 13 and build.chance(0.6)
        layers = [node.name for node in build.nodes if node.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul")]
        left_out = [name for name in layers if build.chance(0.2)] if build.chance(0.4) else []
        only = build.pick(None, None, ["Conv"], ["Conv", "Gemm", "MatMul"])
        if activations == QuantType.QInt8 and weights == QuantType.QUInt8:
            weights = QuantType.QInt8
        try:
            quantize_static(
                plain,
                made,
                _Reader(inputs, batch),
                quant_format=form,
                op_types_to_quantize=only,
                per_channel=per_channel,
                reduce_range=build.chance(0.2),
                activation_type=activations,
                weight_type=weights,
                nodes_to_exclude=left_out,
                extra_options={"ActivationSymmetric": build.chance(0.2), "QuantizeBias": build.chance(0.8)},
            )
        except ValueError:  # it finds no scale for an activation that is constant
            return "int8, weights only", _with_quantized_weights(original)
        style = (
            f"{form}, activations {activations}, weights {weights}{' per channel' if per_channel else ''}, only {only}"
        )
        return f"int8, {style}, without {len(left_out)} layers", onnx.load(made)


def _with_quantized_weights(original: ModelProto) -> ModelProto:
    """The weights of layers in 8 bits, dequantized before they are used."""
    made = ModelProto()
    made.CopyFrom(original)
    layers = {node.input[1] for node in made.graph.node if node.op_type in ("Conv", "Gemm", "MatMul")}
    nodes = []
    for tensor in made.graph.initializer:
        if tensor.name not in layers:
            continue
        values, name = numpy_helper.to_array(tensor), tensor.name
        scale = np.float32(max(float(np.abs(values).max()), 1e-6) / 127)
        tensor.CopyFrom(numpy_helper.from_array(np.rint(values / scale).astype(np.int8), f"{name}/8"))
        parts = [numpy_helper.from_array(scale, f"{name}/scale"), numpy_helper.from_array(np.int8(0), f"{name}/zero")]
        nodes.append(
            helper.make_node("DequantizeLinear", [f"{name}/8", *(part.name for part in parts)], [name], f"{name}/dq")
        )
        made.graph.initializer.extend(parts)
    made.graph.node.extend([*nodes, *(node for node in made.graph.node)])
    del made.graph.node[: len(original.graph.node)]
    return made
