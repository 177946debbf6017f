"""People keep their numbers: through a crossing, behind a post, at any frame rate and in whatever order boxes come."""

import pickle
import random
from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runners.edge.loop.regions import Box, iou
from runners.edge.tracking.appearance import blend, looks, unlikeness
from runners.edge.tracking.assignment import assign
from runners.edge.tracking.motion import Motion, centre
from runners.edge.tracking.track import Track
from runners.edge.tracking.tracker import Tracker

WIDTH, HEIGHT = 48, 120
RED, BLUE, GREY = (40, 40, 200), (180, 60, 30), (110, 110, 110)  # BGR
PICTURE = Box(0, 0, 1280, 720)
Walk = Callable[[float], float]  # the left edge of somebody at a time


class Scene:
    """People on grey ground, as background differencing shows them: boxes that touch become one."""

    def __init__(self, *people: tuple[Walk, tuple[int, int, int]], seed: int = 0) -> None:
        self.people = people
        self._rng = np.random.default_rng(seed)
        self._frame = np.full((PICTURE.h, PICTURE.w, 3), GREY, np.uint8)

    def boxes(self, time_s: float) -> list[tuple[Box, set[int]]]:
        """Each box with the people that it shows. Boxes tremble as legs swing."""
        alone = []
        for name, (walk, _) in enumerate(self.people):
            left, jitter = walk(time_s), self._rng.integers(-3, 4, 4)
            if -WIDTH < left < PICTURE.w:
                alone.append(
                    (Box(round(left) + jitter[0], 300 + jitter[1], WIDTH + jitter[2], HEIGHT + jitter[3]), name)
                )
        merged: list[tuple[Box, set[int]]] = []
        for box, name in sorted(alone):
            if merged and box.x < merged[-1][0].x + merged[-1][0].w:
                last, names = merged.pop()
                left, top = min(last.x, box.x), min(last.y, box.y)
                right, bottom = max(last.x + last.w, box.x + box.w), max(last.y + last.h, box.y + box.h)
                merged.append((Box(left, top, right - left, bottom - top), names | {name}))
            else:
                merged.append((box, {name}))
        return [(Box(*(int(v) for v in box)), names) for box, names in merged]

    def frame(self, time_s: float) -> np.ndarray:
        """(720, 1280, 3): each wears one colour above and dark trousers below; the first walks in front."""
        frame = self._frame
        frame[300:420] = GREY
        for walk, colour in reversed(self.people):
            left = max(round(walk(time_s)), 0)
            frame[300:360, left : left + WIDTH] = colour
            frame[360:420, left : left + WIDTH] = (30, 30, 30)
        return frame

    def follow(self, seconds: float, rate: float = 10.0, tracker: Tracker | None = None) -> dict[int, list[int]]:
        """The numbers that each of them had when alone, in order and without repeats."""
        tracker, found = tracker or Tracker(), {}
        for step in range(int(seconds * rate)):
            shown = self.boxes(step / rate)
            numbers = tracker([box for box, _ in shown], step / rate, self.frame(step / rate))
            for (_, names), given_ in zip(shown, numbers, strict=True):
                if len(names) == 1:
                    had = found.setdefault(min(names), [])
                    had.extend(number for number in given_ if number not in had[-1:])
        return found


def walker(start: float, speed: float) -> Walk:
    return lambda time_s: start + speed * time_s


def who_turns_back(start: float, speed: float, until_s: float, stays_s: float) -> Walk:
    def walk(time_s: float) -> float:
        return start + speed * (min(time_s, until_s) - max(time_s - until_s - stays_s, 0))

    return walk


@pytest.mark.parametrize("rate", [5, 10, 30])
def test_two_who_cross_keep_their_numbers(rate: float) -> None:
    scene = Scene((walker(300, 90), RED), (walker(900, -90), BLUE))
    assert {person: len(numbers) for person, numbers in scene.follow(7, rate).items()} == {0: 1, 1: 1}


@pytest.mark.parametrize("stays_s", [0.3, 2.0])
def test_two_who_meet_and_turn_back_are_told_apart_by_their_looks(stays_s: float) -> None:
    """Where they are says that they went on; how they look says that they did not."""
    scene = Scene((who_turns_back(300, 90, 3, stays_s), RED), (who_turns_back(860, -90, 3, stays_s), BLUE))
    assert {person: len(numbers) for person, numbers in scene.follow(8).items()} == {0: 1, 1: 1}


