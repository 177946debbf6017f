"""Model files as accidents, converters and attackers leave them: one fault a seed."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any
from xml.etree import ElementTree

import numpy as np
import onnx
import openvino
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from tests.damage import accidents
from tests.graphs import random as normal
from tests.quantized_graphs import Quantized, convolutions

CHANNELS, SIZE = 8, 16
NUMBERS = (0, 1, -1, 2, 3, 7, 64, 255, 2**20, 2**31 - 1, -(2**31), 2**40, 2**62, 2**63 - 1)
REALS = (float("nan"), float("inf"), float("-inf"), 0.0, -1.0, 1e38, 1e-45)
TEXTS = ("", " ", "..", "/", "../../etc/passwd", "a\nb", "\x1b[31m", "\0", "x" * 5000, "\u202e", "com.example", "Conv")
OPERATORS = (
    "Relu", "Sigmoid", "Identity", "Conv", "ConvTranspose", "MatMul", "Gemm", "Add", "Softmax", "Reshape", "Transpose",
    "Squeeze", "Concat", "Resize", "If", "Loop", "Shape", "NonZero", "LSTM", "TopK", "QuantizeLinear", "NoSuchThing",
)  # fmt: skip
BOMB = 1 << 36  # numbers: more than any machine here has memory for

Fault = Callable[[Random, ModelProto], None]


def write_originals(folder: Path) -> None:
    """What is damaged later: an ONNX file in FP32, one in INT8, one with weights beside it, and both as IRs."""
    graph = Quantized(CHANNELS)
    x = "x"
    for seed in range(2):
        kernel = graph.constant(normal(seed, CHANNELS, CHANNELS, 3, 3, scale=0.1))
        x = graph.add("Relu", graph.normalised(graph.convolution(x, kernel)))
    pooled = graph.add("Flatten", graph.add("GlobalAveragePool", x))
    scores = graph.add("Gemm", pooled, graph.constant(normal(9, CHANNELS, 10)))
    model = graph.model(graph.add("Softmax", scores, axis=1), size=SIZE)
    onnx.save(model, folder / "fp32.onnx")
    onnx.save(model, folder / "external.onnx", save_as_external_data=True, location="external.data", size_threshold=0)
    convolutions(folder / "int8.onnx", CHANNELS)
    for name in ("fp32", "int8"):
        converted = openvino.Core().read_model(folder / f"{name}.onnx")
        openvino.save_model(converted, folder / f"{name}.xml", compress_to_fp16=False)


def damage_model(seed: int, originals: Path, folder: Path) -> tuple[Path, str]:
    """Copy one of the `originals` into `folder` and damage it; the answer is its path and what was done."""
    random = Random(seed)
    if random.random() < 0.2:
        return _damaged_ir(random, originals, folder)
    name = random.choice(["fp32", "int8", "external"])
    path = folder / "model.onnx"
    if name == "external":
        shutil.copy(originals / "external.data", folder)
    shutil.copy(originals / f"{name}.onnx", path)
    kind = random.choice(
        [*["bytes"] * 3, *["fields"] * 6, *["graph"] * 5, *(["beside"] * 5 if name == "external" else []), "file"]
    )
    if kind == "bytes":
        path.write_bytes(accidents(random, path.read_bytes()))
        return path, f"{name}: bytes"
    if kind in ("file", "beside"):
        fault = random.choice(list(FILES))
        FILES[fault](random, path if kind == "file" else folder / "external.data")
        return path, f"{name}: {kind} {fault}"
    model = onnx.load(path, load_external_data=False)
    faults = [random.choice(list(GRAPHS))] if kind == "graph" else ["a field"] * random.choice([1, 1, 2, 3])
    for fault in faults:
        (GRAPHS[fault] if kind == "graph" else a_field)(random, model)
    path.write_bytes(model.SerializeToString())
    return path, f"{name}: {', '.join(faults)}"


def a_field(random: Random, model: Message) -> None:
    """Some field of some message in the file: gone, twice, elsewhere, or with another value."""
    messages = list(_messages(model))
    fields = [(message, field) for message in messages for field, _ in message.ListFields()]
    message, field = random.choice(fields)
    value = getattr(message, field.name)
    if field.is_repeated:
        place, other = random.randrange(len(value)), random.randrange(len(value))
        action = random.choice(["lose", "repeat", "swap", "clear", "alter", "alter"])
        if action == "lose":
            del value[place]
        elif action == "clear":
            message.ClearField(field.name)
        elif action == "repeat":
            value.append(value[place])
        elif field.message_type:
            value[place].CopyFrom(value[other])
        elif action == "swap":
            value[place], value[other] = value[other], value[place]
        else:
            value[place] = _altered(random, field, value[place], messages)
    elif field.message_type or random.random() < 0.1:
        message.ClearField(field.name)
    else:
        setattr(message, field.name, _altered(random, field, value, messages))


def _messages(message: Message) -> Iterator[Message]:
    yield message
    for field, value in message.ListFields():
        if field.message_type:
            for inner in value if field.is_repeated else [value]:
                yield from _messages(inner)


def _altered(random: Random, field: FieldDescriptor, value: Any, messages: list[Message]) -> Any:
    if field.enum_type:
        return random.choice(list(field.enum_type.values_by_number))
    if isinstance(value, bytes):
        return accidents(random, value)
    if isinstance(value, str):
        names = [name for node in messages if isinstance(node, NodeProto) for name in (*node.input, *node.output)]
        return random.choice([*TEXTS, *random.choices(names or [""], k=len(TEXTS))])
    if isinstance(value, float):
        return random.choice(REALS)
    narrow = field.cpp_type == FieldDescriptor.CPPTYPE_INT32
    number = random.choice([*NUMBERS, value + 1, value - 1])
    return max(-(2**31), min(number, 2**31 - 1)) if narrow else max(-(2**63), min(number, 2**63 - 1))


def no_number(random: Random, model: ModelProto) -> None:
    tensors = [
        tensor for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT and tensor.raw_data
    ]
    for tensor in tensors[:1] if not tensors else [random.choice(tensors)]:
        values = numpy_helper.to_array(tensor).copy()
        values.flat[random.randrange(values.size)] = random.choice(REALS)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def other_type(random: Random, model: ModelProto) -> None:
    tensor = random.choice(model.graph.initializer)
    if random.random() < 0.5:
        tensor.data_type = random.choice(TensorProto.DataType.values())
    elif tensor.raw_data:
        kind = random.choice([np.float64, np.float16, np.int64, np.uint8, np.bool_])
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(kind), tensor.name))


def other_input(random: Random, model: ModelProto) -> None:
    dims = model.graph.input[0].type.tensor_type.shape.dim
    for _ in range(random.randint(1, 2)):
        dim = random.choice(dims)
        if random.random() < 0.3:
            dim.dim_param = random.choice(["N", "H", ""])
        else:
            dim.dim_value = random.choice(NUMBERS)


def other_output(random: Random, model: ModelProto) -> None:
    names = [name for node in model.graph.node for name in node.output]
    made = helper.make_tensor_value_info(
        random.choice(names), random.choice([1, 6, 7, 10]), random.choice([None, [1], ["N", 4]])
    )
    model.graph.output.append(made)
    if random.random() < 0.5:
        del model.graph.output[0]


def circle(random: Random, model: ModelProto) -> None:
    nodes = model.graph.node
    node = random.choice(nodes)
    if node.input:
        node.input[0] = random.choice(random.choice(nodes).output)


def disorder(random: Random, model: ModelProto) -> None:
    nodes = list(model.graph.node)
    random.shuffle(nodes)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def twice(random: Random, model: ModelProto) -> None:
    parts = random.choice([model.graph.node, model.graph.initializer, model.graph.input, model.graph.output])
    parts.append(random.choice(parts))


def nothing_left(random: Random, model: ModelProto) -> None:
    model.graph.ClearField(random.choice(["node", "initializer", "input", "output", "name"]))


def other_operator(random: Random, model: ModelProto) -> None:
    node = random.choice(model.graph.node)
    node.op_type = random.choice(OPERATORS)
    if random.random() < 0.2:
        node.domain = random.choice(["com.microsoft", "ai.onnx.ml", "com.example"])


def other_attribute(random: Random, model: ModelProto) -> None:
    node = random.choice(model.graph.node)
    name = random.choice(["pads", "strides", "group", "axis", "kernel_shape", "dilations", "auto_pad", "to", "perm"])
    values: list[Any] = [random.choice(NUMBERS), [random.choice(NUMBERS)] * random.randint(1, 4), "SAME_UPPER", 1e30]
    kept = [attribute for attribute in node.attribute if attribute.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, random.choice(values))])


def other_version(random: Random, model: ModelProto) -> None:
    if random.random() < 0.3:
        model.ir_version = random.choice([0, 1, 3, 99, 2**40])
    else:
        model.opset_import[0].version = random.choice([0, -1, 1, 6, 9, 11, 25, 999, 2**40])
    if random.random() < 0.2:
        model.opset_import.add(domain=random.choice(["", "com.microsoft"]), version=1)


def bomb(random: Random, model: ModelProto) -> None:
    """A few bytes that ask for far more memory than there is, ahead of the answer."""
    graph, answer = model.graph, model.graph.output[0].name
    sizes = [BOMB] if random.random() < 0.5 else [1 << 18, BOMB >> 18]
    graph.initializer.append(numpy_helper.from_array(np.array(sizes, np.int64), "bomb.sizes"))
    graph.initializer.append(numpy_helper.from_array(np.ones([1] * len(sizes), np.float32), "bomb.one"))
    kind = random.choice(["ConstantOfShape", "Expand", "Tile", "RandomNormal", "RandomUniform"])
    inputs = {
        "ConstantOfShape": ["bomb.sizes"],
        "Expand": ["bomb.one", "bomb.sizes"],
        "Tile": ["bomb.one", "bomb.sizes"],
    }
    attributes: dict[str, Any] = {} if kind in inputs else {"shape": sizes}
    last = next(node for node in graph.node if answer in node.output)
    last.output[0] = "bomb.before"
    graph.node.extend([
        helper.make_node(kind, inputs.get(kind, []), ["bomb.all"], "bomb", **attributes),
        helper.make_node("ReduceMax", ["bomb.all"], ["bomb.most"], "bomb/most", keepdims=0),
        helper.make_node("Add", ["bomb.before", "bomb.most"], [answer], "bomb/added"),
    ])  # fmt: skip


def deep(random: Random, model: ModelProto) -> None:
    """Branches in branches in branches."""
    answer = model.graph.output[0].name
    next(node for node in model.graph.node if answer in node.output).output[0] = "deep.before"
    value = helper.make_tensor_value_info("deep.inner", TensorProto.FLOAT, None)
    flat = helper.make_graph([helper.make_node("Identity", ["deep.before"], ["deep.inner"])], "flat", [], [value])
    node = flat.node[0]
    for _ in range(random.choice([1, 8, 20])):
        branch = helper.make_graph([node], "branch", [], [value])
        node = helper.make_node("If", ["deep.true"], ["deep.inner"], then_branch=branch, else_branch=flat)
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "deep.true"))
    model.graph.node.extend([node, helper.make_node("Identity", ["deep.inner"], [answer])])


def endless_function(random: Random, model: ModelProto) -> None:
    """A function of the file that calls itself, or one of it and another."""
    opset = [helper.make_opsetid("", 13), helper.make_opsetid("own", 1)]
    calls = random.choice([["A"], ["B", "A"]])
    for name, called in zip(["A", "B"], calls, strict=False):
        node = helper.make_node(called, ["x"], ["y"], domain="own")
        model.functions.append(helper.make_function("own", name, ["x"], ["y"], [node], opset))
    model.opset_import.append(helper.make_opsetid("own", 1))
    answer = model.graph.output[0].name
    next(node for node in model.graph.node if answer in node.output).output[0] = "endless.before"
    model.graph.node.append(helper.make_node("A", ["endless.before"], [answer], domain="own"))


def elsewhere(random: Random, model: ModelProto) -> None:
    """Weights that lie outside the folder, behind the end of their file, or nowhere."""
    tensor = random.choice(model.graph.initializer)
    del tensor.external_data[:]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entries = {
        "location": random.choice(
            ["../secret", "/etc/passwd", "external.data", "none.data", "", ".", "model.onnx", "/dev/zero"]
        ),
        "offset": random.choice(["0", "-1", "4096", str(2**63), "x", ""]),
        "length": random.choice(["0", "-4", "16", str(2**62), "many"]),
    }
    for key in random.sample(list(entries), random.randint(1, 3)):
        tensor.external_data.add(key=key, value=entries[key])


GRAPHS: dict[str, Fault] = {
    fault.__name__.replace("_", " "): fault
    for fault in (
        no_number, other_type, other_input, other_output, circle, disorder, twice, nothing_left, other_operator,
        other_attribute, other_version, bomb, deep, endless_function, elsewhere,
    )
}  # fmt: skip


def _gone(random: Random, path: Path) -> None:
    path.unlink()


def _short(random: Random, path: Path) -> None:
    os.truncate(path, random.randrange(path.stat().st_size))


def _long(random: Random, path: Path) -> None:
    os.truncate(path, random.choice([path.stat().st_size + 1, 1 << 30, 3 << 30]))


def _folder(random: Random, path: Path) -> None:
    path.unlink()
    path.mkdir()


def _pipe(random: Random, path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _link_to_itself(random: Random, path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def _link_to_a_device(random: Random, path: Path) -> None:
    path.unlink()
    path.symlink_to(random.choice(["/dev/zero", "/dev/null", "/dev/random", "/proc/self/mem"]))


def _other_bytes(random: Random, path: Path) -> None:
    starts = (
        b"PK\x03\x04",
        b"\x1f\x8b\x08",
        b"<html>",
        b"version https://git-lfs.github.com/spec/v1\n",
        b"\x89HDF\r\n",
    )
    path.write_bytes(random.choice(starts) + random.randbytes(random.choice([0, 100, 4000])))


def _bytes(random: Random, path: Path) -> None:
    path.write_bytes(accidents(random, path.read_bytes()))


FILES: dict[str, Callable[[Random, Path], None]] = {
    "is gone": _gone, "is short": _short, "is long": _long, "is a folder": _folder, "is a pipe": _pipe,
    "is a link to itself": _link_to_itself, "is a link to a device": _link_to_a_device, "is no such file": _other_bytes,
    "has other bytes": _bytes,
}  # fmt: skip


def _damaged_ir(random: Random, originals: Path, folder: Path) -> tuple[Path, str]:
    name = random.choice(["fp32", "int8"])
    path = folder / "model.xml"
    for suffix in (".xml", ".bin"):
        shutil.copy(originals / f"{name}{suffix}", path.with_suffix(suffix))
    kind = random.choice(["elements", "elements", "bytes", "file", "beside"])
    if kind in ("file", "beside"):
        fault = random.choice(list(FILES))
        FILES[fault](random, path.with_suffix(".xml" if kind == "file" else ".bin"))
        return path, f"{name} as IR: {kind} {fault}"
    if kind == "bytes":
        path.write_bytes(accidents(random, path.read_bytes()))
        return path, f"{name} as IR: bytes"
    net = ElementTree.parse(path)
    for _ in range(random.choice([1, 1, 2, 3])):
        _an_element(random, net.getroot())
    net.write(path)
    return path, f"{name} as IR: elements"


def _an_element(random: Random, root: ElementTree.Element) -> None:
    elements = list(root.iter())
    element, other = random.choice(elements), random.choice(elements)
    action = random.choice(["lose", "repeat", "move", *["alter"] * 5])
    if action == "lose" and len(element):
        element.remove(random.choice(element))
    elif action == "repeat" and len(element):
        element.append(random.choice(element))
    elif action == "move" and len(other) and element not in other.iter():
        element.append(other[0])
    elif element.attrib:
        key = random.choice(list(element.attrib))
        like = [each.attrib[key] for each in elements if key in each.attrib]
        texts = [*map(str, NUMBERS), "", "nan", "inf", "x" * 5000, "?", "-1,3", "f16", "u8"]
        element.attrib[key] = random.choice([*texts, *random.choices(like, k=len(texts))])
    else:
        element.text = random.choice([*map(str, NUMBERS), "", "x"])
