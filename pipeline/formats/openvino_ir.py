"""OpenVINO IR files (model.xml and model.bin), described without OpenVINO: parsed XML and mapped weights."""

import re
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import numpy as np

from pipeline.formats.contents import ENDINGS, Contents, Tensor, precision_of
from pipeline.formats.stored import Stored, check_stored
from pipeline.system.errors import BadModel

MOST_BYTES = 16 << 20  # of the XML: far more than networks for small devices need
PASSING = {"Convert", "FakeQuantize", "Identity", "Reshape", "Squeeze", "Unsqueeze"}  # they keep values in their order
OLDEST = 10  # version of the format that today's OpenVINO still reads
FLOATS: dict[str, np.dtype[Any]] = {
    "f16": np.dtype(np.float16),
    "f32": np.dtype(np.float32),
    "f64": np.dtype(np.float64),
}
QUANTIZED = ("i8", "u8", "i4", "u4")
UNSIGNED = ("u8", "u4")
INPUT_TYPES = {"f32": "float32", "f16": "float32", "f64": "float32", "u8": "uint8"}

# By a layer's id: the layer that its first input comes from, and the id of that layer's output.
_Sources = dict[str | None, tuple[ElementTree.Element, str | None]]


class Constant(NamedTuple):
    """A `Const` layer: its place in the .bin file."""

    name: str
    type: str
    shape: tuple[int, ...]
    offset: int  # bytes
    size: int  # bytes


