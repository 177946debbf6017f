"""The candidates that are good enough, by what the cloud says, for a board to be asked."""

from pipeline.project import layout
from pipeline.project.params import load_params
from pipeline.records.gates import judge_result
from pipeline.records.results import read_result
from pipeline.records.targets import Target
from pipeline.system.errors import Missing


def passing(target: Target) -> list[tuple[str, str]]:
    """Model and method of those that keep every limit of this target in the emulated lane.

    Raises:
        Missing: none does.
    """
    params = load_params()
    found = []
    for model in params.models:
        for method in params.methods:
            path = layout.result("emulated", model, method, target.name)
            if path.exists() and judge_result(read_result(path), target.objective, params.gates).verdict == "pass":
                found.append((model, method))
    if not found:
        raise Missing(
            f"no candidate passes on {target.name} in the emulated lane, so none is for a board: `edgeproof gate` "
            "tells why; name one to see what a board says of it"
        )
    return found
