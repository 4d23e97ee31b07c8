import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from search.leaderboard.statistics import (
    CONFIDENCE,
    Interval,
    paired_difference,
    seed_difference,
    t_estimate,
    welch_difference,
)

OURS, THEIRS = [0.52, 0.50, 0.55, 0.49], [1.03, 1.00, 1.07]


def test_interval_of_a_mean_is_that_of_scipy() -> None:
    found = t_estimate(OURS)
    expected = stats.ttest_1samp(OURS, 0.0).confidence_interval(CONFIDENCE)
    assert found.mean == pytest.approx(np.mean(OURS))
    assert found.n == 4
    assert found.interval is not None
    assert (found.interval.low, found.interval.high) == pytest.approx((expected.low, expected.high))


def test_paired_interval_is_that_of_scipy() -> None:
    ours, theirs = {1: 0.5, 2: 0.7, 3: 0.6}, {1: 0.9, 2: 1.0, 3: 1.2}
    expected = stats.ttest_rel(list(ours.values()), list(theirs.values())).confidence_interval(CONFIDENCE)
    found = seed_difference(ours, theirs)
    assert found.paired
    assert found.interval is not None
    assert (found.interval.low, found.interval.high) == pytest.approx((expected.low, expected.high))


def test_welch_interval_is_that_of_scipy() -> None:
    expected = stats.ttest_ind(OURS, THEIRS, equal_var=False).confidence_interval(CONFIDENCE)
    found = welch_difference(OURS, THEIRS)
    assert not found.paired
    assert found.interval is not None
    assert (found.interval.low, found.interval.high) == pytest.approx((expected.low, expected.high))


def test_one_seed_has_no_interval() -> None:
    assert t_estimate([0.5]).interval is None
    assert welch_difference([0.5], THEIRS).interval is None
    assert welch_difference([0.5], THEIRS).is_tie


@pytest.mark.parametrize("values", [[0.8, 0.8, 0.8], [0.1 + 0.2, 0.3]])
def test_no_spread_has_no_interval_rather_than_one_of_zero_width(values: list[float]) -> None:
    assert t_estimate(values).interval is None
    assert welch_difference(values, values).interval is None


def test_runs_are_paired_by_seed_whatever_their_order() -> None:
    found = seed_difference({2: 0.7, 1: 0.5}, {1: 0.4, 2: 0.5, 3: 9.0})
    assert found == paired_difference([0.5 - 0.4, 0.7 - 0.5])


def test_one_shared_seed_is_too_few_to_pair() -> None:
    assert not seed_difference({1: 0.5, 2: 0.6}, {1: 0.9, 3: 1.0}).paired


def test_a_tie_is_an_interval_that_holds_zero() -> None:
    assert seed_difference({1: 0.5, 2: 0.7, 3: 0.6}, {1: 0.6, 2: 0.5, 3: 0.7}).is_tie
    assert not seed_difference({1: 0.50, 2: 0.51, 3: 0.52}, {1: 0.90, 2: 0.91, 3: 0.93}).is_tie


def test_half_width_and_ends() -> None:
    interval = Interval(0.5, 0.7)
    assert interval.half_width == pytest.approx(0.1)
    assert interval.contains(0.5)
    assert interval.contains(0.7)
    assert not interval.contains(0.71)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=8))
def test_an_interval_lies_around_its_mean(values: list[float]) -> None:
    found = t_estimate(values)
    assert found.interval is None or found.interval.low < found.mean < found.interval.high


@given(
    st.dictionaries(st.integers(0, 5), st.floats(0, 100), min_size=1),
    st.dictionaries(st.integers(0, 5), st.floats(0, 100), min_size=1),
)
def test_a_difference_turned_round_changes_its_sign(ours: dict[int, float], theirs: dict[int, float]) -> None:
    there, back = seed_difference(ours, theirs), seed_difference(theirs, ours)
    assert there.mean == pytest.approx(-back.mean)
    assert there.is_tie == back.is_tie


@pytest.mark.parametrize("n", [2, 3, 5])
def test_intervals_cover_the_true_mean_as_often_as_they_say(n: int) -> None:
    """4,000 draws of n seeds; coverage within 4 sigma of 95 %, a false alarm in 16,000 draws of the seed."""
    draws, generator = 4_000, np.random.default_rng(n)
    intervals = [t_estimate(values).interval for values in generator.normal(0.5, 0.05, (draws, n)).tolist()]
    coverage = np.mean([interval is not None and interval.contains(0.5) for interval in intervals])
    sigma = np.sqrt(CONFIDENCE * (1 - CONFIDENCE) / draws)
    assert abs(coverage - CONFIDENCE) < 4 * sigma


def test_equal_configurations_tie_at_the_nominal_rate() -> None:
    """Paired runs with a shared part by seed; coverage of a zero difference within 4 sigma of 95 %."""
    draws, generator = 4_000, np.random.default_rng(0)
    shared = generator.normal(0.5, 0.1, (draws, 3))
    own = generator.normal(0.0, 0.05, (2, draws, 3))
    pairs = zip((shared + own[0]).tolist(), (shared + own[1]).tolist(), strict=True)
    ties = np.mean([seed_difference(dict(enumerate(a)), dict(enumerate(b))).is_tie for a, b in pairs])
    sigma = np.sqrt(CONFIDENCE * (1 - CONFIDENCE) / draws)
    assert abs(ties - CONFIDENCE) < 4 * sigma
