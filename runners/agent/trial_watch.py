"""Whether a model that was switched to does: judged by what the camera program says of itself."""

import os
from typing import NamedTuple, Optional

from runners.agent.agent_state import Trial
from runners.contract import camera_state, device_folder, records
from runners.contract.camera_state import CameraState

FRESH_S = 30.0  # the camera program says something every few seconds
GONE_S = 180.0  # it was there before, and is not any more
TAKE_S = 1800.0  # until it runs the model: TensorRT builds an engine first
MOST_BOOTS, MOST_RESTARTS = 3, 2


class Judgement(NamedTuple):
    """`good` is None while nothing can be said; `why` says why not, in one line."""

    good: Optional[bool]
    why: str = ""


def camera(home: str, boot: str, now_s: float) -> Optional[CameraState]:
    """What the camera program says now; None where it has said nothing for long, or not since the device started."""
    try:
        state = camera_state.from_json(records.load(os.path.join(home, device_folder.STATE)))
    except ValueError:
        return None
    return state if state.boot == boot and 0 <= now_s - state.monotonic_s <= FRESH_S else None


def judge(
    trial: Trial, slot: str, state: Optional[CameraState], now_s: float, trial_s: float, least_fps: float
) -> Judgement:
    """Of the trial of `slot` at `now_s`, by the monotonic clock of the trial's boot."""
    since_s = now_s - trial.since_s
    if trial.boots > MOST_BOOTS:
        return Judgement(False, "the device started {} times within its trial".format(trial.boots - 1))
    if trial.restarts > MOST_RESTARTS:
        return Judgement(False, "the camera program started {} times within its trial".format(trial.restarts))
    if state is None:
        if trial.had_camera and since_s > GONE_S:
            return Judgement(False, "the camera program has said nothing for {:.0f} s".format(GONE_S))
        return Judgement(None, "the camera program does not run")
    if state.monotonic_s < trial.since_s:
        return Judgement(None, "the camera program has not said anything since")
    if state.refused == slot:
        return Judgement(False, "the camera program does not take it: {}".format((state.why or "")[:200]))
    if state.slot != slot:
        if since_s > TAKE_S:
            return Judgement(False, "the camera program has not taken it within {:.0f} s".format(TAKE_S))
        return Judgement(None, "the camera program still runs {}".format(state.slot[:40]))
    if trial.seen_s is None or now_s - trial.seen_s < trial_s or not state.frames:
        return Judgement(None, "it is on trial")
    if trial.fps and state.fps <= 0:
        return Judgement(None, "no frames come, so nothing can be said of it")
    if trial.fps and state.fps < least_fps * trial.fps:
        return Judgement(False, "{:.1f} frames a second, and {:.1f} before".format(state.fps, trial.fps))
    return Judgement(True)
