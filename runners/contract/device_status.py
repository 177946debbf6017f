"""What a device tells the fleet's owner: one small record at each change and once a day, in the inbox's `status/`.

The cloud promotes or halts a rollout by these, and takes each as hostile.
"""

from typing import Any, Dict, Mapping, NamedTuple, Optional

from runners.contract import records

FOLDER = "status"
STATES = ("running", "trial", "rolled_back", "no_model")
VERDICTS = ("pass", "fail", "not_measured")
MOST_BYTES = 1 << 14
MOST_REASON = 500  # characters
LATEST_S = 1e12  # since 1970: a file's name has room for no later time


class DeviceStatus(NamedTuple):
    """`version` runs (or is tried), `failed` is the newest version that this device gave up, with `reason`.

    `self_test` is of the bundle's samples on this device: equal to the expected answers, not, or never run. `fps`,
    `watts` and `throttled` are the camera program's, null where nobody measured them. `time_s` is the device's own
    clock, in seconds since 1970, which may be wrong. `channel` is the one it follows, null where it does not say.
    `trouble` is why the last look for updates had no answer that can be trusted: expired metadata, no host.
    """

    device: str
    target: str
    agent: str
    time_s: float
    state: str
    version: Optional[str] = None
    sha256: Optional[str] = None
    self_test: str = "not_measured"
    failed: Optional[str] = None
    reason: Optional[str] = None
    fps: Optional[float] = None
    watts: Optional[float] = None
    throttled: Optional[bool] = None
    channel: Optional[str] = None
    trouble: Optional[str] = None


def file_name(status: DeviceStatus) -> str:
    """Its file in the inbox: a newer record never overwrites an older one."""
    return "{}/{}/{:015d}.json".format(FOLDER, status.device, int(status.time_s * 1000))


def from_json(content: Mapping[str, Any]) -> DeviceStatus:
    """What a record says.

    Raises:
        ValueError: a value is missing, of another kind, or none that a status has.
    """
    nothing = type(None)
    kinds = {"device": str, "target": str, "agent": str, "time_s": float, "state": str, "self_test": str}  # type: Any
    kinds.update(dict.fromkeys(("version", "sha256", "failed", "reason"), (str, nothing)))
    kinds.update(channel=(str, nothing), trouble=(str, nothing))
    kinds.update(fps=(float, nothing), watts=(float, nothing), throttled=(bool, nothing))
    if isinstance(content, dict):
        content = dict({"channel": None, "trouble": None}, **content)  # younger than the rest
    found = DeviceStatus(**records.checked(content, kinds))
    optional = (found.version, found.failed, found.channel)
    names = [found.device, found.target, found.agent] + [name for name in optional if name]
    if not all(map(records.is_name, names)) or (found.sha256 and not records.is_sha256(found.sha256)):
        raise ValueError("a name in it is not taken")
    longest = max(len(found.reason or ""), len(found.trouble or ""))
    if found.state not in STATES or found.self_test not in VERDICTS or longest > MOST_REASON:
        raise ValueError("a value in it is none that a status has")
    if not 0 <= found.time_s < LATEST_S:
        raise ValueError("time_s is no time that a clock shows")
    return found


def as_json(status: DeviceStatus) -> Dict[str, Any]:
    """The record's content."""
    return dict(status._asdict())