def test_while_two_are_in_one_box_it_has_both_numbers() -> None:
    scene, tracker = Scene((walker(300, 90), RED), (walker(900, -90), BLUE)), Tracker()
    for step in range(70):
        shown = scene.boxes(step / 10)
        numbers = tracker([box for box, _ in shown], step / 10, scene.frame(step / 10))
        assert sorted(number for inside in numbers for number in inside) == [0, 1]


def test_who_is_behind_a_post_for_a_second_is_still_the_same() -> None:
    def walk(time_s: float) -> float:
        return -1e6 if 3 < time_s < 4 else 200 + 80 * time_s

    assert Scene((walk, RED)).follow(7) == {0: [0]}


def test_who_leaves_takes_the_number_along() -> None:
    scene = Scene((walker(900, 120), RED), (lambda time_s: walker(1700, -120)(time_s) if time_s > 4 else 1e6, RED))
    assert scene.follow(8) == {0: [0], 1: [1]}


def test_a_piece_of_somebody_is_nobody_who_is_remembered() -> None:
    """An arm is a box of its own for two frames; later it is not thought to be in the person's box."""
    tracker = Tracker()
    for step in range(20):
        body = Box(300 + 8 * step, 300, WIDTH, HEIGHT)
        arm = [Box(body.x + 40, 340, 14, 30)] if step in (10, 11) else []
        numbers = tracker([body, *arm], step / 10)
        assert numbers[0] == (0,)


@pytest.mark.parametrize(("after", "within_s"), [(Box(280, 150, 90, 270), 1.0), (Box(200, 20, 300, 690), 11.0)])
def test_a_box_of_another_size_is_nobody_new_and_learnt_after_a_while(after: Box, within_s: float) -> None:
    """Somebody opens an umbrella, or a door behind them: at first the box could show another, later it is theirs."""
    before, tracker, track = Box(300, 300, WIDTH, HEIGHT), Tracker(), Track(0, Box(300, 300, WIDTH, HEIGHT), 0.0)
    for step in range(150):
        box, now = before if step < 20 else after, step / 10
        assert tracker([box], now) == [(0,)]
        track.motion.predict(0.1)
        track.see_alone(box, now)
        assert track.seen_s == now
        if step == 20:
            assert track.alone_s < now
            assert iou(track.motion.box, before) > 0.8
        elif now > 2 + within_s:
            assert track.alone_s == now
    assert iou(track.motion.box, after) > 0.9


def test_two_who_stay_together_for_long_become_one_with_the_first_number() -> None:
    scene = Scene((who_turns_back(300, 90, 3, 60), RED), (who_turns_back(860, -90, 3, 60), BLUE))
    tracker = Tracker()
    shown = [
        tracker([box for box, _ in scene.boxes(step / 10)], step / 10, scene.frame(step / 10)) for step in range(160)
    ]
    assert shown[20] == [(0,), (1,)]
    assert shown[60] == [(0, 1)], "for now they may part again"
    assert shown[-1] == [(0,)]


def test_another_clock_and_dropped_frames_are_no_reason_for_new_numbers() -> None:
    scene, rng = Scene((walker(300, 90), RED), (walker(900, -90), BLUE)), random.Random(3)
    tracker, numbers = Tracker(), set()
    for step in range(210):
        if rng.random() < 0.5:
            found = tracker([box for box, _ in scene.boxes(step / 30)], 1e6 + step / 30, scene.frame(step / 30))
            numbers |= {number for inside in found for number in inside}
    assert numbers == {0, 1}


def test_a_clock_that_jumps_back_or_far_on_leaves_nothing_behind() -> None:
    tracker, here = Tracker(), Box(300, 300, WIDTH, HEIGHT)
    times = [1e6 + step / 10 for step in range(20)] + [step / 10 for step in range(20)]
    assert [tracker([here], time_s) for time_s in times] == [[(0,)]] * 40
    for step in range(50):
        tracker([], 2 + step / 10)
    assert tracker([here], 7.0) == [(1,)], "forgotten in time, although a clock jumped back before"
    assert tracker([here], 1e9) == [(2,)]


anywhere = st.builds(Box, st.integers(0, 400), st.integers(0, 300), st.integers(1, 90), st.integers(1, 200))


