"""Whether the target's runtime reads a file at all, which everything else depends on."""

import re

import onnx

from pipeline.formats import runtimes
from pipeline.formats.model_file import ModelFile
from pipeline.formats.runtimes import IN_TRAINING, WHOLE_FILE, Reading, Unreadable
from pipeline.formats.subgraphs import with_subgraphs
from pipeline.processes.failures import NO_KERNEL, Misshapen, RefusedByRuntime
from pipeline.records.targets import Target


def reading_of(model: ModelFile, target: Target) -> Reading:
    """What the target's runtime reads of a file that was opened before; of an IR, OpenVINO's own, all."""
    if model.format != "onnx":
        return Reading(unreadable=[])
    graph = onnx.load(model.path, load_external_data=False)
    return runtimes.read_by(graph, target.runtime.name, target.runtime.version)


# How runtimes say that they have no such operator; what else they say may be a fault of the file.
_UNKNOWN = (
    re.compile(r"No conversion rule found for operations: (.+)"),
    re.compile(r"([\w.]+:\w+)\(-?\d+\) is not a registered function/op"),
    re.compile(rf"{NO_KERNEL} (\w+)\("),
)


def unknown_to(error: RefusedByRuntime | Misshapen, model: ModelFile, target: Target) -> Reading | None:
    """The nodes whose operators the target's runtime, which is run here, says not to have; None if it says no such."""
    if model.format != "onnx" or (known := runtimes.knowledge(target.runtime.name, target.runtime.version)) is None:
        return None
    found = next((found for pattern in _UNKNOWN if (found := pattern.search(error.said))), None)
    if found is None or known.judged_by != "running it":
        return None
    graph = onnx.load(model.path, load_external_data=False).graph
    wide = any(value.type.tensor_type.elem_type == onnx.TensorProto.DOUBLE for value in graph.input)
    return Reading(
        unreadable=[
            Unreadable(
                node=node.name or node.output[0],
                operator="" if wide else operator,
                reason=f"has no {operator}{' of float64' if wide else ''}",
            )
            for operator in found[1].replace(":", ".").split(", ")
            for part in with_subgraphs([graph])
            for node in part.node
            if operator in (node.op_type, f"{node.domain}.{node.op_type}")
        ]
    )


def refused_by(error: RefusedByRuntime | Misshapen, target: Target) -> Reading | None:
    """That the target's runtime refuses or misreads a file that another runs; None if it is not run here."""
    known = runtimes.knowledge(target.runtime.name, target.runtime.version)
    if known is None or known.judged_by != "running it":
        return None
    does = "refuses what ONNX Runtime runs" if isinstance(error, RefusedByRuntime) else "does other than ONNX Runtime"
    reason = f"{does}: {error.said}"
    return Reading(unreadable=[Unreadable(node=WHOLE_FILE, operator="", reason=reason)])


def title_of(target: Target) -> str:
    """The runtime as people call it, with the version that the target has."""
    known = runtimes.knowledge(target.runtime.name, target.runtime.version)
    name = known.title.rsplit(" ", 1)[0] if known else target.runtime.name
    return f"{name} {target.runtime.version}"


def sentences(reading: Reading | None, target: Target) -> list[str]:
    """What the runtime does not read, and what else is to be said of it."""
    return [] if reading is None else [*runtimes.words(reading, title_of(target)), *reading.notes]


def remedy(reading: Reading, target: Target) -> str:
    """What to do about a file that the runtime does not read."""
    title = title_of(target)
    if not all(item.converted for item in reading.unreadable or []) and any(IN_TRAINING in it for it in reading.notes):
        return f"{title} cannot parse a network in training mode: {IN_TRAINING}."
    if any(item.node == WHOLE_FILE and not item.converted for item in reading.unreadable or []):
        return f"{title} cannot parse it: export it in another way, or choose another target."
    ends = sorted(item.node for item in reading.unreadable or [] if not item.operator and not item.converted)
    if ends:  # what goes in and comes out
        return f"{title} cannot parse it: export it with float32 in {', '.join(ends)}, or choose another target."
    stuck = sorted({item.operator or item.node for item in reading.unreadable or [] if not item.converted})
    if stuck:
        return f"{title} cannot parse it: export it without {', '.join(stuck)}, or choose another target."
    return (
        f"{title} cannot parse it: `edgeproof convert MODEL --target {target.name} --output FOLDER` rewrites it in "
        "operators that it reads."
    )
