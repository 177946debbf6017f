"""Whether the target's runtime reads a file at all, which everything else depends on."""

import onnx

from pipeline.formats import runtimes
from pipeline.formats.model_file import ModelFile
from pipeline.formats.runtimes import Reading
from pipeline.records.targets import Target


def reading_of(model: ModelFile, target: Target) -> Reading:
    """What the target's runtime reads of a file that was opened before; of an IR, OpenVINO's own, all."""
    if model.format != "onnx":
        return Reading(unreadable=[])
    graph = onnx.load(model.path, load_external_data=False)
    return runtimes.read_by(graph, target.runtime.name, target.runtime.version)


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
    stuck = sorted({item.operator or item.node for item in reading.unreadable or [] if not item.converted})
    if stuck:
        return f"{title} cannot parse it: export it without {', '.join(stuck)}, or choose another target."
    return (
        f"{title} cannot parse it: `edgeproof convert MODEL --target {target.name} --output FOLDER` rewrites it in "
        "operators that it reads."
    )
