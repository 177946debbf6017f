"""The layers of an OpenVINO IR as its XML has them, checked and in an order in which they can be calculated."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element

from pipeline.formats.graph.graph import Shape
from pipeline.formats.openvino_ir import QUANTIZED, UNSIGNED, parse
from pipeline.system.errors import BadModel

MOST_LAYERS = 20_000  # constants included: ten times what networks for small devices have
MOST_EDGES = 4 * MOST_LAYERS
_LONGEST_NAME = 200

End = tuple[str, str]  # of an edge: a layer's id and the id of one of its ports


@dataclass(frozen=True)
class IrLayer:
    """A layer with the tensors it reads, and the dimensions of those it makes (-1 where open).

    `stored` is where a constant lies in the .bin: its offset and size in bytes.
    """

    name: str
    type: str
    transposed: bool  # its first input
    quantised: bool  # its first output is of 8 bits or fewer
    unsigned: bool  # and has no sign
    inputs: tuple[str, ...]
    outputs: dict[str, Shape]
    stored: tuple[int, int] | None = None


def read_layers(path: Path) -> list[IrLayer]:
    """The layers of the graph itself (bodies of loops have more), each after those it reads from.

    Raises:
        InputError: the file is missing, damaged, no IR, or too large; layers are not connected, or in a circle.
    """
    try:
        return _layers(parse(path))
    except ValueError as error:
        raise BadModel(f"{path}: not a valid OpenVINO IR ({error})") from error


def _layers(net: Element) -> list[IrLayer]:
    elements: dict[str, Element] = {}
    for element in net.findall("layers/layer"):
        id_ = _number(element, "id")
        if id_ in elements:
            raise ValueError(f"two layers have the id {id_}")
        elements[id_] = element
    edges, ports = net.findall("edges/edge"), net.findall("layers/layer/output/port")
    if len(elements) > MOST_LAYERS or max(len(edges), len(ports)) > MOST_EDGES:
        raise ValueError(f"{len(elements)} layers and {len(edges)} edges are more than any network here has")
    tensors = {
        (id_, _number(port, "id")): f"{_text(element, 'name')} ({id_}:{_number(port, 'id')})"
        for id_, element in elements.items()
        for port in element.findall("output/port")
    }
    sources = _sources(edges, tensors)
    feeds = {id_: list(_feeds(id_, element, sources)) for id_, element in elements.items()}
    return [
        _layer(id_, elements[id_], [tensors[end] for end in feeds[id_]], tensors)
        for id_ in _ordered({id_: [layer for layer, _ in ends] for id_, ends in feeds.items()})
    ]


def _sources(edges: Sequence[Element], tensors: Mapping[End, str]) -> dict[End, End]:
    """Where the edge to each input begins."""
    sources: dict[End, End] = {}
    for edge in edges:
        begin = _number(edge, "from-layer"), _number(edge, "from-port")
        end = _number(edge, "to-layer"), _number(edge, "to-port")
        if begin not in tensors:
            raise ValueError(f"an edge begins at port {begin[1]} of layer {begin[0]}, which is not there")
        if end in sources:
            raise ValueError(f"two edges lead to port {end[1]} of layer {end[0]}")
        sources[end] = begin
    return sources


def _feeds(id_: str, element: Element, sources: dict[End, End]) -> Iterator[End]:
    """Take from `sources` what each input of a layer is connected to."""
    for port in element.findall("input/port"):
        end = id_, _number(port, "id")
        if end not in sources:
            raise ValueError(f"input {end[1]} of the layer {_text(element, 'name')!r} is not connected")
        yield sources.pop(end)


def _ordered(feeding: Mapping[str, Sequence[str]]) -> list[str]:
    """Layers after all those `feeding` them; in the order of the file where that is so already."""
    ordered: dict[str, None] = {}
    begun: set[str] = set()
    for last in feeding:
        waiting = [last]
        while waiting:
            id_ = waiting.pop()
            if id_ in ordered:
                continue
            if id_ in begun:  # for the second time, now that what feeds it is done
                ordered[id_] = None
                continue
            begun.add(id_)
            missing = [other for other in reversed(feeding[id_]) if other not in ordered]
            if any(other in begun for other in missing):
                raise ValueError(f"the layer {id_} is connected in a circle")
            waiting += [id_, *missing]
    return list(ordered)


def _layer(id_: str, element: Element, inputs: Sequence[str], tensors: Mapping[End, str]) -> IrLayer:
    ports = element.findall("output/port")
    if not ports and _text(element, "type") != "Result":
        raise ValueError(f"the layer {_text(element, 'name')!r} has no output")
    data = element.find("data")
    return IrLayer(
        name=_text(element, "name"),
        type=_text(element, "type"),
        transposed=data is not None and data.get("transpose_a") == "true",
        quantised=bool(ports) and ports[0].get("precision", "").lower() in QUANTIZED,
        unsigned=bool(ports) and ports[0].get("precision", "").lower() in UNSIGNED,
        inputs=tuple(inputs),
        outputs={tensors[id_, _number(port, "id")]: _dims(element, port) for port in ports},
        stored=_stored(data) if data is not None and element.get("type") == "Const" else None,
    )


def _stored(data: Element) -> tuple[int, int] | None:
    offset, size = data.get("offset", ""), data.get("size", "")
    known = all(re.fullmatch("[0-9]{1,12}", text) for text in (offset, size))
    return (int(offset), int(size)) if known else None


def _dims(element: Element, port: Element) -> Shape:
    texts = [(dim.text or "").strip() for dim in port.findall("dim")]
    wrong = next((text for text in texts if not re.fullmatch("-1|[0-9]{1,12}", text)), None)
    if wrong is not None or len(texts) > 16:
        fault = f"a dimension {wrong[:40]!r}" if wrong is not None else f"{len(texts)} dimensions"
        raise ValueError(f"the layer {_text(element, 'name')!r} has {fault}")
    return tuple(int(text) for text in texts)


def _number(element: Element, name: str) -> str:
    text = element.get(name, "")
    if not re.fullmatch("[0-9]{1,9}", text):
        raise ValueError(f"its {element.tag} elements need a number as their {name}, not {text[:40]!r}")
    return text


def _text(element: Element, name: str) -> str:
    return element.get(name, "")[:_LONGEST_NAME]
