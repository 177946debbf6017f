"""Where things lie in a device's folder. The camera program and the agent talk through these files and no other way.

    current -> slots/0a1b2c3d4e5f     the bundle that is to run; replaced in one step, never missing once it was there
    slots/0a1b2c3d4e5f/               an unpacked bundle (bundle.py), named by its SHA-256; never changed
    camera/                           written by the camera program alone
        lock                          held by the one that runs
        state.json                    what it says of itself (camera_state.py)
        spool/                        captures (capture_facts.py)
        captured.json                 how many were made lately, so that a restart does not begin to count anew
    agent/                            written by the agent alone
        outbox/                       its own files for the inbox, each at the path that it gets there
        acknowledged.json             {"captures": [ID, ...]}: need not be kept any longer; the camera program deletes

Each is written by one user and read by the other, so that the network's side cannot write what the camera's side runs
on, except as a whole verified bundle.
"""

import os

CURRENT, SLOTS, CAMERA, AGENT = "current", "slots", "camera", "agent"
STATE = os.path.join(CAMERA, "state.json")
SPOOL = os.path.join(CAMERA, "spool")
CAPTURED = os.path.join(CAMERA, "captured.json")
OUTBOX = os.path.join(AGENT, "outbox")
ACKNOWLEDGED = os.path.join(AGENT, "acknowledged.json")
SLOT_DIGITS = 12


def slot(sha256: str) -> str:
    """Where a bundle of this SHA-256 is unpacked, below the device's folder."""
    return os.path.join(SLOTS, sha256[:SLOT_DIGITS])
