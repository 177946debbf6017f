"""A phased rollout from a host that only serves files: who may have the new bundle, and when.

Each device has a place among 100 that follows from its name and the version, so nobody has to count devices, and the
first ones are others every time. The signed offer says how many of the 100 may have it so far (`percent`). A workflow
raises that step by step, or takes the offer back. Within a step devices wait up to `hours`, so that they do not pull at
once.
"""

import hashlib
from typing import Any, Mapping, NamedTuple

from runners.contract import records


class Rollout(NamedTuple):
    """`start_s` is when this step began, in seconds since 1970. All are whole: what is signed knows no fractions."""

    percent: int
    start_s: int
    hours: int

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Rollout":
        """What the signed offer says.

        Raises:
            ValueError: a value is missing, of another kind or out of its range.
        """
        found = cls(**records.checked(content, {"percent": int, "start_s": int, "hours": int}))
        if not 0 <= found.percent <= 100 or found.start_s < 0 or found.hours < 0:
            raise ValueError("a value of the rollout is out of its range")
        return found


def place(device: str, version: str) -> float:
    """A device's place for a version, 0 to 100."""
    digest = hashlib.sha256("{}\n{}".format(device, version).encode("utf-8")).digest()
    return int.from_bytes(digest[:8], "big") / 2.0**64 * 100


def due_s(rollout: Rollout, device: str, version: str) -> float:
    """When a device may have the version, in seconds since 1970; infinite while it is not its turn."""
    mine = place(device, version)
    if mine >= rollout.percent:
        return float("inf")
    return rollout.start_s + place(device, version + "\nwait") / 100 * rollout.hours * 3600
