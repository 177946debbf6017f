"""What a released version was promised to do on its devices, by the evidence that its signed offer names."""

from typing import Any

from pipeline.release.tuf_registry import Registry
from pipeline.system import files
from runners.contract import records
from runners.contract.bundle import Offer


def frames_per_s(registry: Registry, offer: Offer) -> float | None:
    """The frames a second that its gate asked for; None where the evidence is not in the registry, or does not say."""
    path = registry.evidence(offer)
    try:
        if files.sha256(path) != offer.evidence:
            return None
        judged: list[Any] = records.load(str(path))["records"]
        limits = [check["limit"] for one in judged for check in one["checks"] if check["name"] == "frames_per_s"]
        return max(map(float, limits), default=None)
    except (OSError, ValueError, LookupError, TypeError):
        return None
