import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from search.leaderboard.statistics import (
    CONFIDENCE,
    Difference,
    Interval,
    Verdict,
    holm,
    outperforming,
    paired_difference,
    t_estimate,
    welch_difference,
    wilson_interval,
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
    ours, theirs = np.array([0.5, 0.7, 0.6]), np.array([0.9, 1.0, 1.2])
    expected = stats.ttest_rel(ours, theirs).confidence_interval(CONFIDENCE)
    found = paired_difference((ours - theirs).tolist())
    assert found.paired
    assert found.interval is not None
    assert (found.interval.low, found.interval.high) == pytest.approx((expected.low, expected.high))


def test_welch_interval_is_that_of_scipy() -> None:
    test = stats.ttest_ind(OURS, THEIRS, equal_var=False)
    expected = test.confidence_interval(CONFIDENCE)
    found = welch_difference(OURS, THEIRS)
    assert not found.paired
    assert found.p == pytest.approx(test.pvalue)
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


def test_wilsons_interval_is_that_of_scipy() -> None:
    expected = stats.binomtest(4, 1000).proportion_ci(CONFIDENCE, method="wilson")
    found = wilson_interval(0.004, 1000, np.inf)
    assert (found.low, found.high) == pytest.approx((100 * expected.low, 100 * expected.high))


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_share_of_nothing_or_everything_has_an_interval_within_bounds(share: float) -> None:
    found = wilson_interval(share, 500, 9)
    assert 0.0 <= found.low < found.high <= 100.0
    assert found.contains(100.0 * share)


def test_bounds_cut_an_interval() -> None:
    assert t_estimate([0.1, 0.4], within=(0.0, 100.0)).interval.low == 0.0


def test_holm_is_that_of_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_adjusts_between_each_p_and_bonferronis(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    assert all(p <= found <= min(1.0, len(p_values) * p) for p, found in zip(p_values, adjusted, strict=True))


def test_outperforming_is_the_share_of_pairs() -> None:
    assert outperforming([0.4, 0.5], [0.5, 0.6]) == (1 + 1 + 0.5 + 1) / 4
    assert outperforming(OURS, THEIRS) == 1.0


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-0.3, -0.1, Verdict.LOWER),
        (-0.08, -0.01, Verdict.LOWER),
        (0.02, 0.2, Verdict.HIGHER),
        (-0.3, 0.02, Verdict.UNDECIDED),
        (-0.04, 0.05, Verdict.EQUIVALENT),
        (-0.04, -0.01, Verdict.EQUIVALENT),
    ],
)
def test_verdicts_given_a_region_of_practical_equivalence(low: float, high: float, expected: Verdict) -> None:
    difference = Difference(mean=(low + high) / 2, interval=Interval(low, high), paired=True)
    assert difference.verdict(0.05) is expected
    assert Difference(mean=low, interval=None, paired=True).verdict(0.05) is Verdict.UNDECIDED


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


@given(st.lists(st.floats(0, 100), min_size=1, max_size=6), st.lists(st.floats(0, 100), min_size=1, max_size=6))
def test_a_difference_turned_round_changes_its_sign(ours: list[float], theirs: list[float]) -> None:
    there, back = welch_difference(ours, theirs), welch_difference(theirs, ours)
    assert there.mean == pytest.approx(-back.mean)
    assert there.is_tie == back.is_tie
    assert there.outperforming == pytest.approx(1 - back.outperforming)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_intervals_cover_the_true_mean_as_often_as_they_say(n: int) -> None:
    """4,000 draws of n seeds; coverage within 4 sigma of 95 %, a false alarm in 16,000 draws of the seed."""
    draws, generator = 4_000, np.random.default_rng(n)
    intervals = [t_estimate(values).interval for values in generator.normal(0.5, 0.05, (draws, n)).tolist()]
    coverage = np.mean([interval is not None and interval.contains(0.5) for interval in intervals])
    sigma = np.sqrt(CONFIDENCE * (1 - CONFIDENCE) / draws)
    assert abs(coverage - CONFIDENCE) < 4 * sigma
