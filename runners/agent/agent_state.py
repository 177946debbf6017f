"""What the agent remembers over a power cut: `agent/state.json`, replaced whole.

What runs is said by the link `current` alone; this says how far the agent is with it.
"""

import json
import os
from typing import Any, Dict, NamedTuple, Optional

from runners.contract import device_folder, records
from runners.edge import durable

FILE = os.path.join(device_folder.AGENT, "state.json")
MOST_FAILED = 8


class Trial(NamedTuple):
    """A bundle that was switched to and is not yet called good. `digest` is of what was signed of it, `previous` the
    slot to go back to, if any.

    `since_s` and `seen_s` are when it was switched to and first seen running, by the monotonic clock of `boot`; `boots`
    counts the starts of the device since, `restarts` those of the camera program. `had_camera` and `fps` are of before.
    With `by_hand` it is good when somebody says so.
    """

    sha256: str
    digest: str
    version: str
    previous: Optional[str]
    self_test: str
    boot: str
    since_s: float
    seen_s: Optional[float] = None
    boots: int = 1
    had_camera: bool = False
    fps: Optional[float] = None
    by_hand: bool = False
    restarts: int = 0


class AgentState(NamedTuple):
    """`sha256` is of the bundle that was last called good, `previous` the slot that ran before.

    `failed` has, by SHA-256, the digest of what was signed of each bundle that was given up, its version and why, the
    newest last. `self_test` is of the running bundle; `tested` and `reported` are the day and the boot of it and of the
    last record, whose time is `told_s`. `trouble` is what the last look for updates ended with, if not well.
    """

    sha256: Optional[str] = None
    previous: Optional[str] = None
    trial: Optional[Trial] = None
    failed: Dict[str, Dict[str, str]] = {}  # noqa: RUF012 (never changed, only replaced)
    rolled_back: bool = False
    self_test: str = "not_measured"
    tested: str = ""
    reported: str = ""
    told_s: float = 0.0
    trouble: Optional[str] = None

    def with_failed(self, sha256: str, digest: str, version: str, reason: str) -> "AgentState":
        """The same with one more bundle that was given up."""
        kept = [row for row in self.failed.items() if row[0] != sha256][1 - MOST_FAILED :]
        return self._replace(failed=dict([*kept, (sha256, {"digest": digest, "version": version, "reason": reason})]))


def load(home: str) -> AgentState:
    """What was last written; nothing at all where that is missing or damaged: `current` and the slots say enough."""
    nothing = type(None)
    try:
        found = records.checked(
            records.load(os.path.join(home, FILE)),
            {
                "sha256": (str, nothing), "previous": (str, nothing), "trial": (dict, nothing), "failed": dict,
                "rolled_back": bool, "self_test": str, "tested": str, "reported": str,
                "told_s": float, "trouble": (str, nothing),
            },
        )  # fmt: skip
        if found["trial"] is not None:
            found["trial"] = Trial(**records.checked(found["trial"], _TRIAL))
        for row in found["failed"].values():
            records.checked(row, {"digest": str, "version": str, "reason": str})
    except ValueError:
        return AgentState()
    return AgentState(**found)


def save(home: str, state: AgentState) -> None:
    """On the disk when this returns."""
    content: Dict[str, Any] = state._asdict()
    content["trial"] = None if state.trial is None else dict(state.trial._asdict())
    durable.write(os.path.join(home, FILE), json.dumps(content, indent=1).encode("utf-8"))


_TRIAL: records.Kinds = {
    "sha256": str, "digest": str, "version": str, "previous": (str, type(None)), "self_test": str, "boot": str,
    "since_s": float, "seen_s": (float, type(None)), "boots": int, "had_camera": bool, "fps": (float, type(None)),
    "by_hand": bool, "restarts": int,
}  # fmt: skip
