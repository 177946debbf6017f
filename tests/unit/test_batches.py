"""Batches on their way through the network: the next is there while one is calculated, and answers come in order."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from runners.edge.backends import open_backend
from runners.edge.bell import Bell
from runners.edge.camera.camera import Counts
from runners.edge.camera.slot import Frame
from runners.edge.program import classifier as classifier_module
from runners.edge.program.classifier import Classifier
from runners.edge.program.costs import Costs
from runners.edge.program.rounds import Busiest, Due, Rounds
from runners.edge.program.stop import Stop
from runners.edge.program.view import View
from runners.edge.program.watching import Watch
from tests import clips
from tests.graphs import Array
from tests.waiting import until

RATE = clips.RATE
MOVING = round(clips.COME_S * RATE)  # the number of the frame in which both squares come


class Held:
    """A runtime that answers each batch when it is told to, red for everything."""

    def __init__(self, at_once: int) -> None:
        self.at_once = at_once
        self.batches: list[Array] = []
        self.may = [threading.Event() for _ in range(100)]
        self.warm = 0  # batches of nothing, before the first that is asked about
        self.first_was_alone = False

    def infer(self, batch: Array) -> Array:
        if not batch.any():
            self.warm += 1
            time.sleep(0.05)
            self.first_was_alone |= self.warm == 1
            return np.zeros((len(batch), 3), np.float32)
        number = len(self.batches)
        self.batches.append(batch.copy())
        assert self.may[number].wait(30)
        return np.tile(np.array([0, 9, number], np.float32), (len(batch), 1))

    def wait_for(self, count: int) -> None:
        """Two threads that each have a batch may come here in any order."""
        until(lambda: len(self.batches) >= count)

    def facts(self) -> dict[str, Any]:
        return {}

    def close(self) -> None:
        pass


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return clips.bundle(tmp_path / "openvino")


@pytest.fixture(params=[1, 2])
def held(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Held:
    held = Held(request.param)
    monkeypatch.setattr(classifier_module, "open_backend", lambda *given: held)
    return held


@pytest.fixture
def classifier(held: Held, bundle: Path) -> Iterator[Classifier]:
    found = Classifier(str(bundle), 4, Bell(), threads=1)
    yield found
    for event in held.may:
        event.set()
    found.close()


def view_of(number: int) -> View:
    """Of the film, behind so many of its frames."""
    view = View("door", clips.CLASSES, 1.0, Costs(), lambda event, **facts: None)
    for before in range(number):
        show(view, before)
    return view


def show(view: View, number: int) -> None:
    view.see(clips.frame(clips.picture(number / RATE), number, number / RATE), 100 + number / RATE)


def test_answers_come_in_the_order_asked_whichever_is_done_first(held: Held, classifier: Classifier) -> None:
    regions = [np.full((1, 3, clips.SIZE, clips.SIZE), value, np.float32) for value in (1, 2)]
    for batch in regions:
        assert classifier.is_free
        classifier.start(batch)
        held.wait_for(1)
    assert not classifier.is_free
    held.wait_for(held.at_once)
    held.may[1].set()
    if held.at_once == 2:
        until(lambda: classifier._asked[1].done)
    assert classifier.answer() is None
    held.may[0].set()
    assert [classifier.wait().scores[0][2] for _ in regions] == [0, 1]
    assert [batch[0, 0, 0, 0] for batch in held.batches] == [1, 2]


def test_the_first_batch_of_all_is_calculated_alone(held: Held, classifier: Classifier) -> None:
    """OpenVINO 2026.4 hung in 2 of some 20 starts where two threads calculated their first batches at once."""
    assert held.first_was_alone
    assert held.warm == held.at_once + classifier_module.WARM * classifier_module.AHEAD


def test_what_is_cut_next_changes_no_batch_that_the_network_has(held: Held, classifier: Classifier) -> None:
    view = view_of(MOVING + 10)
    rounds = Rounds(classifier, Busiest(4), Costs())
    wanted: list[Array] = []
    for number in range(6):
        show(view, MOVING + 10 + number)
        rounds.ask([view])
        held.wait_for(number + 1 if held.at_once == 2 else max(number, 1))
        wanted.append(rounds._asked[-1].batch.copy())
        if number:
            assert not rounds.is_free
            np.testing.assert_array_equal(rounds._asked[0].batch, wanted[-2])
            held.may[number - 1].set()
            rounds.make_room()
    held.may[5].set()
    rounds.finish()
    assert rounds.regions == 24
    np.testing.assert_array_equal(held.batches, wanted)


def test_a_track_that_the_network_looks_at_is_asked_about_once(held: Held, classifier: Classifier) -> None:
    view = view_of(MOVING + 10)
    rounds = Rounds(classifier, Due(4), Costs())
    rounds.ask([view])
    assert rounds.regions == 2, "both squares"
    show(view, MOVING + 10)
    rounds.ask([view])
    assert rounds.regions == 2
    assert rounds.is_free
    held.may[0].set()
    rounds.finish()
    assert rounds.is_idle
    show(view, MOVING + 15)
    rounds.ask([view])
    assert rounds.regions == 4
    held.may[1].set()
    rounds.finish()


class Door:
    """A camera with a new frame whenever it is asked, and models of which another waits from some time on."""

    name, spent, is_over = "door", SimpleNamespace(cpu_s=0.0, peak_memory_mib=0.0), False
    counts = Counts(1, 1, 0, 0, 0)

    def __init__(self) -> None:
        self.number = MOVING + 10
        self.waits: Classifier | None = None

    def newest(self) -> Frame:
        self.number += 1
        return clips.frame(clips.picture(self.number / RATE), self.number, 100 + self.number)

    def news(self) -> list[Any]:
        return []

    @property
    def has_fresh(self) -> bool:
        return self.waits is not None

    def fresh(self) -> Classifier | None:
        waits, self.waits = self.waits, None
        return waits


def test_a_network_that_is_always_busy_is_asked_no_more_once_another_waits(
    held: Held, classifier: Classifier, bundle: Path
) -> None:
    bell, door = Bell(), Door()
    watch = Watch(
        [cast(Any, door)], bell, Stop(bell), classifier, 4, lambda event, **facts: None, models=cast(Any, door)
    )
    watch._rounds._choose = Busiest(4)
    for asked in (1, 2, 2, 2):
        watch._round()
        held.wait_for(1)
        assert len(watch._rounds._asked) == asked
    door.waits = Classifier(str(bundle), 4, bell, threads=1)
    for left in (1, 0):
        held.may[1 - left].set()
        until(lambda: classifier._asked[0].done)
        assert watch._classifier is classifier
        watch._round()
        assert len(watch._rounds._asked) == (left or 1), "the first batch for the other network"
    assert watch._classifier is not classifier
    assert not door.has_fresh
    held.may[2].set()
    watch._rounds.finish()
    watch._classifier.close()


def test_openvino_keeps_the_answers_of_two_batches_apart(bundle: Path) -> None:
    runtime = open_backend(str(bundle), threads=2, most=4)
    assert runtime.at_once == 2
    numbers = np.random.default_rng(0)
    batches = [numbers.random((4, 3, clips.SIZE, clips.SIZE), np.float32) for _ in range(2)]
    alone = [runtime.infer(batch) for batch in batches]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(runtime.infer, batches * 200))
    for number, answers in enumerate(found):
        np.testing.assert_array_equal(answers, alone[number % 2])
    runtime.close()
