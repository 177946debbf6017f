"""Two devices of a small project: their films, their camera program and their agent, as processes of their own."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from act import REPOSITORY
from project import Project

from pipeline.records.targets import load_target
from pipeline.system import files
from runners.contract import camera_state, device_folder, device_status
from runners.contract.camera_state import CameraState
from runners.contract.device_status import DeviceStatus
from tests.loop.program import Program

TARGET = "atom-x5-e3940"
COLOURS = ("blue", "green", "red")  # the classes of the project's images, in the order of OpenCV's channels
WALK_S, SPEED = 4, 150  # how long two squares are on their way, in pixels a second


def film(path: Path, seconds: float, seed: int, rate: int = 10, height: int = 720, times: int = 1) -> Path:
    """Two squares at a time walk to and fro on grey ground, coloured and speckled as the project's images are."""
    random = np.random.default_rng(seed)
    ground = cv2.resize(random.integers(90, 160, (18, 32, 3), np.uint8), (1280, 720))
    size = (height * 16 // 9, height)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), rate, size)
    again: list[np.ndarray] = []
    squares: list[np.ndarray] = []
    for number in range(round(seconds * rate)):
        walk, since_s = divmod(number / rate - 2.0, WALK_S)  # nothing for two seconds, by which the ground is known
        if walk >= 0 and number % (WALK_S * rate) == 2 * rate % (WALK_S * rate):
            squares = [_square(random, (int(walk) + lane) % 3) for lane in range(2)]
        image = ground.copy()
        if 0.3 <= since_s < WALK_S - 0.4 and walk >= 0:
            way = round(SPEED * since_s)
            image[120:290, 100 + way : 240 + way] = squares[0]
            image[440:610, 1040 - way : 1180 - way] = squares[1]
        writer.write(small := cv2.resize(image, size))
        if times > 1:
            again.append(small)
    for _ in range(times - 1):
        for image in again:
            writer.write(image)
    writer.release()
    return path


def _square(random: np.random.Generator, channel: int) -> np.ndarray:
    speckled = cv2.resize(random.integers(90, 160, (6, 5, 3), np.uint8), (140, 170), interpolation=cv2.INTER_CUBIC)
    speckled[..., channel] = 250
    return speckled


def shown(picture: Path) -> str | None:
    """The class of a capture as a person sees it; None where there is little to see."""
    image = cv2.imread(str(picture)).astype(int)
    excess = [(image[..., index] - np.delete(image, index, 2).max(2) > 60).mean() for index in range(3)]
    return COLOURS[int(np.argmax(excess))] if max(excess) > 0.15 else None


class Device:
    """One device below `folder`, which reads a registry at `host` and calculates as the target does."""

    def __init__(self, folder: Path, name: str, project: Project, host: str, inbox: Mapping[str, Any]) -> None:
        self.folder, self.name, self.home = folder, name, folder / "home"
        self.home.mkdir(parents=True)
        (folder / "root.json").write_bytes((project.folder / "releases/metadata/1.root.json").read_bytes())
        self.arithmetic = dict(load_target(TARGET).emulation.environment)
        self._settings: dict[str, Any] = {
            "metadata_url": f"{host}/metadata", "targets_url": f"{host}/targets", "channel": "stable",
            "target": TARGET, "device": name, "root": str(folder / "root.json"), "interval_minutes": 1,
            "inhibit": str(folder / "inhibit"), "trial_minutes": 0.05, "inbox": dict(inbox),
            "camera_python": ["env", *(f"{key}={value}" for key, value in self.arithmetic.items()), sys.executable],
        }  # fmt: skip
        self.configure()

    def configure(self, **values: Any) -> None:
        """Write the agent's configuration, with some values changed."""
        self._settings |= values
        files.write_json(self.folder / "agent.json", self._settings)

    def agent(self, *verb: str) -> subprocess.CompletedProcess[str]:
        """Call the agent."""
        return subprocess.run(self.agent_command(*verb), cwd=REPOSITORY, capture_output=True, text=True)

    def agent_command(self, *verb: str) -> list[str]:
        """The same as a command."""
        given = [f"--config={self.folder / 'agent.json'}", f"--home={self.home}"]
        return [sys.executable, "-m", "runners.agent", *given, *verb]

    def upload(self) -> str:
        """Send what waits; what it says of that."""
        command = [sys.executable, "-m", "runners.agent.upload", self.home, f"--config={self.folder / 'agent.json'}"]
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
        assert done.returncode == os.EX_OK, done.stderr
        return done.stdout

    def camera(self, source: Path) -> Program:
        """Start the camera program on a film, with captures of all that it sees."""
        capture = {"device": self.name, "random_share": 1.0, "most_a_minute": 40}
        (self.folder / "capture.json").write_text(json.dumps(capture))
        given = [f"--home={self.home}", f"--source={source}", f"--capture={self.folder / 'capture.json'}"]
        events = self.folder / f"events-{source.stem}"
        return Program(events, self.arithmetic, *given, "--threads=1", "--reader=opencv")

    @property
    def status(self) -> DeviceStatus:
        """What `agent status --json` says."""
        return device_status.from_json(json.loads(self.agent("status", "--json").stdout))

    @property
    def state(self) -> CameraState:
        """What its camera program said last."""
        return camera_state.from_json(json.loads((self.home / device_folder.STATE).read_text()))

    @property
    def slot(self) -> str:
        """The bundle that is to run."""
        return (self.home / device_folder.CURRENT).resolve().name
