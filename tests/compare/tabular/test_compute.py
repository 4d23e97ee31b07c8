"""The results, on chosen regrets with a known best and a known tie."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import stats

from search.compare.tabular.compute import TabularComparison, compute
from search.compare.tabular.report import result_sentences
from tests.compare.tabular.simulated import BEST, FINALS, TIE, WORSE, make_runs, make_spec, simulated


def p_values(result: TabularComparison) -> list[float | None]:
    pairs = [place.pair_with_best for place in result.comparison.engines]
    return [pair.p_adjusted if pair else None for pair in pairs]


def test_an_engine_behind_on_every_table_differs_and_one_level_ties() -> None:
    result = simulated(FINALS)
    assert [(place.engine, place.rank) for place in result.comparison.engines] == [(BEST, 1), (TIE, 1), (WORSE, 3)]
    best, tie, worse = result.comparison.engines
    assert best.pair_with_best is None
    assert tie.pair_with_best.is_tie
    assert worse.pair_with_best.p_adjusted == pytest.approx(3 * 2 / 2**8)  # every table, and three pairs
    assert not worse.pair_with_best.is_tie
    assert result.mean_ranks == {BEST: 1.5, TIE: 1.5, WORSE: 3.0}
    assert result.seconds_per_trial[BEST] == pytest.approx(0.002)
    assert result.comparison.test.units == "tables"
    summary = " ".join(result_sentences(result))
    assert "Lowest mean: optuna:tpe" in summary
    assert "ties with optuna:nsga2 (" in summary
    assert "better than optuna:random (-0.1800, p = 0.023)" in summary


def test_regrets_are_means_over_tables_with_student_s_interval() -> None:
    result = simulated(FINALS)
    assert result.trial_counts == (25, 50, 100)
    means = [0.01 * (table + 1) for table in range(8)]
    expected = stats.ttest_1samp(means, 0.0).confidence_interval(0.95)
    regrets = result.regrets[BEST]
    assert regrets[100] == result.comparison.engines[0].score
    assert regrets[100].mean == pytest.approx(np.mean(means))
    assert (regrets[100].interval.low, regrets[100].interval.high) == pytest.approx((expected.low, expected.high))
    low_end = simulated({BEST: lambda table, repeat: 0.001 if table else 0.5}).regrets[BEST][100].interval.low
    assert low_end == 0.0  # Student's interval would end below
    assert regrets[25].mean > regrets[50].mean > regrets[100].mean


@pytest.mark.parametrize(
    ("trials", "counts"), [(10, (10,)), (25, (25,)), (60, (25, 50, 60)), (101, (25, 50, 100, 101))]
)
def test_regret_after_the_last_trial_is_always_reported(trials: int, counts: tuple[int, ...]) -> None:
    assert simulated(FINALS, trials=trials).trial_counts == counts


def test_five_tables_are_too_few_for_a_test_however_many_seeds() -> None:
    finals = {
        BEST: lambda table, repeat: 0.01 + 0.001 * repeat,
        WORSE: lambda table, repeat: 0.02 + 0.003 * repeat + 0.0001 * table,
    }
    result = simulated(finals, tables=5)
    assert p_values(result) == [None, None]
    assert [place.rank for place in result.comparison.engines] == [1, 1]


def test_engines_without_any_difference_tie() -> None:
    result = simulated({name: lambda table, repeat: 0.01 for name in (BEST, TIE, WORSE)})
    assert p_values(result) == [None, 1.0, 1.0]
    assert set(result.mean_ranks.values()) == {2.0}
    assert result.regrets[BEST][100].interval is None


def test_one_engine_alone_is_not_compared() -> None:
    result = simulated({BEST: FINALS[BEST]})
    assert result.comparison.pairs == ()
    assert next(result_sentences(result)).startswith("Only engine: optuna:tpe")


def test_an_engine_that_exhausted_the_space_keeps_its_last_regret() -> None:
    spec = make_spec(FINALS)
    runs = make_runs(spec, FINALS)
    cut = {
        key: dataclasses.replace(trace, regrets=trace.regrets[:60]) if key.engine == WORSE else trace
        for key, trace in runs.items()
    }
    before, after = (compute(spec, each, excluded={}, versions={}).curves[WORSE] for each in (runs, cut))
    assert after.mean[:60] == before.mean[:60]
    assert set(after.mean[60:]) == {after.mean[59]}


def test_the_rate_of_false_differences_is_as_declared() -> None:
    """Two equal engines: at most 5 % differ at alpha 0.05; over 400 comparisons 8.3 % lies 3 sigma above."""
    generator = np.random.default_rng(0)
    differ = 0
    for _ in range(400):
        drawn = generator.lognormal(-4, 0.5, size=(2, 8, 3))
        finals = {
            name: lambda table, repeat, values=values: values[table, repeat]
            for name, values in zip((BEST, WORSE), drawn, strict=True)
        }
        differ += not simulated(finals, trials=1).comparison.pairs[0].is_tie
    assert differ / 400 < 0.083


def test_a_band_lies_between_the_quartiles_over_seeds() -> None:
    curve = simulated({BEST: lambda table, repeat: 0.01 * (repeat + 1)}, repeats=5).curves[BEST]
    assert (curve.low[-1], curve.mean[-1], curve.high[-1]) == pytest.approx((0.02, 0.03, 0.04))
