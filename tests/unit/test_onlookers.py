"""Who looks on costs the program nothing it can feel: the live view and the recording."""

import http.client
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from runners.edge.program.costs import Costs
from runners.edge.program.live import Live
from runners.edge.program.recorder import Recorder
from runners.edge.program.view import View
from runners.edge.refused import Refused
from tests import clips
from tests.waiting import until

LIMIT_S = 30.0


@pytest.fixture(scope="module")
def view() -> View:
    """One that sees both squares."""
    found = View("door", clips.CLASSES, 1.0, Costs(), lambda event, **facts: None)
    for number in range(30):
        found.see(clips.frame(clips.picture(number / clips.RATE), number, number / clips.RATE), number / clips.RATE)
    assert len(found.boxes) == 2
    return found


@pytest.fixture
def live() -> Iterator[Live]:
    server = Live(0, ["door", "yard <1>"])
    yield server
    server.close()


def ask(live: Live, path: str, host: str = "") -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", live.server_port, timeout=LIMIT_S)
    connection.putrequest("GET", path, skip_host=bool(host))
    if host:
        connection.putheader("Host", host)
    connection.endheaders()
    return connection.getresponse()


def status(live: Live, path: str, host: str = "") -> int:
    with ask(live, path, host) as response:
        return response.status


def part(response: http.client.HTTPResponse) -> np.ndarray:
    """The next picture of a stream."""
    assert response.readline() == b"--picture\r\n"
    assert response.readline() == b"Content-Type: image/jpeg\r\n"
    length = int(response.readline().split(b": ")[1])
    assert response.readline() == b"\r\n"
    content = response.read(length)
    assert response.readline() == b"\r\n"
    found: np.ndarray = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    return found


def show(onlooker: Any, view: View, time_s: float) -> None:
    view.time_s = time_s
    onlooker.show(view)


def test_a_viewer_sees_each_picture_with_its_boxes(live: Live, view: View) -> None:
    response = ask(live, "/1")
    assert response.headers["Content-Type"] == "multipart/x-mixed-replace; boundary=picture"
    for number in range(3):
        show(live, view, 10 + number)
        seen = part(response)
        assert seen.shape == (720, 1280, 3)
        box = view.boxes[0]
        assert abs(seen[box.y + box.h // 2, box.x].astype(int) - (200, 200, 200)).max() < 60, "its left edge"
    response.close()
    until(lambda: live.viewers["door"] == 0)


def test_for_nobody_nothing_is_copied(live: Live, view: View) -> None:
    show(live, view, 10)
    assert live.newest == {}
    with ask(live, "/2"):  # another camera
        show(live, view, 11)
        assert live.newest == {}


def test_a_viewer_that_takes_nothing_holds_nobody_up(live: Live, view: View) -> None:
    stalled = socket.create_connection(("127.0.0.1", live.server_port))
    stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stalled.sendall(b"GET /1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    until(lambda: live.viewers["door"] == 1)
    response = ask(live, "/1")
    took_s = []
    for number in range(12):
        began_s = time.process_time()
        show(live, view, 10 + number)
        took_s.append(time.process_time() - began_s)
        part(response)
    assert np.median(took_s) < 0.02
    response.close()
    stalled.close()
    until(lambda: live.viewers["door"] == 0)


def test_not_more_viewers_than_a_few(live: Live) -> None:
    responses = [ask(live, "/1") for _ in range(3)]
    assert [response.status for response in responses] == [200] * 3
    assert status(live, "/2") == 503
    responses[0].close()
    until(lambda: live.viewers["door"] == 2)
    assert status(live, "/2") == 200
    for response in responses:
        response.close()


def test_the_page_names_all_cameras(live: Live) -> None:
    page = ask(live, "/").read().decode()
    assert '<img src="/1"' in page
    assert "yard &lt;1&gt;" in page


def test_what_is_not_there_and_who_comes_from_elsewhere(live: Live) -> None:
    assert [status(live, path) for path in ("/0", "/3", "/etc/passwd", "/../1")] == [404] * 4
    assert [
        status(live, "/1", host) for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", "[")
    ] == [403] * 4
    assert live.server_address[0] == "127.0.0.1"


def test_a_port_that_is_taken(live: Live) -> None:
    with pytest.raises(Refused, match=f"--live {live.server_port}: cannot listen there"):
        Live(live.server_port, ["door"])
    with pytest.raises(Refused, match="--live 70000: cannot listen there"):
        Live(70000, ["door"])


def frames_of(file: Path) -> list[np.ndarray]:
    video, found = cv2.VideoCapture(str(file)), []
    while True:
        got, image = video.read()
        if not got:
            return found
        found.append(image)


def test_a_recording_has_ten_pictures_a_second_whatever_the_program_had(view: View, tmp_path: Path) -> None:
    recorder = Recorder(str(tmp_path / "film.avi"), ["door", "yard"], lambda event, **facts: pytest.fail(event))
    for time_s in (0.0, 0.02, 0.04, 0.5, 1.0, 100.0, 100.1):  # too many, too few, and away for long
        show(recorder, view, time_s)
        until(recorder._pictures.empty)
    recorder.close()
    film = frames_of(tmp_path / "film.avi")
    assert len(film) == 13
    box = view.boxes[0]
    assert abs(film[-1][box.y + box.h // 2, box.x].astype(int) - (200, 200, 200)).max() < 60
    assert (tmp_path / "film-2.avi").exists()


def test_a_recording_leaves_room_for_events(view: View, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, dict[str, Any]]] = []
    recorder = Recorder(str(tmp_path / "film.avi"), ["door"], lambda event, **facts: told.append((event, facts)))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=100 * 4096))
    for number in range(80):
        show(recorder, view, number / 10)
        until(recorder._pictures.empty)
    recorder.close()
    assert [event for event, _ in told] == ["recording_ended"]
    assert told[0][1]["reason"] == "the disk is nearly full"
    assert 10 < len(frames_of(tmp_path / "film.avi")) < 40


@pytest.mark.parametrize("name", ["film.mp4", "nowhere/film.avi"])
def test_what_is_no_place_for_a_recording(tmp_path: Path, name: str) -> None:
    with pytest.raises(Refused, match=name):
        Recorder(str(tmp_path / name), ["door"], lambda event, **facts: None)