@settings(max_examples=30)
@given(st.lists(st.lists(anywhere, max_size=6), min_size=2, max_size=8), st.randoms(use_true_random=False))
def test_every_box_has_a_number_no_number_is_given_twice_and_the_order_does_not_count(
    frames: list[list[Box]], rng: random.Random
) -> None:
    plain, shuffled = Tracker(), Tracker()
    picture = np.random.default_rng(0).integers(0, 255, (600, 500, 3), np.uint8)
    for step, boxes in enumerate(frames):
        boxes = list(dict.fromkeys(boxes))
        numbers = plain(boxes, step / 10, picture)
        given_ = [number for inside in numbers for number in inside]
        assert all(numbers)
        assert len(given_) == len(set(given_))
        order = rng.sample(range(len(boxes)), len(boxes))
        again = shuffled([boxes[index] for index in order], step / 10, picture)
        assert again == [numbers[index] for index in order]


def test_memory_stays_bounded_over_a_hundred_thousand_frames() -> None:
    """A working day of people who come and go, and of leaves that are seen once."""
    rng, tracker, sizes = random.Random(0), Tracker(), []
    for step in range(100_000):
        boxes = [Box(step * 8 % 1280, 300, 50, 120)] if step % 3 == 0 else []
        if step % 11 == 0:
            boxes.append(Box(rng.randrange(1200), rng.randrange(250), 20, 30))
        tracker(boxes, step / 10)
        if step % 10_000 == 9_999:
            sizes.append(len(pickle.dumps(tracker)))
    assert max(sizes) < 5_000


@settings(max_examples=40)
@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 10_000))
def test_the_assignment_is_the_cheapest_of_all(rows: int, columns: int, seed: int) -> None:
    rng, miss = random.Random(seed), 5.0
    costs = {(r, c): rng.uniform(-4, 9) for r in range(rows) for c in range(columns) if rng.random() < 0.6}
    found = assign(costs, miss)
    assert len(set(found.values())) == len(found)
    total = sum(costs[pair] for pair in found.items()) + miss * (rows - len(found))
    places = [*range(columns), *([-1] * rows)]
    best = min(sum(costs.get((r, c), miss) for r, c in enumerate(order)) for order in set(permutations(places, rows)))
    assert total == pytest.approx(best)


def test_a_prediction_is_surer_the_longer_somebody_was_seen_and_less_sure_the_longer_not() -> None:
    motion = Motion(Box(100, 300, WIDTH, HEIGHT))

    def surprise(way: float) -> float:
        return motion.surprise(motion.x + way, motion.y, motion.height)

    for step in range(1, 30):
        motion.predict(0.1)
        motion.update(Box(100 + 9 * step, 300, WIDTH, HEIGHT))
    assert motion.vx == pytest.approx(90, rel=0.15)
    assert centre(motion.box)[0] == pytest.approx(100 + 9 * 29 + WIDTH / 2, abs=6)
    seen = surprise(60)
    motion.predict(0.1)
    near = surprise(60)
    motion.predict(2.0)
    assert seen > near > surprise(60) > 0
    assert 0 < motion.vx < 90, "nobody walks straight on for ever"


def test_one_long_step_is_as_many_short_ones() -> None:
    long, short = Motion(Box(0, 0, 50, 100)), Motion(Box(0, 0, 50, 100))
    for motion in (long, short):
        motion.vx = 40.0
    long.predict(0.5)
    for _ in range(10):
        short.predict(0.05)
    assert long.x == pytest.approx(short.x)
    assert long.surprise(99, 50, 100) == pytest.approx(short.surprise(99, 50, 100), rel=0.15)


def test_looks_tell_jackets_apart_and_a_box_outside_the_frame_has_some() -> None:
    frame = Scene((walker(300, 0), RED), (walker(600, 0), BLUE)).frame(0)
    red, blue = looks(frame, [Box(300, 300, WIDTH, HEIGHT), Box(600, 300, WIDTH, HEIGHT)])
    assert (red**2).sum() == pytest.approx(1)
    assert unlikeness(red, red) < 0 < unlikeness(red, blue)
    assert unlikeness(blend(red, blue), red) < 0, "one look changes little"
    outside = [Box(-400, 0, 50, 50), Box(1270, 700, 100, 100), Box(5, 5, 1, 1), Box(0, 900, 10, 10)]
    assert [(look**2).sum() for look in looks(frame, outside)] == pytest.approx([1] * 4)
