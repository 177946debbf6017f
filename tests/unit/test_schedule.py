"""Who is classified next: everybody within a stated time, however many appear, and cameras alike."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runners.edge.tracking.schedule import SLOTS, Schedule, Waiting

EVERY_S = 1 / 30


def test_a_new_track_comes_before_undecided_ones_and_those_before_decided_ones() -> None:
    now = 100.0
    decided, undecided, new = Waiting(1, now - 0.5 + 1.0), Waiting(2, now - 0.5 + 0.2), Waiting(3, now - 0.4)
    assert Schedule(1)({"door": [decided, undecided, new]}, now) == [("door", 3)]
    assert Schedule(2)({"door": [decided, undecided, new]}, now) == [("door", 3), ("door", 2)]
    assert Schedule(4)({"door": [decided, undecided, new]}, now) == [("door", 3), ("door", 2)], "1 was just looked at"
    assert Schedule(4)({}, now) == []


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(1, 20), st.integers(0, 5))
def test_nobody_waits_longer_than_stated_however_many_appear(
    seed: int, slots: int, tracks: int, newcomers: int
) -> None:
    rng = random.Random(seed)
    schedule, due, bound, number = Schedule(slots), {n: rng.uniform(-1, 1) for n in range(tracks)}, {}, tracks
    for batch in range(50):
        now = batch * EVERY_S
        for _ in range(newcomers):
            due[number] = now
            number += 1
        for track, time_s in due.items():
            if time_s <= now and track not in bound:
                ahead = sum(other <= time_s for other in due.values()) - 1
                bound[track] = batch + (ahead + 1) / slots + 1
        for _, track in schedule({"door": [Waiting(*item) for item in due.items()]}, now):
            assert batch <= bound.pop(track)
            due[track] = now + rng.choice((0.2, 1.0))
        assert all(batch <= latest for latest in bound.values())


def shares(waiting: dict[str, int], batches: int, schedule: Schedule | None = None, stalled: str = "") -> Counter[str]:
    """How many regions of each camera are classified where `waiting` of its tracks are always due."""
    schedule, due, served = schedule or Schedule(), {}, Counter()
    for batch in range(batches):
        now = 1000.0 + batch
        tracks = {
            camera: [Waiting(track, due.get((camera, track), 0.0)) for track in range(count)]
            for camera, count in waiting.items()
            if camera != stalled
        }
        for camera, track in schedule(tracks, now):
            served[camera] += 1
            due[camera, track] = now + 0.5
    return served


@pytest.mark.parametrize("cameras", [2, 3, 4, 7])
def test_busy_cameras_get_equal_shares(cameras: int) -> None:
    served = shares({f"camera {number}": 10 + number for number in range(cameras)}, 50)
    assert sum(served.values()) == 50 * SLOTS
    assert max(served.values()) - min(served.values()) <= 1


def test_what_a_camera_does_not_need_goes_to_the_others() -> None:
    served = shares({"a": 1, "b": 10, "c": 10, "d": 10}, 100)
    assert served["a"] == 100
    assert served["b"] == served["c"] == served["d"] == 100
    served = shares({"a": 0, "b": 1, "c": 10}, 100)
    assert served == {"b": 100, "c": 300}


def test_a_stalled_camera_slows_nobody_and_does_not_catch_up_when_it_is_back() -> None:
    waiting = dict.fromkeys("abcd", 10)
    schedule = Schedule()
    assert shares(waiting, 90, schedule, stalled="c") == {"a": 120, "b": 120, "d": 120}
    assert all(89 <= count <= 91 for count in shares(waiting, 90, schedule).values())


@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_cameras_that_come_and_go_never_take_a_share_from_one_that_is_always_busy(seed: int) -> None:
    rng = random.Random(seed)
    schedule, served, batches = Schedule(), 0, 60
    for batch in range(batches):
        now = 1000.0 * (batch + 1)
        tracks = {name: [Waiting(n, now) for n in range(rng.randint(0, 9))] for name in "bcd" if rng.random() < 0.7}
        tracks["a"] = [Waiting(n, now) for n in range(9)]
        chosen = schedule(tracks, now)
        assert len(set(chosen)) == len(chosen) == SLOTS
        served += sum(camera == "a" for camera, _ in chosen)
    assert served >= 0.8 * batches * SLOTS / 4


def test_memory_is_bounded_by_the_cameras() -> None:
    schedule = Schedule()
    for number in range(5_000):
        schedule({f"camera {number}": [Waiting(number, 0.0)]}, 1.0)
    assert len(vars(schedule)["_served"]) == 1
