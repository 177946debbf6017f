"""A track's class is decided over several regions: seldom wrong, never in haste, and it does not flicker."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runners.edge.tracking.decision import CORRELATED_S, ENTER, LEAST_LOOKS, LEAVE, Answer, Decision
from runners.edge.tracking.reading import calibrated_temperature, cross_entropy, log_likelihoods

EMPTY, BAG = np.array([0.0, 4.0, 0.0]), np.array([0.0, 0.0, 4.0])  # scores of regions that show somebody so


def looked(scores: np.ndarray, seconds: float, every_s: float, decision: Decision | None = None) -> Decision:
    decision = decision or Decision(3, 0.0)
    start = decision.answer.since_s if decision.answer.label is None else decision.due_s
    for number in range(round(seconds / every_s)):
        decision.look(scores, start + (number + 1) * every_s)
    return decision


def test_a_bag_is_decided_after_several_regions_and_the_answer_says_since_when() -> None:
    decision = Decision(3, 10.0)
    assert decision.answer.label is None
    answers = [decision.look(BAG, 10.0 + 0.2 * number) for number in range(20)]
    first = next(number for number, answer in enumerate(answers) if answer.label is not None)
    assert LEAST_LOOKS - 1 <= first <= 5, "the latency that the docs name"
    assert all(answer.label is None for answer in answers[:first])
    assert all(answer.label == 2 and answer.since_s == 10.0 + 0.2 * first for answer in answers[first:])
    assert answers[-1].confidence > answers[first].confidence >= ENTER


def test_no_single_region_decides_however_sure_the_network_is() -> None:
    decision = Decision(3, 0.0)
    assert decision.look(1000 * BAG, 0.0).label is None
    assert decision.look(1000 * BAG, 0.1).label is None, "two at once are hardly more than one"
    assert decision.look(1000 * BAG, 0.2).label is None, "and so are three"
    decision = Decision(3, 0.0)
    assert [decision.look(1000 * BAG, 3.0 * number).label for number in range(LEAST_LOOKS)] == [None, None, 2]


def test_one_contrary_region_changes_nothing_and_many_do() -> None:
    decision = looked(EMPTY, 6, 0.5)
    decided = decision.answer
    assert decided.label == 1
    assert decision.look(BAG, 7.0)[::2] == decided[::2], "the bag of somebody who passes by"
    turned = [decision.look(BAG, 8.0 + number) for number in range(6)]
    assert turned[-1].label == 2
    assert turned[-1].since_s > 8.0
    assert len({answer.label for answer in turned}) <= 3, "decided, undecided, decided: no to and fro"


def test_between_the_thresholds_the_answer_stays() -> None:
    decision = looked(EMPTY, 6, 0.5)
    unsure = np.zeros(3)
    for number in range(2000):
        decision.look(unsure, 6.0 + number)
        if decision.answer.label is None:
            break
        assert decision.answer.confidence >= LEAVE
        assert decision.answer.since_s < 6.0
    assert decision.answer.label is None, "what was seen long ago is not known for ever"
    assert number > 20


def test_alternating_regions_give_no_alternating_answers() -> None:
    decision = Decision(3, 0.0)
    labels = [decision.look((EMPTY, BAG)[number % 2], 0.2 * number).label for number in range(200)]
    assert sum(a != b for a, b in itertools.pairwise(labels)) <= 1


def test_looking_three_times_as_often_makes_it_hardly_surer() -> None:
    """Thirty regions of a second say as much as ten, since they show the same."""
    rates = [
        math.log(d.answer.confidence / (1 - d.answer.confidence)) for d in (looked(BAG, 2, 0.1), looked(BAG, 2, 1 / 30))
    ]
    assert rates[1] == pytest.approx(rates[0], rel=0.1)


def test_decisions_are_as_seldom_wrong_as_they_say_although_mistakes_come_in_rows() -> None:
    """Scores whose errors are correlated over CORRELATED_S, as a real network's are, by an AR(1) process."""
    rng = np.random.default_rng(0)
    every_s = 0.2
    kept = math.exp(-every_s / CORRELATED_S)
    right = wrong = 0
    for _ in range(300):
        truth, error, decision = int(rng.integers(1, 3)), rng.standard_normal(), Decision(3, 0.0)
        for number in range(25):
            error = kept * error + math.sqrt(1 - kept * kept) * rng.standard_normal()
            # One region in eight is wrong; the scores are honest about it: their log-odds are calibrated.
            margin = (2.65 + 2.3 * error) * (1 if truth == 2 else -1)
            decision.look(np.array([-9.0, 0.0, margin]), every_s * number)
        right, wrong = right + (decision.answer.label == truth), wrong + (decision.answer.label == 3 - truth)
    assert wrong / (right + wrong) <= 1 - ENTER
    assert right / 300 > 0.85


@settings(max_examples=25)
@given(st.lists(st.tuples(st.floats(0, 5), st.lists(st.floats(-50, 50), min_size=3, max_size=3)), max_size=10))
def test_the_confidence_is_one_and_the_time_never_later_than_now(looks: list[tuple[float, list[float]]]) -> None:
    decision, now = Decision(3, 0.0), 0.0
    for step, scores in looks:
        now += step
        answer = decision.look(np.array(scores), now)
        assert isinstance(answer, Answer)
        assert 1 / 3 <= answer.confidence <= 1 or answer.label is not None
        assert answer.since_s <= now < decision.due_s


def test_the_temperature_that_a_network_was_scaled_by_is_found_again() -> None:
    rng = np.random.default_rng(1)
    honest = rng.normal(0, 2, (2000, 3))
    labels = np.array([rng.choice(3, p=np.exp(row) / np.exp(row).sum()) for row in honest])
    for scale in (0.5, 1.0, 3.0):
        assert calibrated_temperature(honest * scale, labels) == pytest.approx(scale, rel=0.15)
    assert cross_entropy(np.zeros((5, 3)), labels[:5]) == pytest.approx(math.log(3))


def test_a_region_is_evidence_for_what_it_shows_and_bounded() -> None:
    evidence = log_likelihoods(1000 * BAG)
    assert evidence.argmax() == 2
    assert evidence.max() - evidence.min() == pytest.approx(math.log(0.9 / 0.05))
    assert np.ptp(log_likelihoods(np.zeros(3))) == 0
    assert np.ptp(log_likelihoods(BAG, 10.0)) < np.ptp(log_likelihoods(BAG, 1.0))


@pytest.mark.parametrize("none", [math.nan, math.inf, -math.inf])
def test_scores_that_are_no_numbers_say_nothing(none: float) -> None:
    decision = looked(EMPTY, 6, 0.5)
    decided = decision.answer
    assert decision.look(np.array([none, 0.0, 0.0]), 6.5).label == decided.label == 1
    turned = [decision.look(BAG, 8.0 + number) for number in range(6)]
    assert turned[-1].label == 2
