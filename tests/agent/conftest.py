"""What the tests of updates share: a registry, a device's folder, and an agent for it."""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runners.agent import agent_config
from runners.agent.self_testing import SelfTest
from runners.agent.updating import Device
from runners.contract import camera_state, device_folder, device_status
from runners.contract.camera_state import CameraState
from runners.edge import procfs
from tests.agent import bundles
from tests.agent.registry import BASE, CHANNEL, TARGET, Registry, offer_of


@pytest.fixture(autouse=True)
def no_power_cuts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody needs to wait for the disk here; what a sync is for is tested by `power_cuts.py`."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """With version 1.0 for everybody."""
    found = Registry(tmp_path / "registry")
    release(found, "1.0")
    return found


def release(registry: Registry, version: str, path: str = BASE, **files: Any) -> str:
    """Sign a good bundle and publish it; its SHA-256."""
    content = bundles.files(version, **files)
    sha256 = registry.offer(path, bundles.tar(content), offer_of(content))
    registry.publish()
    return sha256


def configured(folder: Path, registry: Registry, **values: Any) -> Path:
    """The agent's configuration, which reads the registry's folder."""
    content = {
        "metadata_url": registry.metadata.as_uri(), "targets_url": registry.targets.as_uri(), "channel": CHANNEL,
        "target": TARGET, "device": "camera-17", "root": str(folder / "root.json"), "camera_python": [sys.executable],
        "inhibit": str(folder / "inhibit"), **values,
    }  # fmt: skip
    folder.mkdir(exist_ok=True, parents=True)
    if not (folder / "root.json").exists():
        (folder / "root.json").write_bytes(registry.shipped.read_bytes())
    (folder / "agent.json").write_text(json.dumps(content))
    return folder / "agent.json"


PASSED = SelfTest("pass", "")
Start = Callable[..., Device]


@pytest.fixture
def start(registry: Registry, tmp_path: Path) -> Start:
    """An agent on the same device as ever, as after a start; its self-test says `tested`, unless that is None."""

    def agent(tested: SelfTest | None = PASSED, **values: Any) -> Device:
        config = agent_config.read(str(configured(tmp_path / "etc", registry, **values)))
        return Device(str(tmp_path / "home"), config, None if tested is None else lambda _: tested)

    return agent


def camera_says(device: Device, slot: str | None = None, **values: Any) -> None:
    """The camera program's state as of now: it runs what is current unless told otherwise."""
    folder = Path(device.home, device_folder.STATE)
    folder.parent.mkdir(exist_ok=True)
    slot = slot or device.slots.current
    assert slot is not None
    state = CameraState(slot, procfs.boot(), time.monotonic(), 100, 25.0, 0)._replace(**values)
    folder.write_text(json.dumps(camera_state.as_json(state)))


def records_of(device: Device) -> list[device_status.DeviceStatus]:
    """What waits to be sent, oldest first."""
    files = sorted(Path(device.home, "agent/outbox/status/camera-17").glob("*.json"))
    return [device_status.from_json(json.loads(file.read_text())) for file in files]
