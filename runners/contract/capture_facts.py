"""A capture: a region that a device keeps since it may be worth learning from. `ID.png` and, written last, `ID.json`.

The camera program writes both into its spool, the agent uploads them to the inbox's `captures/DEVICE/`, and the cloud
takes each as hostile. Nothing is captured or leaves the device unless it was told to.
"""

from typing import Any, Dict, Mapping, NamedTuple, Optional

from runners.contract import records

FOLDER = "captures"
PICTURE, FACTS = ".png", ".json"
MOST_BYTES = 1 << 14  # of the facts
MOST_PICTURE_BYTES = 4 << 20
MOST_SIDE = 1024  # pixels
# unsure: the two best answers are close; disagrees: with what was decided for its track; drifts: unlike what the
# network was trained on; random: a small share of all, so that what nobody thought of is seen too.
REASONS = ("unsure", "disagrees", "drifts", "random")


class Capture(NamedTuple):
    """`answer` has the probability of each class by the model `version`, in the order of its classes.

    `group` names the device's start, the camera and the track: regions of one group show the same person. `sha256` is
    the picture's, `dhash` its difference hash as 16 hexadecimal digits (ImageHash's `dhash`). `time_s` is the device's
    own clock.
    """

    id: str
    device: str
    camera: str
    group: str
    time_s: float
    reason: str
    version: Optional[str]
    answer: Dict[str, float]
    width: int
    height: int
    sha256: str
    dhash: str


def from_json(content: Mapping[str, Any]) -> Capture:
    """What a capture's facts say.

    Raises:
        ValueError: a value is missing, of another kind, or none that a capture has.
    """
    kinds = {"id": str, "device": str, "camera": str, "group": str, "time_s": float, "reason": str}  # type: Any
    kinds.update(version=(str, type(None)), answer=dict, width=int, height=int, sha256=str, dhash=str)
    found = Capture(**records.checked(content, kinds))
    names = [found.id, found.device, found.camera, found.group] + ([found.version] if found.version else [])
    if not all(map(records.is_name, names)) or not records.is_sha256(found.sha256):
        raise ValueError("a name in it is not taken")
    if len(found.dhash) != 16 or not all(digit in "0123456789abcdef" for digit in found.dhash):
        raise ValueError("dhash is of another kind")
    if found.reason not in REASONS or not (0 < found.width <= MOST_SIDE and 0 < found.height <= MOST_SIDE):
        raise ValueError("a value in it is none that a capture has")
    records.checked(found.answer, dict.fromkeys(found.answer, float))
    return found


def as_json(capture: Capture) -> Dict[str, Any]:
    """The content of its JSON."""
    return dict(capture._asdict())