def read(path: Path) -> Contents:
    """What an IR holds.

    Raises:
        InputError: the XML is damaged, too old or none, or the .bin beside it is missing, too short or no numbers.
    """
    net = parse(path)
    layers = net.findall("layers/layer")  # those of the graph itself; bodies of loops have more
    constants = _constants(path, net)
    try:
        inputs = [_input(layer) for layer in layers if layer.get("type") == "Parameter"]
        sources = _sources(net)
        outputs = [_output(layer, sources) for layer in layers if layer.get("type") == "Result"]
    except ValueError as error:
        raise BadModel(f"{path}: not a valid OpenVINO IR ({error})") from error
    stored = [_stored(path, constant) for constant in constants]
    check_stored(path, stored)
    quantized = any(layer.get("type") == "FakeQuantize" for layer in net.iter("layer"))
    return Contents(
        inputs,
        outputs,
        precision_of(
            quantized or any(constant.type in QUANTIZED for constant in constants),
            half=sum(constant.size // 2 for constant in constants if constant.type == "f16"),
            single=sum(constant.size // 4 for constant in constants if constant.type == "f32"),
        ),
        files=[path, *([path.with_suffix(".bin")] if stored else [])],
    )


def parse(path: Path) -> ElementTree.Element:
    """The root of an IR's XML.

    Entities, with which a few lines can expand to gigabytes, need a DOCTYPE; no IR has one. The text is decoded
    before it is searched, so that no other encoding can hide it.

    Raises:
        InputError: it is missing, too large, damaged, too old or no IR.
    """
    if not path.is_file():
        raise BadModel(f"{path}: no such file")
    if not 0 < path.stat().st_size <= MOST_BYTES:
        fault = "is empty" if not path.stat().st_size else f"is over {MOST_BYTES >> 20} MiB"
        raise BadModel(f"{path}: {fault}, so no OpenVINO IR; save the model again")
    try:
        text = path.read_text(encoding="utf-8-sig")
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            raise BadModel(f"{path}: has a DOCTYPE or entities, which no OpenVINO IR needs; it may be an attack")
        net = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise BadModel(f"{path}: not an OpenVINO IR ({error})") from error
    if net.tag != "net":
        raise BadModel(f"{path}: not an OpenVINO IR (its outermost element is <{net.tag}>, not <net>)")
    version = net.get("version", "")
    if not re.fullmatch("[0-9]{1,4}", version) or int(version) < OLDEST:
        raise BadModel(f"{path}: no OpenVINO IR of version {OLDEST} or later; convert the model anew")
    return net


def _constants(path: Path, net: ElementTree.Element) -> list[Constant]:
    try:
        return [_constant(layer) for layer in net.iter("layer") if layer.get("type") == "Const"]
    except ValueError as error:
        raise BadModel(f"{path}: not a valid OpenVINO IR ({error})") from error


def _stored(path: Path, constant: Constant) -> Stored:
    place = (path.with_suffix(".bin"), constant.offset, constant.size)
    return Stored(constant.name, *place, constant.shape, FLOATS.get(constant.type))


def _constant(layer: ElementTree.Element) -> Constant:
    shape = tuple(int(text) for text in _shape(layer))
    return Constant(
        _name(layer), _data(layer, "element_type"), shape, int(_data(layer, "offset")), int(_data(layer, "size"))
    )


def _input(layer: ElementTree.Element) -> Tensor:
    type_, texts = _data(layer, "element_type"), _shape(layer)
    # A free dimension is "?" or a range, an open number of them "...".
    shape = None if "..." in texts else tuple(int(text) if text.isdecimal() else None for text in texts)
    return Tensor(_name(layer), INPUT_TYPES.get(type_, type_), shape)


def _sources(net: ElementTree.Element) -> _Sources:
    """The layer and the number of its output that each layer's first input is connected with, by the layer's id."""
    layers = {layer.get("id"): layer for layer in net.findall("layers/layer")}
    first = {key: port.get("id") for key, layer in layers.items() if (port := layer.find("input/port")) is not None}
    found: _Sources = {}
    for edge in net.findall("edges/edge"):
        reader, writer = edge.get("to-layer"), layers.get(edge.get("from-layer"))
        if reader in first and edge.get("to-port") == first[reader] and writer is not None:
            found[reader] = writer, edge.get("from-port")
    return found


def _output(layer: ElementTree.Element, sources: _Sources) -> Tensor:
    port = layer.find("input/port")
    if port is None:
        raise ValueError(f"the output {_name(layer)!r} is not connected")
    sizes = tuple(int(dim.text or "") for dim in port.iter("dim"))
    shape = tuple(size if size > 0 else None for size in sizes)
    return Tensor(_output_name(layer, sources), port.get("precision", ""), shape, _ending(layer, sources))


def _output_name(layer: ElementTree.Element, sources: _Sources) -> str:
    """The tensor's name, as it was in the ONNX file that the IR was made of; else the result's own."""
    writer, number = sources.get(layer.get("id"), (None, None))
    for port in writer.iterfind("output/port") if writer is not None else ():
        if port.get("id") == number and port.get("names"):
            return re.split(r"(?<!\\),", port.get("names", ""))[0].replace("\\,", ",")
    return _name(layer)


def _ending(layer: ElementTree.Element, sources: _Sources) -> str:
    """The operator that a result's values come from, if it is one of `ENDINGS`."""
    current = layer
    for _ in sources:  # not for ever: a damaged graph may be a circle
        writer, number = sources.get(current.get("id"), (None, None))
        if writer is None:
            return ""
        kind = writer.get("type", "")
        if kind == "TopK":
            ports = [port.get("id") for port in writer.iterfind("output/port")]
            return "ArgMax" if ports[1:] == [number] else ""
        if kind not in PASSING:
            return next((ending for ending in ENDINGS if ending.lower() == kind.lower()), "")
        current = writer
    return ""


def _shape(layer: ElementTree.Element) -> list[str]:
    text = _data(layer, "shape").strip()
    return [size.strip() for size in text.split(",")] if text else []


def _data(layer: ElementTree.Element, name: str) -> str:
    data = layer.find("data")
    if data is None or name not in data.attrib:
        raise ValueError(f"the layer {_name(layer)!r} has no {name}")
    return data.attrib[name]


def _name(layer: ElementTree.Element) -> str:
    return layer.get("name", "")
