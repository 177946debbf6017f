"""When the agent asks, with whom it has patience, and what it says of itself meanwhile."""

import json
import os
import re
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from urllib3.exceptions import HTTPError

from runners.agent import agent_config, fetching, polling
from runners.agent.agent_config import is_within
from runners.agent.updating import Device
from runners.edge import durable
from runners.edge.capture.wanted import Wanted
from runners.edge.refused import Refused
from tests.agent.conftest import Start, camera_says, configured, records_of, release
from tests.agent.registry import Registry
from tests.loopback import free_port


class Clock:
    """Monotonic time that passes while the agent waits, and the end after so many seconds."""

    def __init__(self, patch: pytest.MonkeyPatch, seconds: float) -> None:
        self.now_s, self.waited = time.monotonic(), list[float]()
        self.end_s, self.ahead_s = self.now_s + seconds, time.time() - self.now_s
        patch.setattr(time, "monotonic", lambda: self.now_s)
        patch.setattr(time, "time", lambda: self.now_s + self.ahead_s)

    def wait(self, seconds: float) -> bool:
        self.waited.append(seconds)
        self.now_s += seconds
        return self.now_s > self.end_s


def polled(device: Device, patch: pytest.MonkeyPatch, hours: float) -> list[float]:
    """How long it waited before each look but the first."""
    clock = Clock(patch, hours * 3600)
    looks: list[float] = []
    look = polling.look

    def counted(device: Device) -> polling.Looked:
        looks.append(clock.now_s)
        return look(device)

    patch.setattr(polling, "look", counted)
    polling.Poller(device, clock).run()  # type: ignore[arg-type]
    return [later - sooner for sooner, later in pairwise(looks)]


