"""What a target's runtime reads of an ONNX file: one data file a runtime, found by its name and version.

Some runtimes cannot be run here. What they read is known from their published sources, and held against a file before
anybody believes its other numbers: a network that the runtime cannot parse is neither fast nor exact.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Literal

import onnx
import yaml
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper, shape_inference
from pydantic import BaseModel, ConfigDict, Field, field_validator

from pipeline.formats.subgraphs import with_subgraphs

_FOLDER = Path(__file__).parent
WHOLE_FILE = "the whole file"  # in place of a node's name
IN_TRAINING = "call model.eval() before the export"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Unreadable(_Strict):
    """A node that the runtime does not read as the file means it; `converted` if `edgeproof convert` rewrites it."""

    node: str
    operator: str
    reason: str
    converted: bool = False


class Reading(_Strict):
    """What a runtime makes of a file: the nodes that it does not read, and remarks. None where nothing is known."""

    unreadable: list[Unreadable] | None
    notes: list[str] = []


class Rule(_Strict):
    """What nodes of some operators must keep from an opset on; `says` is what the runtime does where they do not.

    `constant` and `zeros` are places of inputs. `pads_apart` are how much more an end may be padded than its beginning.
    `even` nodes have as many outputs as divide the size of the axis, where no sizes are given.
    """

    of: list[str]
    says: str
    since: int = 1
    converted: bool = False
    allowed: dict[str, list[int | str]] = {}
    matches: dict[str, str] = {}
    absent: list[str] = []
    constant: list[int] = []
    zeros: list[int] = []
    least_inputs: int = 0
    most_inputs: int | None = None
    most_outputs: int | None = None
    pads_apart: list[int] | None = None
    even: bool = False

    @field_validator("of", mode="before")
    @classmethod
    def _words(cls, value: Any) -> Any:
        return value.split() if isinstance(value, str) else value


class Knowledge(_Strict):
    """The facts of one data file. Without `operators` the runtime itself tells what it reads, by being run.

    `opset` is the newest that the runtime was made for; beyond `newest_opset` or `newest_ir_version` it loads nothing.
    `newest_of` are operators that it has up to an older opset only.
    `functions` says whether it looks into those of the file itself, `sparse_weights` whether it looks at a graph's
    sparse initializers.
    """

    title: str
    judged_by: Literal["these facts", "running it"]
    sources: dict[str, str]
    opset: int | None = None
    newest_opset: int | None = None
    newest_ir_version: int | None = None
    newest_of: dict[str, int] = {}
    functions: bool = True
    sparse_weights: bool = True
    types: list[str] = []
    operators: list[str] = Field(default=[])
    rules: list[Rule] = []

    @field_validator("operators", mode="before")
    @classmethod
    def _words(cls, value: Any) -> Any:
        return value.split() if isinstance(value, str) else value


@cache
def knowledge(name: str, version: str) -> Knowledge | None:
    """What is known of a runtime; None where no data file speaks of this version."""
    for path in sorted(_FOLDER.glob(f"{name}-*.yaml")):
        known = path.stem.removeprefix(f"{name}-")
        if f"{version}.".startswith(f"{known}."):
            return Knowledge.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    return None


def versions_of(name: str) -> list[str]:
    """The versions of a runtime that a data file speaks of."""
    return [path.stem.removeprefix(f"{name}-") for path in sorted(_FOLDER.glob(f"{name}-*.yaml"))]


def read_by(model: ModelProto, name: str, version: str) -> Reading:
    """What a runtime reads of a model, whose large weights need not be loaded."""
    known = knowledge(name, version)
    if known is None:
        return Reading(unreadable=None, notes=[f"what {name} {version} reads of an ONNX file is not known here"])
    opset = opset_of(model)
    found = [*_too_new(known, model, opset), *_kept_otherwise(known, model)]
    notes = _in_training(model)
    if known.operators:
        found += _wrong_types(known, model)
        constants: dict[str, TensorProto] = {}
        for graph in with_subgraphs([model.graph]):
            constants |= _constants(graph)  # graphs inside of nodes read those around them
        functions = {(function.domain, function.name) for function in model.functions}
        sizes = _sizes(model) if any(rule.even and opset >= rule.since for rule in known.rules) else {}
        for graph in with_subgraphs([model.graph]):
            for node in graph.node:
                found += _faults(known, node, opset, constants, functions, sizes)
        if known.opset and opset > known.opset and not found:
            notes.append(
                f"{known.title} was made for opset {known.opset}; this file has {opset}, of which it reads every "
                "operator, with a warning"
            )
    return Reading(unreadable=found, notes=notes)


def words(reading: Reading, title: str) -> list[str]:
    """The unreadable nodes as sentences, those of one operator and reason together."""
    nodes: dict[tuple[str, str], list[str]] = {}
    for item in reading.unreadable or []:
        nodes.setdefault((item.operator, item.reason), []).append(item.node)
    return [
        f"{title} {reason} ({operator + ' ' if operator and operator not in reason else ''}{names[0]}"
        + (f" and {len(names) - 1} more)" if len(names) > 1 else ")")
        for (operator, reason), names in nodes.items()
    ]


def opset_of(model: ModelProto) -> int:
    """The version of ONNX's own operators that a model is written in."""
    return max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=1)


