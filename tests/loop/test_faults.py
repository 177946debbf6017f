"""Whatever happens to cameras, disk, clock and process: the stated outcome, and no acknowledged event is lost."""

import os
import random
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.loop.program import Program
from tests.scenes import readers, scene

SIZE = ["size", 320, 240]
Start = Callable[..., Program]


def all_there(program: Program, after: int = 0) -> list[int]:
    """See to it that every acknowledged event is there, whole and once, without a gap; the numbers of all."""
    found = [event.seq for event in program.events() if event.seq > after]
    assert found == list(range(after + 1, after + 1 + len(found)))
    if program.acknowledged:
        assert found[-1] >= program.acknowledged[-1]
    return found


def test_cameras_fail_in_every_way_while_the_clock_jumps(start: Start, tmp_path: Path) -> None:
    door = scene(
        tmp_path, "door",
        [SIZE, ["frames", 15, 0.02], ["exit", 1, "Connection refused"]],
        [SIZE, ["frames", 15, 0.02], ["half"], ["exit", 0]],
        [SIZE, ["frames", 15, 0.02], ["junk"], ["stall"]],
        [SIZE, ["frames", 15, 0.02], ["resize", 160, 120], ["frames", 3], ["stall"]],
        [["size", 160, 120], ["frames", 100000, 0.02]],
    )  # fmt: skip
    yard = scene(tmp_path, "yard", [SIZE, ["frames", 100000, 0.02]])
    program = start(door, yard, environment={"JUMPING_CLOCK": "yes"})
    program.until("camera_resized")
    program.until("camera_opened", 3)  # of both, and of the door with its other size
    lost = [event.facts["reason"] for event in program.events("camera_lost")]
    assert lost[0] == "it ended with 1: Connection refused"
    assert lost[1].startswith("it ended with 0 within a frame")
    assert "out of step" in lost[2]
    assert len(program.events("camera_back")) == 3
    os.kill(readers(tmp_path, "door")[-1], signal.SIGKILL)
    program.until("camera_back", 4)
    status, said = program.end()
    assert status == 0
    assert [line.split()[3].strip(",") for line in said.splitlines()] == ["lost", "back"] * 4
    last = program.events()[-1]
    assert (last.event, last.facts["why"]) == ("stopped", "SIGTERM")
    counts = last.facts["cameras"]
    assert counts["rtsp://cam/door"]["damaged"] == 2
    assert counts["rtsp://cam/door"]["lost"] == 4
    assert counts["rtsp://cam/yard"]["lost"] == 0
    assert program.acknowledged[-1] == all_there(program)[-1], "all that was told is acknowledged"
    for name in ("door", "yard"):
        assert not Path(f"/proc/{readers(tmp_path, name)[-1]}").exists()


@pytest.mark.parametrize("times", [2, pytest.param(200, marks=pytest.mark.nightly)])
def test_killed_at_any_moment_it_loses_no_acknowledged_event(start: Start, tmp_path: Path, times: int) -> None:
    chance, last, acknowledged = random.Random(times), 0, 0
    restless = scene(tmp_path, "door", [SIZE, ["frames", 4, 0.01], ["exit", 1, "gone"]])
    for _ in range(times):
        program = start(restless)
        if chance.random() < 0.7:  # else while it starts
            program.until("started", len(program.events("started")) + 1)
        time.sleep(chance.uniform(0, 1.0))
        program.process.kill()
        program.wait_for_the_end()
        last = (all_there(program, last) or [last])[-1]
        acknowledged += len(program.acknowledged)
    assert acknowledged >= times / 2


@pytest.mark.nightly
def test_two_signals_end_it_once(start: Start, tmp_path: Path) -> None:
    program = start(scene(tmp_path, "door", [SIZE, ["frames", 100000, 0.02]]))
    program.until("camera_opened")
    program.process.send_signal(signal.SIGINT)
    assert program.end() == (0, "")
    assert [event.event for event in program.events()][-1] == "stopped"
    assert program.acknowledged[-1] == all_there(program)[-1]


@pytest.mark.nightly
def test_a_disk_that_fills_up_and_has_room_again(start: Start, tmp_path: Path) -> None:
    program = start(scene(tmp_path, "door", [SIZE, ["frames", 3, 0.01], ["exit", 1, "gone"]]))
    program.until("camera_back")
    resource.prlimit(program.process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    time.sleep(2)
    written, backs = len(program.events()), len(program.events("camera_back"))
    resource.prlimit(program.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    program.until("camera_back", backs + 2)  # it went on
    status, said = program.end()
    assert status == 0
    assert len(program.events()) > written
    assert "File too large; they wait in memory, and the program goes on" in said
    assert "written again; 0 were given up" in said
    assert program.acknowledged[-1] == all_there(program)[-1]


@pytest.mark.nightly
def test_a_disk_that_stays_full_is_told_in_the_end(start: Start, tmp_path: Path) -> None:
    program = start(scene(tmp_path, "door", [SIZE, ["frames", 3, 0.01], ["exit", 1, "gone"]]))
    program.until("camera_back")
    resource.prlimit(program.process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    time.sleep(2)
    status, said = program.end()
    assert status == 2
    assert "events were never written" in said.splitlines()[-1]
    all_there(program)