def test_a_host_that_is_away_is_asked_less_often(
    start: Start, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = start(interval_minutes=60)
    registry.metadata.rename(registry.folder / "away")
    waited = [seconds / 3600 for seconds in polled(device, monkeypatch, 20)]
    assert len(set(waited)) == len(waited), "a fleet does not ask all at once"
    for hours, expected in zip(waited, (2, 4, 4, 4, 4), strict=False):
        assert 0.9 * expected <= hours <= 1.1 * expected
    assert "no metadata" in (device.status().trouble or "")
    (registry.folder / "away").rename(registry.metadata)
    with device.alone():
        polling.look(device)
    assert device.status().trouble is None


def test_a_trial_is_looked_after_every_few_seconds_until_it_is_good(
    start: Start, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = start(interval_minutes=60, trial_minutes=1)
    clock = Clock(monkeypatch, 600)
    wait = clock.wait

    def says(seconds: float) -> bool:
        over = wait(seconds)
        if device.slots.current is not None:
            camera_says(device, frames=100 + len(clock.waited))
        return over

    monkeypatch.setattr(clock, "wait", says)
    polling.Poller(device, clock).run()  # type: ignore[arg-type]
    assert device.status().state == "running"
    on_trial = [seconds for seconds in clock.waited if seconds <= polling.LOOK_S]
    assert 60 / polling.LOOK_S <= len(on_trial) <= 60 / polling.LOOK_S + 4
    assert [one.state for one in records_of(device)][-2:] == ["trial", "running"]


def test_it_tells_once_that_metadata_is_expired_and_once_a_day_how_it_is(start: Start, registry: Registry) -> None:
    device = start(trial_minutes=0)
    registry.signed["timestamp"].expires = registry.in_days(-1)
    release(registry, "1.1")
    for _ in range(3):
        with device.alone():
            assert polling.look(device).status == polling.REFUSED
    [told] = records_of(device)
    assert "expired" in (told.trouble or "")
    for day in ("monday", "monday", "tuesday"):
        device._today = lambda day=day: day  # type: ignore[method-assign,misc]
        device.tell_daily()
    assert len(records_of(device)) == 3


def test_a_full_disk_is_said_and_survived(
    start: Start, registry: Registry, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    device = start(interval_minutes=60)

    def full(path: str, *_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", path)

    with monkeypatch.context() as patch:
        patch.setattr(durable, "write", full)
        looks = polled(device, patch, 9)
    assert len(looks) <= 4, "nor is the host asked more often for it"
    assert "No space left on device" in capsys.readouterr().err
    with device.alone():
        assert polling.look(device).said == "1.0 is on trial"


def test_two_agents_do_not_work_in_one_folder(start: Start) -> None:
    device, other = start(), start()
    with device.alone(), pytest.raises(Exception, match="another agent works in"), other.alone():
        pass


@pytest.mark.parametrize(
    ("window", "within", "outside"),
    [("01:00-05:00", (4, 59), (5, 0)), ("22:30-02:00", (23, 0), (2, 0)), ("22:30-02:00", (1, 59), (22, 29))],
)
def test_a_window_may_go_over_midnight(window: str, within: tuple[int, int], outside: tuple[int, int]) -> None:
    assert is_within(window, *within)
    assert not is_within(window, *outside)
    assert is_within(None, *outside)


def test_why_a_host_gives_nothing_is_said_without_what_every_layer_adds() -> None:
    with pytest.raises(HTTPError) as caught:
        fetching.opened(f"http://127.0.0.1:{free_port()}/timestamp.json", {})
    assert len(str(caught.value)) > 100
    assert fetching.why(caught.value) == "Connection refused"


@pytest.mark.parametrize(("page", "settings"), [("agent.md", agent_config.Config), ("capture.md", Wanted)])
def test_the_docs_name_each_setting_with_its_default(page: str, settings: Any) -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / page).read_text()
    told: dict[str, str] = {}
    for keys, defaults in re.findall(r"(?m)^\| ((?:`\w+`(?:, )?)+) \| (.*?) \|", text):
        names, values = re.findall(r"\w+", keys), defaults.split(", ")
        told |= zip(names, values if len(names) == len(values) else [defaults] * len(names), strict=True)
    assert set(settings._fields) <= set(told)
    for name, default in settings._field_defaults.items():
        if isinstance(default, bool | int | float):
            assert json.loads(told[name].strip("`")) == default, name
        elif isinstance(default, str) and default:
            assert told[name] == f"`{default}`", name


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"chanel": "stable"}, "chanel is no key of it"),
        ({"target": "../x"}, "target: give letters"),
        ({"metadata_url": "ftp://x"}, "metadata_url: give a URL"),
        ({"targets_url": "https://["}, r"targets_url: cannot be read \(Invalid IPv6 URL\)"),
        ({"targets_url": "https://host:port"}, "targets_url: cannot be read"),
        ({"window": "1-5"}, "window: give two times"),
        ({"window": "02:00-02:00"}, "window: begins and ends at the same time"),
        ({"interval_minutes": 0}, "interval_minutes must be"),
        ({"kib_per_second": 1}, "kib_per_second: give at least 8"),
        ({"kib_per_second": "all"}, "kib_per_second is of another kind"),
        ({"least_fps": 2}, "least_fps: give a share"),
        ({"camera_python": []}, "camera_python: give a command"),
        ({"root": "/nowhere"}, "root: /nowhere is missing"),
    ],
)
def test_a_wrong_configuration_is_one_line(
    registry: Registry, tmp_path: Path, values: dict[str, object], says: str
) -> None:
    with pytest.raises(Refused, match=says) as caught:
        agent_config.read(str(configured(tmp_path / "etc", registry, **values)))
    assert "\n" not in str(caught.value)
    with pytest.raises(Refused, match="write the agent's configuration: metadata_url, targets_url, channel, target, d"):
        agent_config.read(str(tmp_path / "none.json"))
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(Refused, match=r"pipe\.json: .* it is a folder, a device or a pipe"):
        agent_config.read(str(tmp_path / "pipe.json"))