def _in_training(model: ModelProto) -> list[str]:
    """A remark on nodes that drop values at random or normalise by the batch, as no device should."""
    names: list[str] = []
    constants: dict[str, TensorProto] = {}
    for graph in with_subgraphs([model.graph]):
        constants |= _constants(graph)
        for node in graph.node:
            trains = any(item.name == "training_mode" and item.i for item in node.attribute)
            if node.op_type == "Dropout" and len(node.input) > 2:
                trains = not _is_zero(constants.get(node.input[2]))
            if trains:
                names.append(f"{node.op_type} {_text(node.name or next(iter(node.output), ''))}")
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return [f"it is in training mode ({names[0]}{more}): {IN_TRAINING}"] if names else []


def _too_new(known: Knowledge, model: ModelProto, opset: int) -> Iterator[Unreadable]:
    limits = (("opset", opset, known.newest_opset), ("IR version", model.ir_version, known.newest_ir_version))
    for what, found, newest in limits:
        if newest is not None and found > newest:
            reason = f"loads {what} {newest} at most, and this file has {found}: export it with an older one"
            older = what != "opset" or _writable_in(model, newest)
            yield Unreadable(node=WHOLE_FILE, operator="", reason=reason, converted=older)
    for graph in with_subgraphs([model.graph]):
        for node in graph.node:
            newest = known.newest_of.get(node.op_type)
            if newest is not None and opset > newest and node.domain in ("", "ai.onnx"):
                reason = (
                    f"has {node.op_type} up to opset {newest}, and this file has {opset}: export it with an older one"
                )
                older = _writable_in(model, newest)
                name = _text(node.name or next(iter(node.output), node.op_type)) if older else WHOLE_FILE
                yield Unreadable(node=name, operator=node.op_type, reason=reason, converted=older)


def _writable_in(model: ModelProto, opset: int) -> bool:
    """Whether an older opset has all the operators of a model; there is no Attention before 23."""
    nodes = (node for graph in with_subgraphs([model.graph]) for node in graph.node)
    return all(onnx.defs.has(node.op_type, opset, "") for node in nodes if node.domain in ("", "ai.onnx"))


def _kept_otherwise(known: Knowledge, model: ModelProto) -> Iterator[Unreadable]:
    """What is not where a runtime looks that does not look everywhere: in functions, or in sparse initializers."""
    for function in model.functions if not known.functions else ():
        name = f"{_text(function.domain)}.{_text(function.name)}"
        yield Unreadable(node=name, operator=name, reason=f"has no {name}", converted=True)
    for tensor in model.graph.sparse_initializer if not known.sparse_weights else ():
        name = _text(tensor.values.name)
        yield Unreadable(node=name, operator="", reason="does not look at sparse weights", converted=True)


def _wrong_types(known: Knowledge, model: ModelProto) -> Iterator[Unreadable]:
    for value in [*model.graph.input, *model.graph.output]:
        kind = value.type.tensor_type.elem_type
        if kind and _type(kind) not in known.types:
            yield Unreadable(node=_text(value.name), operator="", reason=f"takes no tensors of {_type(kind)} in or out")


