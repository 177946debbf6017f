"""Asks the camera's Python whether a slot's model answers its samples on this device as it was promised.

A process of its own, with the runtime that the camera program uses, at low priority and for a bounded time.
"""

import json
import os
import subprocess
import tempfile
from typing import NamedTuple, Sequence

from runners.agent.troubles import Unavailable
from runners.edge import procfs

HOUSE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LIMIT_S = 1800.0  # TensorRT builds its engine first, which takes minutes
MOST_BYTES = 1 << 16


class SelfTest(NamedTuple):
    """`verdict` is pass or fail; `reason` is why it failed, in one line."""

    verdict: str
    reason: str


def self_test(python: Sequence[str], slot: str, device: str = "") -> SelfTest:
    """Of the bundle unpacked in `slot`.

    Raises:
        Unavailable: nobody could be asked, so nothing is known.
    """
    command = [*python, "-m", "runners.edge", "selftest", "--bundle", slot, "--device", device]
    # The agent's own packages may be for another Python than the camera's.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with tempfile.TemporaryFile() as answer, tempfile.TemporaryFile() as said:
        try:
            status = subprocess.run(
                command, cwd=HOUSE, stdin=subprocess.DEVNULL, stdout=answer, stderr=said, timeout=LIMIT_S,
                preexec_fn=procfs.be_last, env=environment,
            ).returncode  # fmt: skip
        except subprocess.TimeoutExpired:
            return SelfTest("fail", "the self-test took longer than {:g} s".format(LIMIT_S))
        except OSError as error:
            raise Unavailable("the self-test cannot be started: {}: {}".format(python[0], error.strerror)) from error
        answer.seek(0)
        said.seek(0)
        line = " ".join(said.read(MOST_BYTES).decode("utf-8", "replace").split())[-300:]
        if status == 2:
            return SelfTest("fail", "the model does not run here: {}".format(line))
        if status == 3:
            raise Unavailable("{}; see `camera_python` in the agent's configuration".format(line))
        if status < 0:
            return SelfTest("fail", "the self-test was ended by signal {}: {}".format(-status, line))
        try:
            found = json.loads(answer.read(MOST_BYTES).decode("utf-8"))
            verdict, reason = found["verdict"], found["reason"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise Unavailable("the self-test ended with {} and said nothing: {}".format(status, line)) from error
    if (verdict, status) not in (("pass", 0), ("fail", 1)):
        raise Unavailable("the self-test said {!r} and ended with {}".format(str(verdict)[:20], status))
    return SelfTest(verdict, str(reason)[:300])
