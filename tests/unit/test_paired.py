"""How sure a drop is: the interval holds the truth as often as it says, and a verdict waits for enough samples."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from pipeline.records.gates import AT_LEAST, Quantity, Value, judge
from pipeline.records.paired import Paired, kept, paired

TEST_SAMPLES = 560  # about as many as of the default clip


@cache
def interval(lost: int, won: int, n: int) -> tuple[float, float]:
    return Paired(lost=lost, won=won, n=n).interval(0.9)


def coverage_percent(n: int, loses: float, wins: float) -> float:
    """How often the interval holds the true drop: the sum over all outcomes, each with its probability."""
    covered = 0.0
    for lost in range(int(binom.ppf(1e-6, n, loses)), int(binom.ppf(1 - 1e-6, n, loses)) + 1):
        rest, share = n - lost, wins / (1 - loses)
        for won in range(int(binom.ppf(1e-6, rest, share)), int(binom.ppf(1 - 1e-6, rest, share)) + 1):
            low, high = interval(lost, won, n)
            if low <= 100 * (loses - wins) <= high:
                covered += float(binom.pmf(lost, n, loses) * binom.pmf(won, rest, share))
    return 100 * covered


@pytest.mark.parametrize(
    ("loses", "wins"), [(0.01, 0.005), (0.02, 0.005), (0.03, 0.01), (0.03, 0.03), (0.06, 0.02), (0.1, 0.1)]
)
def test_an_interval_of_90_percent_holds_the_true_drop_in_88_to_93_percent_of_all_test_sets(
    loses: float, wins: float
) -> None:
    assert 88 <= coverage_percent(TEST_SAMPLES, loses, wins) <= 93


def test_where_samples_come_in_groups_the_design_effect_keeps_the_coverage() -> None:
    """People of whom all regions change together, or none: 14 regions each of 40 people."""
    people, regions, loses, trials = 40, 14, 0.15, 1500
    generator = np.random.default_rng(0)
    groups = np.repeat(np.arange(people), regions)
    held, naive = 0, 0
    for _ in range(trials):
        wrong = np.repeat(generator.random(people) < loses, regions)
        found = paired(np.ones_like(wrong), ~wrong, groups)
        low, high = found.interval(0.9)
        held += low <= 100 * loses <= high
        low, high = found.model_copy(update={"design_effect": 1.0}).interval(0.9)
        naive += low <= 100 * loses <= high
    assert 87 <= 100 * held / trials <= 95
    assert 100 * naive / trials < 60  # what taking regions of one person for independent samples would claim


def test_all_that_hangs_together_tells_no_more_than_one_answer() -> None:
    """Nobody knows how another picture, or another person, would have fared."""
    before = np.ones((1, 10_000), np.bool_)
    after = before.copy()
    after[0, :100] = False
    picture, person = paired(before, after), paired(before[0], after[0], np.zeros(10_000, np.int64))
    alone = Paired(lost=0, won=0, n=1).interval()
    for found in (picture, person, paired(before, before)):
        assert found.design_effect == 10_000
        assert found.interval()[1] >= alone[1] - 1, "far from the limit of 2 points, whatever was found"
    assert paired(before[:, :1], after[:, 5:6]).design_effect == 1


counts = st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(0, 2000)).filter(lambda found: sum(found) > 0)


@given(counts, st.floats(0.5, 0.99))
def test_the_interval_holds_the_drop_that_was_found_and_grows_with_the_confidence(
    found: tuple[int, int, int], confidence: float
) -> None:
    drop = Paired(lost=found[0], won=found[1], n=sum(found))
    low, high = drop.interval(confidence)
    wide_low, wide_high = drop.interval(0.995)
    assert -100 <= wide_low <= low + 1e-9
    assert low <= drop.drop_points + 1e-9
    assert drop.drop_points <= high + 1e-9
    assert high <= wide_high + 1e-9 <= 100 + 1e-9


@given(counts)
def test_gains_are_losses_seen_from_the_other_side(found: tuple[int, int, int]) -> None:
    lost, won, same = found
    drop, gain = (Paired(lost=a, won=b, n=lost + won + same) for a, b in ((lost, won), (won, lost)))
    low, high = drop.interval()
    assert gain.interval() == pytest.approx((-high, -low), abs=1e-6)


@given(counts, st.floats(-5, 20))
def test_the_certainty_of_a_limit_and_the_interval_agree(found: tuple[int, int, int], limit: float) -> None:
    drop = Paired(lost=found[0], won=found[1], n=sum(found))
    low, high = drop.interval(0.9)
    if high < limit - 1e-6:
        assert drop.certainty(limit) >= 0.95 - 1e-6
    elif low > limit + 1e-6:
        assert drop.certainty(limit) <= 0.05 + 1e-6


def test_so_many_samples_would_do() -> None:
    drop = Paired(lost=6, won=2, n=560)  # 0.71 points of 2
    assert drop.interval(0.9)[1] < 2.0
    assert drop.needed(2.0, 0.9) == 560
    short = Paired(lost=3, won=1, n=280)
    needed = short.needed(2.0, 0.9)
    assert needed is not None
    assert 280 < needed < 560
    times = needed / 280
    assert Paired(lost=round(3 * times), won=round(times), n=needed).interval(0.9)[1] < 2.5
    assert Paired(lost=8, won=0, n=400).needed(2.0, 0.9) is None  # exactly at the limit


def test_answers_are_paired_one_by_one() -> None:
    before = np.array([True, True, True, False, False])
    after = np.array([True, False, False, True, False])
    assert paired(before, after) == Paired(lost=2, won=1, n=5)
    labels = np.array([0, 1, 2, -1])
    assert kept(labels, np.array([0, 1, 1, -1])) == Paired(lost=2, won=0, n=4)  # no answer is never the same answer


def test_pixels_of_one_picture_tell_less_than_as_many_pictures() -> None:
    before = np.ones((20, 100), np.bool_)
    after = before.copy()
    after[:3] = False
    found = paired(before, after)
    assert (found.lost, found.n) == (300, 2000)
    assert found.design_effect == pytest.approx(100, rel=0.1)
    alone = Paired(lost=3, won=0, n=20).interval()
    assert found.interval() == pytest.approx(alone, abs=1.5)


def test_counts_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="3 lost and 3 won of 5"):
        Paired(lost=3, won=3, n=5)


# --- the gate ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "interval", "verdict"),
    [
        ("accuracy_drop_points", (0.5, 1.9), "pass"),
        ("accuracy_drop_points", (0.5, 2.1), "not_measured"),
        ("accuracy_drop_points", (2.1, 4.0), "fail"),
        ("frames_per_s", (0.5, 1.9), "fail"),
        ("frames_per_s", (0.5, 2.1), "not_measured"),
        ("frames_per_s", (2.0, 4.0), "pass"),
    ],
)
def test_a_verdict_needs_the_whole_interval_where_a_confidence_is_asked_for(
    name: Quantity, interval: tuple[float, float], verdict: str
) -> None:
    value = Value(sum(interval) / 2, interval=interval)
    [check] = judge({name: value}, {name: 2.0}, certain=True)
    assert (check.verdict, check.uncertain) == (verdict, verdict == "not_measured")
    [check] = judge({name: value}, {name: 2.0})
    assert check.verdict == ("pass" if (value.value >= 2) == (name in AT_LEAST) else "fail")  # type: ignore[operator]
    assert not check.uncertain