def _faults(
    known: Knowledge,
    node: NodeProto,
    opset: int,
    constants: dict[str, TensorProto],
    functions: set[tuple[str, str]],
    sizes: dict[str, list[int]],
) -> Iterator[Unreadable]:
    foreign = node.domain not in ("", "ai.onnx")
    operator = f"{_text(node.domain)}.{_text(node.op_type)}" if foreign else _text(node.op_type)
    name = _text(node.name or next(iter(node.output), operator))
    if foreign or node.op_type not in known.operators:
        convertible = (node.domain, node.op_type) in functions if foreign else node.op_type in CONVERTIBLE
        yield Unreadable(node=name, operator=operator, reason=f"has no importer for {operator}", converted=convertible)
        return
    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    if node.op_type == "Cast" and _type(attributes.get("to", 0)) not in known.types:
        yield Unreadable(node=name, operator=operator, reason=f"casts nothing to {_type(attributes.get('to', 0))}")
    for rule in known.rules:
        if (
            node.op_type in rule.of
            and opset >= rule.since
            and not (_keeps(rule, node, attributes, constants) and (not rule.even or _even(node, attributes, sizes)))
        ):
            yield Unreadable(node=name, operator=operator, reason=rule.says, converted=rule.converted)


def _keeps(rule: Rule, node: NodeProto, attributes: dict[str, Any], constants: dict[str, TensorProto]) -> bool:
    inputs = list(node.input)
    while inputs and not inputs[-1]:
        inputs.pop()  # left away, as if it were not there
    given = [inputs[place] for place in rule.constant if place < len(inputs) and inputs[place]]
    pads = attributes.get("pads", [])
    half = len(pads) // 2
    apart = [end - begin for begin, end in zip(pads[:half], pads[half:], strict=False)]
    found = {name: set(_values(attributes[name])) for name in (*rule.allowed, *rule.matches) if name in attributes}
    return (
        all(found.get(name, set()) <= set(values) for name, values in rule.allowed.items())
        and all(re.fullmatch(rule.matches[name], str(text)) for name in rule.matches for text in found.get(name, ()))
        and attributes.keys().isdisjoint(rule.absent)
        and all(name in constants for name in given)
        and all(_is_zero(constants.get(inputs[place])) for place in rule.zeros if place < len(inputs))
        and rule.least_inputs <= len(inputs) <= (len(inputs) if rule.most_inputs is None else rule.most_inputs)
        and (rule.most_outputs is None or len([name for name in node.output if name]) <= rule.most_outputs)
        and (rule.pads_apart is None or set(apart) <= set(rule.pads_apart))
    )


def _even(node: NodeProto, attributes: dict[str, Any], sizes: dict[str, list[int]]) -> bool:
    """Whether a node splits its input into equal parts, or says into which; True where the size is not known."""
    shape, axis = sizes.get(node.input[0], []), attributes.get("axis", 0)
    if "split" in attributes or any(node.input[1:]) or not -len(shape) <= axis < len(shape):
        return True
    return bool(shape[axis] % len(node.output) == 0)


def _sizes(model: ModelProto) -> dict[str, list[int]]:
    """The shapes of tensors as far as they can be inferred, 0 where a dimension is open."""
    with suppress(Exception):  # onnx's own exception types share no base; what is not known is not held against it
        model = shape_inference.infer_shapes(model)
    return {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for graph in with_subgraphs([model.graph])
        for value in (*graph.input, *graph.value_info, *graph.output)
    }


def _constants(graph: GraphProto) -> dict[str, TensorProto]:
    """The tensors that a parser knows when it reads the graph: stored ones, and what only renames them."""
    found = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            value = next((attribute.t for attribute in node.attribute if attribute.name == "value"), TensorProto())
            found[node.output[0]] = value
        elif node.op_type == "Identity" and node.input[0] in found:
            found[node.output[0]] = found[node.input[0]]
    return found


def _is_zero(tensor: TensorProto | None) -> bool:
    """Whether a constant is known to be zero throughout; of one whose values are elsewhere nothing bad is assumed."""
    if tensor is None or tensor.data_location == TensorProto.EXTERNAL or not tensor.data_type:
        return True
    try:
        return not numpy_helper.to_array(tensor).any()
    except (TypeError, ValueError):  # damaged: the runtimes that are run will say so
        return True


def _values(value: Any) -> list[Any]:
    values = value if isinstance(value, list | tuple) else [value]
    return [_text(item) if isinstance(item, bytes) else item for item in values]


def _text(value: str | bytes) -> str:
    """A string of a damaged file, which protobuf leaves as bytes where it is no UTF-8."""
    return value if isinstance(value, str) else value.decode(errors="replace")


def _type(number: int) -> str:
    return next((name for name, value in TensorProto.DataType.items() if value == number), "an unknown type")


# What pipeline/formats/decompose.py writes in simpler operators.
CONVERTIBLE = frozenset({"Gelu", "GroupNormalization", "HardSwish", "LayerNormalization", "Mish"})
