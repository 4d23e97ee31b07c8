"""Ranks and paired tests, with both tests that comparisons use."""

import numpy as np
import pytest
from scipy import stats

from search.compare.compute import PAIRED_T, TEST_ERROR
from search.compare.paired_tests import group_ties, paired_tests, rank, rank_engines, wilcoxon_p
from search.compare.results import PairedTest

WILCOXON = PairedTest(name="Wilcoxon", units="tables", p_value=wilcoxon_p)
A, B, C = "a", "b", "c"


def by_unit(values) -> dict[int, float]:
    return dict(enumerate(values))


def test_engines_are_compared_unit_by_unit() -> None:
    first, second = (0.2, 0.5, 0.8, 0.3, 0.4, 0.6), (0.301, 0.6, 0.899, 0.4, 0.502, 0.7)
    (pair,) = paired_tests({A: by_unit(first), B: by_unit(second)}, PAIRED_T)
    assert (pair.first, pair.is_tie) == (A, False)
    assert pair.p == pytest.approx(stats.ttest_rel(first, second).pvalue)
    (crossed,) = paired_tests({A: by_unit(first), B: by_unit(reversed(second))}, PAIRED_T)
    assert crossed.is_tie


@pytest.mark.parametrize("test", [PAIRED_T, WILCOXON])
def test_equal_scores_tie(test: PairedTest) -> None:
    comparison = rank({engine: by_unit((0.5, 0.6, 0.7, 0.5, 0.6, 0.7)) for engine in (A, B)}, TEST_ERROR, test)
    assert comparison.pairs[0].difference.mean == pytest.approx(0.0)
    assert [(place.rank, place.ties) for place in comparison.engines] == [(1, 1), (1, 1)]


@pytest.mark.parametrize("test", [PAIRED_T, WILCOXON])
def test_all_pairs_are_tested_from_six_units_on(test: PairedTest) -> None:
    scores = {C: (0.9, 0.8, 0.9, 0.7, 0.8, 0.9), A: (0.1, 0.2, 0.1, 0.2, 0.1, 0.3), B: (0.5, 0.4, 0.6, 0.5, 0.5, 0.5)}
    for count in (5, 6):
        pairs = paired_tests({engine: by_unit(values[:count]) for engine, values in scores.items()}, test)
        assert [(pair.first, pair.second) for pair in pairs] == [(A, B), (A, C), (B, C)]
        assert [pair.p is None for pair in pairs] == [count == 5] * 3


def test_wilcoxon_s_p_is_1_where_the_ranks_favour_the_other_engine() -> None:
    mostly_worse = [0.1] * 9 + [-5.0]
    assert sum(mostly_worse) < 0
    assert wilcoxon_p(mostly_worse) == 1.0
    better = [-0.1 * number for number in range(1, 10)]
    assert wilcoxon_p(better) == pytest.approx(stats.wilcoxon(better).pvalue)
    assert wilcoxon_p([0.0, 0.0]) == 1.0


def test_equal_engines_rarely_differ() -> None:
    """Alpha 0.05, 2,000 draws, within five sigma."""
    random, draws, alarms = np.random.default_rng(0), 2000, 0
    for _ in range(draws):
        both = random.normal(1.0, 0.1, size=(2, 6)) + random.normal(0, 0.2, size=6)
        (pair,) = paired_tests({A: by_unit(both[0]), B: by_unit(both[1])}, PAIRED_T)
        alarms += not pair.is_tie
    sigma = (0.05 * 0.95 / draws) ** 0.5
    assert abs(alarms / draws - 0.05) < 5 * sigma


def test_units_that_another_engine_lacks_do_not_decide() -> None:
    """The mean of a is lower only for repeats that b did not run; on those that both ran, b is better."""
    a = {0: 1.10, 1: 1.21, 2: 1.30, 3: 0.1, 4: 0.1}
    b = {0: 1.00, 1: 1.10, 2: 1.20}
    assert rank_engines({"a": a, "b": b}) == ["b", "a"]
    (pair,) = paired_tests({"a": a, "b": b}, PAIRED_T)
    assert (pair.first, pair.n, pair.difference.mean < 0) == ("b", 3, True)


def test_engines_without_a_score_or_a_common_unit_are_not_tested() -> None:
    comparison = rank({C: {}, A: {0: 0.5}, B: {1: 0.6}}, TEST_ERROR, PAIRED_T)
    assert [(place.engine, place.rank) for place in comparison.engines] == [(A, 1), (B, 1), (C, None)]
    assert comparison.pairs == ()


def test_a_tie_with_the_first_shares_its_rank_across_an_engine_between_them() -> None:
    scores = {"a": (0.50, 0.52, 0.48), "b": (0.551, 0.569, 0.53), "c": (0.4, 0.97, 0.45)}
    scores = {engine: by_unit(values * 2) for engine, values in scores.items()}
    assert group_ties(rank_engines(scores), paired_tests(scores, PAIRED_T)) == [["a", "c"], ["b"]]
