"""What the camera program says of itself in the device's folder, every few seconds; the agent reads it.

By this the agent sees that a new model runs, how fast, and whether the camera program could not take it.
"""

from typing import Any, Dict, Mapping, NamedTuple, Optional

from runners.contract import records


class CameraState(NamedTuple):
    """`slot` is the name of the folder whose model runs, `refused` of one that could not be taken, and `why`.

    `boot` and `monotonic_s` are the kernel's, so that a clock that is set does not make a state seem old; `frames`
    counts from the program's start. `fps` is over the last period, all cameras together; `watts` and `throttled` are
    null where nobody measures them.
    """

    slot: str
    boot: str
    monotonic_s: float
    frames: int
    fps: float
    dropped: int
    refused: Optional[str] = None
    why: Optional[str] = None
    watts: Optional[float] = None
    throttled: Optional[bool] = None


def from_json(content: Mapping[str, Any]) -> CameraState:
    """What the file says.

    Raises:
        ValueError: a value is missing or of another kind.
    """
    nothing = type(None)
    kinds = {"slot": str, "boot": str, "monotonic_s": float, "frames": int, "fps": float, "dropped": int}  # type: Any
    kinds.update(refused=(str, nothing), why=(str, nothing), watts=(float, nothing), throttled=(bool, nothing))
    return CameraState(**records.checked(content, kinds))


def as_json(state: CameraState) -> Dict[str, Any]:
    """The file's content."""
    return dict(state._asdict())
