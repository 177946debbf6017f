"""A device whose clock is wrong says so, takes no update, runs on, and goes on by itself when its clock is set."""

import time
from collections.abc import Iterator
from datetime import datetime, timezone
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler

import pytest

from runners.agent import polling
from runners.agent.by_hand import install
from runners.agent.updating import Device
from tests.agent.conftest import Start, records_of, release
from tests.agent.hosts import Host, send, serving
from tests.agent.registry import Registry
from tests.agent.test_polling import Clock

NOW, DAY_S = time.time, 24 * 3600
AHEAD_S, SINCE_1970_S = 5 * 365 * DAY_S, 300.0


@pytest.fixture
def host(registry: Registry) -> Iterator[Host]:
    """A static host whose clock is right, whatever the device's says."""
    with serving(registry.folder) as found:

        def honest(handler: BaseHTTPRequestHandler) -> None:
            handler.date_time_string = lambda *_: formatdate(NOW(), usegmt=True)  # type: ignore[method-assign]
            file = registry.folder / handler.path[1:]
            send(handler, file.read_bytes()) if file.is_file() else handler.send_error(404)

        found.instead["."] = honest
        yield found


@pytest.fixture(params=["folder", "http"])
def device(request: pytest.FixtureRequest, start: Start, registry: Registry, host: Host) -> Device:
    """It runs 1.0, and 1.1 is offered."""
    urls = {"metadata_url": f"{host.url}/metadata", "targets_url": f"{host.url}/targets"}
    found = start(interval_minutes=60, **(urls if request.param == "http" else {}))
    assert look(found).said == "1.0 is on trial"
    with found.alone():
        found.confirm()
    release(registry, "1.1")
    return found


def look(device: Device) -> polling.Looked:
    with device.alone():
        return polling.look(device)


def test_in_1970_nothing_is_taken_until_the_clock_is_set(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    current = device.slots.current
    monkeypatch.setattr(time, "time", lambda: SINCE_1970_S)
    for _ in range(2):
        found = look(device)
        assert found.status == polling.NOT_NOW
        assert "the device's clock says 1970-01-01 00:05 UTC, and what is offered was built on 20" in found.said
    assert (device.slots.current, device.status().trouble) == (current, found.said)
    assert [one.trouble for one in records_of(device)][-2:] == [None, found.said], "it is told once"
    monkeypatch.setattr(time, "time", NOW)
    assert look(device).said == "1.1 is on trial"
    assert device.status().trouble is None


def test_nor_on_the_first_start(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    device = start()
    monkeypatch.setattr(time, "time", lambda: SINCE_1970_S)
    assert look(device).status == polling.NOT_NOW
    assert device.slots.current is None


def test_who_stands_beside_it_may_install_all_the_same(
    start: Start, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = start()
    monkeypatch.setattr(time, "time", lambda: SINCE_1970_S)
    with device.alone():
        assert install(device, str(registry.folder)) == "1.0"


def test_years_ahead_metadata_looks_expired(
    device: Device, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    current = device.slots.current
    monkeypatch.setattr(time, "time", lambda: NOW() + AHEAD_S)
    found = look(device)
    if device.config.metadata_url.startswith("http"):  # the host's clock tells
        assert found.status == polling.NOT_NOW
        assert "1825.0 days ahead of the host's, so the metadata looks expired: no update until it is set" in found.said
    else:
        assert found.status == polling.REFUSED
        assert "days ago" in found.said
        assert "or the device's clock to be set, if that is ahead" in found.said
    assert device.slots.current == current
    wrong = records_of(device)[-1].time_s
    monkeypatch.setattr(time, "time", NOW)
    assert look(device).said == "1.1 is on trial"
    right = [one for one in records_of(device) if one.state == "trial" and one.version == "1.1"]
    assert right
    assert all(abs(one.time_s - NOW()) < DAY_S < wrong - NOW() for one in right), "no record is dated after it"


def test_expired_for_days_is_not_the_clock(device: Device, registry: Registry) -> None:
    registry.signed["timestamp"].expires = registry.in_days(-3)
    registry.publish()
    found = look(device)
    assert found.status == polling.REFUSED
    since = datetime.fromtimestamp(NOW() - 3 * DAY_S, timezone.utc)
    assert f"the metadata is expired, 3.0 days ago, on {since:%Y-%m-%d}" in found.said
    assert "it has to be signed anew" in found.said
    registry.signed["timestamp"].expires = registry.in_days(3)
    registry.publish()
    assert look(device).said == "1.1 is on trial"


def test_a_bundle_of_a_minute_ago_is_no_proof(
    start: Start, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    release(registry, "1.1", built_s=int(NOW()) + 600)
    assert look(start()).said == "1.1 is on trial"


@pytest.mark.parametrize("device", ["folder"], indirect=True)
def test_a_clock_that_is_set_is_a_reason_to_look_again(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, 3 * 3600)
    right, clock.ahead_s, wait, waited = clock.ahead_s, SINCE_1970_S - clock.now_s, clock.wait, list[float]()

    def sets(seconds: float) -> bool:
        if clock.ahead_s != right and device.status().trouble:
            waited.append(clock.now_s)
            clock.ahead_s = right  # as NTP does
        over = wait(seconds)
        return over or device.state.trial is not None

    monkeypatch.setattr(clock, "wait", sets)
    polling.Poller(device, clock).run()  # type: ignore[arg-type]
    assert device.status().version == "1.1"
    assert clock.now_s - waited[0] <= 2 * polling.WAKE_S
